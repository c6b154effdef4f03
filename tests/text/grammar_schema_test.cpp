// JSON Schema, keyword by keyword: texts that its grammar allows, and texts that it does not.
#include <gtest/gtest.h>

#include "support/errors.h"
#include "text/grammar/json_schema.h"
#include "text/grammar_support.h"

namespace autoglm {
namespace {

struct Case {
  const char* schema;
  std::vector<const char*> yes;
  std::vector<const char*> no;
};

class JsonSchemaCases : public testing::TestWithParam<Case> {};

TEST_P(JsonSchemaCases, AllowsAndRefuses) {
  const Case& one = GetParam();
  const auto program = compile_json_schema(Json::parse(one.schema));
  for (const char* text : one.yes) EXPECT_TRUE(test::matches(program, text)) << one.schema << " should allow " << text;
  for (const char* text : one.no) EXPECT_FALSE(test::matches(program, text)) << one.schema << " should refuse " << text;
}

INSTANTIATE_TEST_SUITE_P(
    Types, JsonSchemaCases,
    testing::Values(
        Case{R"({"type": "null"})", {"null"}, {"nul", "0", "", " null"}},
        Case{R"({"type": "boolean"})", {"true", "false"}, {"True", "1"}},
        Case{R"({"type": "integer"})", {"0", "-1", "120"}, {"01", "1.0", "-", "-0", "1e3", "+1"}},
        Case{
            R"({"type": "number"})", {"0", "-1.50", "1e3", "2.5E-7", "-0.0"}, {"1.", ".5", "1e", "01", "NaN", "1e123"}},
        Case{R"({"type": "string"})",
             {R"("")", R"("a\"\\\/\b\f\n\r\t")", R"("\u00e9\uD83D\uDE00")", "\"\xE4\xBD\xA0\""},
             {"\"", "\"a\nb\"", R"("\x")", R"("\uD83D")", R"("\uDE00")", R"("\u12")", "\"\xFF\"", "\"\xED\xA0\x80\""}},
        Case{R"({"type": "array"})", {"[]", "[1, \"a\", [null], {}]", "[\n  1,\n  2\n]"}, {"[1,]", "[", "{}"}},
        Case{R"({"type": "object"})", {"{}", R"({"a": 1, "b":{"c":[]}})"}, {R"({a:1})", R"({"a"})", R"({"a":1,})"}},
        Case{R"({"type": ["string", "null"]})", {"null", R"("x")"}, {"1"}},
        Case{R"({"type": ["integer", "number"]})", {"1", "1.5"}, {"null"}},
        Case{R"({})", {"1", "null", "[]", R"({"a":true})"}, {"", "x"}},
        Case{R"({"title": "T", "description": "d", "default": 3, "examples": [1], "x-order": 1, "$comment": "c"})",
             {"{}", "3"},
             {"x"}},
        Case{R"({"type": "string", "nullable": true})", {"null", R"("x")"}, {"1"}},
        Case{R"({"const": {"a": [1, "x"]}})", {R"({"a":[1,"x"]})"}, {R"({"a":[1]})"}},
        Case{R"({"enum": ["red", "green", 3, null, "redder"]})",
             {R"("red")", R"("redder")", "3", "null"},
             {R"("blue")", "33", R"("redd")"}},
        Case{R"({"type": "string", "enum": ["a", 1, "bcd"], "maxLength": 2})", {R"("a")"}, {"1", R"("bcd")"}},
        Case{R"({"enum": [1, 1.5, 2], "type": "integer"})", {"1", "2"}, {"1.5"}}));

INSTANTIATE_TEST_SUITE_P(
    Numbers, JsonSchemaCases,
    testing::Values(
        Case{R"({"type": "integer", "minimum": 0, "maximum": 255})",
             {"0", "9", "10", "99", "100", "199", "200", "255"},
             {"256", "-1", "260", "300", "00"}},
        Case{R"({"type": "integer", "minimum": -15, "maximum": 7})",
             {"-15", "-9", "-1", "0", "7"},
             {"-16", "8", "-20", "-0", "10"}},
        Case{R"({"type": "integer", "exclusiveMinimum": 9, "exclusiveMaximum": 1001})",
             {"10", "999", "1000"},
             {"9", "1001"}},
        Case{R"({"type": "integer", "minimum": 1.5, "maximum": 3.5})", {"2", "3"}, {"1", "4"}},
        Case{R"({"type": "integer", "minimum": 5})", {"5", "50", "123456789012345"}, {"4", "-5"}},
        Case{R"({"type": "integer", "maximum": -5})", {"-5", "-10"}, {"-4", "0", "5"}},
        Case{R"({"type": "integer", "minimum": 3, "exclusiveMinimum": 3, "maximum": 4})", {"4"}, {"3"}},
        Case{R"({"type": "integer", "minimum": 3, "exclusiveMinimum": true, "maximum": 4})", {"4"}, {"3"}},
        Case{R"({"type": "integer", "format": "int32"})", {"2147483647", "-2147483648"}, {"2147483648", "-2147483649"}},
        Case{R"({"type": "integer", "multipleOf": 1})", {"7"}, {"7.5"}},
        Case{R"({"type": "number", "minimum": 0, "maximum": 1})",
             {"0", "0.0", "0.5", "1", "1.0", "1.000"},
             {"1.01", "-0.1", "1.5", "2", "1e0", "0."}},
        Case{R"({"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1})",
             {"0.1", "0.0001", "0.99"},
             {"0", "1", "0.0", "1.0", "0.000"}},
        Case{R"({"type": "number", "minimum": -1.25, "maximum": 10.5})",
             {"-1.25", "-1.2", "-1", "-0.3", "0", "9.99", "10.5", "10.50", "10", "10.4999"},
             {"-1.26", "-1.3", "-2", "10.51", "10.6", "11", "-10"}},
        Case{R"({"type": "number", "minimum": 12.34})",
             {"12.34", "12.340", "12.35", "12.4", "13", "100.5"},
             {"12.33", "12.3", "12", "1", "-13"}},
        Case{R"({"type": "number", "maximum": -0.5})", {"-0.5", "-0.51", "-7"}, {"-0.4", "0", "0.5"}},
        Case{R"({"type": "number", "minimum": 1e-3, "maximum": 2.5e2})",
             {"0.001", "250", "250.0", "3"},
             {"0.0009", "0", "250.1"}},
        Case{R"({"type": "number", "exclusiveMinimum": 0.30000000000000004, "maximum": 0.4})",
             {"0.31"},
             {"0.3", "0.30000000000000004"}}));

INSTANTIATE_TEST_SUITE_P(
    Strings, JsonSchemaCases,
    testing::Values(
        Case{R"({"type": "string", "minLength": 2, "maxLength": 3})",
             {R"("ab")", R"("abc")", R"("\n\u00e9")", "\"\xE4\xBD\xA0\xE5\xA5\xBD\xF0\x9F\x98\x80\"",
              R"("\uD83D\uDE00x")"},
             {R"("a")", R"("abcd")", R"("\uD83D\uDE00")"}},
        Case{R"({"type": "string", "maxLength": 0})", {R"("")"}, {R"("a")"}},
        Case{R"({"type": "string", "pattern": "^[a-z]{2}\\d+$"})", {R"("ab1")"}, {R"("ab")", R"("ABC1")", R"("ab1 ")"}},
        Case{R"({"type": "string", "pattern": "b+"})", {R"("abc")", R"("b")"}, {R"("ac")", R"("")"}},
        Case{R"({"type": "string", "pattern": "^a|b$"})", {R"("axx")", R"("xxb")"}, {R"("xax")"}},
        Case{R"({"type": "string", "pattern": "^\"\\n\\\\$"})", {R"("\"\n\\")"}, {R"("n")"}},
        Case{R"({"type": "string", "pattern": "^.{2,4}$", "minLength": 2, "maxLength": 9})",
             {R"("ab")"},
             {R"("a")", R"("abcde")"}},
        Case{R"({"type": "string", "format": "date"})",
             {R"("2024-02-29")", R"("2023-12-31")", R"("2000-02-29")"},
             {R"("2023-02-29")", R"("1900-02-29")", R"("2024-13-01")", R"("2024-04-31")", R"("0000-01-01")",
              R"("24-01-01")"}},
        Case{R"({"type": "string", "format": "time"})",
             {R"("23:59:59Z")", R"("00:00:00.123+02:00")"},
             {R"("24:00:00Z")", R"("12:00")"}},
        Case{R"({"type": "string", "format": "date-time"})",
             {R"("2024-01-31T08:00:00Z")"},
             {R"("2024-01-31 08:00:00Z")", R"("2024-02-31T08:00:00Z")"}},
        Case{R"({"type": "string", "format": "uuid"})",
             {R"("123e4567-e89b-12d3-a456-426614174000")"},
             {R"("123e4567e89b12d3a456426614174000")"}},
        Case{R"({"type": "string", "format": "email"})", {R"("a.b@example.org")"}, {R"("a@")", R"("a b@c.de")"}},
        Case{R"({"type": "string", "format": "ipv4"})",
             {R"("192.168.0.255")"},
             {R"("256.1.1.1")", R"("1.2.3")", R"("01.2.3.4")"}},
        Case{R"({"type": "string", "format": "ipv6"})",
             {R"("::1")", R"("fe80:0:0:0:1:2:3:4")", R"("::")"},
             {R"("1:2")", R"(":::")"}},
        Case{R"({"type": "string", "format": "hostname"})", {R"("example.org")"}, {R"("-a.org")", R"("a b")"}},
        Case{R"({"type": "string", "format": "uri"})",
             {R"("https://example.org/a?b=c#d")"},
             {R"("example")", R"("http://a b")"}},
        Case{R"({"type": "string", "format": "duration"})",
             {R"("P1DT2H")", R"("PT5M")", R"("P3W")"},
             {R"("P")", R"("1D")"}}));

INSTANTIATE_TEST_SUITE_P(
    Arrays, JsonSchemaCases,
    testing::Values(
        Case{R"({"type": "array", "items": {"type": "integer"}})",
             {"[]", "[1]", "[1, 2,3]"},
             {"[\"a\"]", "[1,]", "[,1]"}},
        Case{R"({"items": {"enum": ["a"]}, "minItems": 2, "maxItems": 3})",
             {R"(["a","a"])", R"(["a","a","a"])"},
             {R"(["a"])", R"(["a","a","a","a"])", "[]"}},
        Case{R"({"type": "array", "maxItems": 0})", {"[]", "[ ]"}, {"[1]"}},
        Case{R"({"type": "array", "items": false})", {"[]"}, {"[1]"}},
        Case{R"({"type": "array", "prefixItems": [{"const": 1}, {"const": 2}]})",
             {"[]", "[1]", "[1,2]"},
             {"[2]", "[1,2,3]", "[,]"}},
        Case{
            R"({"type": "array", "prefixItems": [{"const": 1}, {"const": 2}], "items": {"const": 3}, "minItems": 1, "maxItems": 4})",
            {"[1]", "[1,2]", "[1,2,3]", "[1,2,3,3]"},
            {"[]", "[1,3]", "[1,2,3,3,3]"}},
        Case{R"({"type": "array", "items": [{"const": 1}], "additionalItems": false})", {"[]", "[1]"}, {"[1,1]"}},
        Case{R"({"type": "array", "prefixItems": [{"const": 1}], "minItems": 2, "maxItems": 2})",
             {"[1,true]"},
             {"[1]", "[1,1,1]"}},
        Case{R"({"type": "array", "items": {"type": "array", "items": {"type": "null"}, "maxItems": 1}})",
             {"[[],[null]]"},
             {"[[null,null]]"}}));

INSTANTIATE_TEST_SUITE_P(
    Objects, JsonSchemaCases,
    testing::Values(
        Case{
            R"({"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "null"}}, "required": ["a"]})",
            {R"({"a": 1})", R"({"a":1,"b":null})", "{\n  \"a\": 1,\n  \"b\": null\n}"},
            {"{}", R"({"b":null})", R"({"b":null,"a":1})", R"({"a":1,"c":2})", R"({"a":1,})", R"({"a":1 "b":null})"}},
        Case{R"({"properties": {"a": {"const": 1}, "b": {"const": 2}, "c": {"const": 3}}})",
             {"{}", R"({"a":1})", R"({"b":2})", R"({"c":3})", R"({"a":1,"c":3})", R"({"a":1,"b":2,"c":3})",
              R"({"b":2,"c":3})"},
             {R"({"c":3,"a":1})", R"({,"b":2})", R"({"a":1,,"c":3})"}},
        Case{R"({"properties": {"a": {"const": 1}, "b": {"const": 2}, "c": {"const": 3}}, "required": ["b"]})",
             {R"({"b":2})", R"({"a":1,"b":2})", R"({"b":2,"c":3})"},
             {"{}", R"({"a":1})", R"({"a":1,"c":3})"}},
        Case{R"({"type": "object", "additionalProperties": {"type": "integer"}})",
             {"{}", R"({"x":1,"y":2})"},
             {R"({"x":"1"})"}},
        Case{R"({"type": "object", "additionalProperties": false})", {"{}"}, {R"({"x":1})"}},
        Case{
            R"({"type": "object", "properties": {"ab": {"const": 1}, "ac": {"const": 2}}, "required": ["ab"], "additionalProperties": {"type": "boolean"}})",
            {R"({"ab":1})", R"({"ab":1,"a":true,"abc":false,"":true})", R"({"ab":1,"ac":2,"zz":true})"},
            {R"({"ab":true})", R"({"ab":1,"ab":true})", R"({"ab":1,"ac":true})", R"({"ab":1,"a\u0062":true})"}},
        Case{R"({"type": "object", "required": ["id"]})", {R"({"id": [1]})"}, {"{}"}},
        Case{R"({"type": "object", "additionalProperties": {"type": "null"}, "minProperties": 1, "maxProperties": 2})",
             {R"({"a":null})", R"({"a":null,"b":null})"},
             {"{}", R"({"a":null,"b":null,"c":null})"}},
        Case{R"({"type": "object", "properties": {"a": {}, "b": {}}, "minProperties": 1})",
             {R"({"a":1})", R"({"b":1})"},
             {"{}"}},
        Case{R"({"type": "object", "properties": {"quo\"te": {"const": 1}}, "required": ["quo\"te"]})",
             {R"({"quo\"te":1})"},
             {"{}"}},
        Case{R"({"type": "object", "properties": {"gone": false, "x": true}})",
             {"{}", R"({"x":0})"},
             {R"({"gone":0})"}}));

INSTANTIATE_TEST_SUITE_P(
    Combined, JsonSchemaCases,
    testing::Values(
        Case{R"({"anyOf": [{"type": "integer"}, {"const": "x"}]})", {"1", R"("x")"}, {R"("y")"}},
        Case{R"({"oneOf": [{"type": "integer"}, {"type": "string"}]})", {"1", R"("x")"}, {"null"}},
        Case{
            R"({"oneOf": [{"type": "object", "properties": {"kind": {"const": "a"}, "n": {"type": "integer"}}, "required": ["kind", "n"]},
                           {"type": "object", "properties": {"kind": {"const": "b"}}, "required": ["kind"]}]})",
            {R"({"kind":"a","n":1})", R"({"kind":"b"})"},
            {R"({"kind":"b","n":1})", R"({"kind":"a"})"}},
        Case{
            R"({"oneOf": [{"type": "object", "properties": {"a": {}}, "required": ["a"], "additionalProperties": false},
                           {"type": "object", "properties": {"b": {}}, "required": ["b"], "additionalProperties": false}]})",
            {R"({"a":1})", R"({"b":1})"},
            {"{}", R"({"a":1,"b":1})"}},
        Case{R"({"type": "integer", "anyOf": [{"minimum": 10}, {"maximum": 0}]})", {"10", "0", "-3"}, {"5", R"("x")"}},
        Case{R"({"allOf": [{"type": "integer", "minimum": 3}, {"minimum": 5, "maximum": 9}, {"maximum": 7}]})",
             {"5", "7"},
             {"4", "8", "3"}},
        Case{R"({"allOf": [{"$ref": "#/$defs/base"}, {"properties": {"b": {"const": 2}}, "required": ["b"]}],
                 "$defs": {"base": {"type": "object", "properties": {"a": {"const": 1}}, "required": ["a"]}}})",
             {R"({"a":1,"b":2})"},
             {R"({"a":1})", R"({"b":2})"}},
        Case{
            R"({"allOf": [{"properties": {"a": {"type": "integer"}}}, {"properties": {"a": {"minimum": 4}}, "required": ["a"]}]})",
            {R"({"a":4})"},
            {R"({"a":3})", "{}"}},
        Case{R"({"allOf": [{"enum": [1, 2, 3]}, {"enum": [2, 3, 4]}, {"const": 3}]})", {"3"}, {"2"}},
        Case{R"({"$ref": "#/definitions/t~1x", "definitions": {"t/x": {"type": "null"}}})", {"null"}, {"1"}},
        Case{R"({"$ref": "#/$defs/n", "$defs": {"n": {"type": "integer"}}, "minimum": 5})", {"5"}, {"4"}},
        Case{
            R"({"type": "object", "properties": {"v": {"type": "integer"}, "next": {"anyOf": [{"$ref": "#"}, {"type": "null"}]}}, "required": ["v", "next"]})",
            {R"({"v":1,"next":{"v":2,"next":null}})"},
            {R"({"v":1})", R"({"v":1,"next":{}})"}},
        Case{
            R"({"$defs": {"tree": {"type": "object", "properties": {"kids": {"type": "array", "items": {"$ref": "#/$defs/tree"}}}, "required": ["kids"], "additionalProperties": false}}, "$ref": "#/$defs/tree"})",
            {R"({"kids":[{"kids":[]},{"kids":[{"kids":[]}]}]})"},
            {R"({"kids":[1]})"}},
        Case{R"({"anyOf": [{"type": "string", "enum": []}, {"type": "null"}]})", {"null"}, {R"("")"}}));

TEST(JsonSchema, JsonObjectIsAnyObject) {
  const auto program = compile_json_object();
  EXPECT_TRUE(test::matches(program, R"({"a": [1, {"b": null}], "c": "\u00e9"})"));
  EXPECT_TRUE(test::matches(program, "{}"));
  EXPECT_FALSE(test::matches(program, "[]"));
  EXPECT_FALSE(test::matches(program, "{} "));
}

void expect_refused(const char* schema, const char* words) {
  EXPECT_ERROR(compile_json_schema(Json::parse(schema)), Code::bad_request, words);
}

TEST(JsonSchema, WhatCannotBeHonouredIsNamed) {
  expect_refused(R"({"type": "object", "properties": {"a": {"type": "array", "uniqueItems": true}}})",
                 "#/properties/a/uniqueItems");
  expect_refused(R"({"type": "number", "multipleOf": 0.1})", "#/multipleOf");
  expect_refused(R"({"not": {"type": "null"}})", "#/not");
  expect_refused(R"({"if": {}, "then": {}})", "#/if");
  expect_refused(R"({"type": "object", "patternProperties": {"^a": {}}})", "#/patternProperties");
  expect_refused(R"({"type": "object", "minPropertys": 1})", "minProperties");
  expect_refused(R"({"type": "object", "properties": {"a": {}}, "minProperties": 2})", "#/minProperties");
  expect_refused(R"({"type": "object", "properties": {"a": {}, "b": {}}, "maxProperties": 1})", "#/maxProperties");
  expect_refused(R"({"type": "strin"})", "#/type");
  expect_refused(R"({"type": "string", "format": "color"})", "known are date");
  expect_refused(R"({"type": "string", "pattern": "^a+$", "maxLength": 3})", "#/pattern");
  expect_refused(R"x({"type": "string", "pattern": "(?=a)"})x", "look-ahead");
  expect_refused(R"({"type": "string", "pattern": "^a$", "format": "date"})", "#/pattern");
  expect_refused(R"({"type": "string", "minLength": -1})", "#/minLength");
  expect_refused(R"({"type": "integer", "minimum": "3"})", "#/minimum");
  expect_refused(R"({"$ref": "#/$defs/none"})", "#/$defs/none");
  expect_refused(R"({"$ref": "https://example.org/s.json"})", "does not point into this schema");
  expect_refused(R"({"$defs": {"a": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"})", "themselves");
  expect_refused(R"({"oneOf": [{"type": "integer"}, {"type": "number"}]})", "#/oneOf");
  expect_refused(R"({"oneOf": [{"properties": {"a": {}}}, {"type": "string"}]})", "#/oneOf");
  expect_refused(
      R"({"oneOf": [{"type": "object", "properties": {"a": {}}}, {"type": "object", "properties": {"b": {}}}]})",
      "may both hold");
  expect_refused(R"({"allOf": [{"pattern": "a"}, {"pattern": "b"}]})", "cannot be combined");
  expect_refused(R"({"type": "integer", "minimum": 5, "maximum": 4})", "no text can match");
  expect_refused(R"({"enum": []})", "no text can match");
  expect_refused(R"({"type": "array", "minItems": 3, "maxItems": 2})", "no text can match");
  expect_refused(R"({"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]})", "no text can match");
  expect_refused(R"([1])", "must be an object");
  expect_refused(R"({"properties": {"a": 3}})", "must be an object");
  expect_refused(R"({"properties": 3})", "#/properties");
  expect_refused(R"({"anyOf": []})", "#/anyOf");
  expect_refused(R"({"enum": 3})", "#/enum");
}

TEST(JsonSchema, HasLimits) {
  Json deep = Json::object({{"type", "null"}});
  for (int i = 0; i < 100; ++i) deep = Json::object({{"type", "array"}, {"items", deep}});
  EXPECT_ERROR(compile_json_schema(deep), Code::bad_request, "nested");
  for (int i = 0; i < 1000; ++i) {
    Json outer = Json::array();
    outer.push_back(std::move(deep));
    deep = std::move(outer);
  }
  EXPECT_ERROR(compile_json_schema(deep), Code::limit_exceeded, "nested");
  EXPECT_ERROR(compile_json_schema(Json::parse(R"({"type": "string", "maxLength": 99999999})")), Code::limit_exceeded,
               "repetition");
  // Each level merges what both branches of the next one say: 2^n ways without sharing.
  std::string wide = R"({"$ref": "#/$defs/d0", "$defs": {)";
  for (int i = 0; i < 40; ++i) {
    wide += "\"d" + std::to_string(i) + R"(": {"type": "array", "prefixItems": [{"$ref": "#/$defs/d)" +
            std::to_string(i + 1) + R"("}, {"$ref": "#/$defs/d)" + std::to_string(i + 1) + R"("}]},)";
  }
  wide += R"("d40": {"type": "null"}}})";
  EXPECT_TRUE(test::matches(compile_json_schema(Json::parse(wide)), "[[[]]]"));
  const auto large = compile_json_schema(
      Json::parse(R"({"type": "array", "items": {"type": "string", "maxLength": 100000}, "maxItems": 100000})"));
  EXPECT_TRUE(test::matches(large, R"(["abc"])"));
  EXPECT_LT(large->size(), 1000U) << "counts are counted, not written out";
}

}  // namespace
}  // namespace autoglm
