// A template is a program from a stranger: it must not hang, overflow the stack or eat memory.
#include <gmock/gmock.h>

#include "base/error.h"
#include "text/chat_template.h"

namespace autoglm {
namespace {

Code outcome(const std::string& source, const TemplateInput& input = {}, const TemplateLimits& limits = {}) {
  try {
    ChatTemplate::parse(source, limits)->render(input);
  } catch (const Error& error) {
    return error.code();
  }
  return Code::internal;  // rendered
}

std::string repeat(const std::string& text, int times) {
  std::string out;
  for (int i = 0; i < times; ++i) out += text;
  return out;
}

TEST(JinjaLimits, Steps) {
  const std::string loops = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}";
  EXPECT_EQ(outcome(loops), Code::limit_exceeded);
  EXPECT_EQ(outcome("{% for a in range(9) %}{% endfor %}", {}, {.steps = 5}), Code::limit_exceeded);
  EXPECT_EQ(outcome("{% for a in range(9) %}{% endfor %}"), Code::internal);
}

TEST(JinjaLimits, Memory) {
  EXPECT_EQ(outcome("{{ 'a' * 10**12 }}"), Code::limit_exceeded);
  EXPECT_EQ(outcome("{{ ['a'] * 10**12 }}"), Code::limit_exceeded);
  EXPECT_EQ(outcome("{{ 'a' * 9223372036854775807 }}"), Code::limit_exceeded);
  EXPECT_EQ(outcome("{{ 'ab' * 9223372036854775807 }}"), Code::limit_exceeded);
  EXPECT_EQ(outcome("{{ 'a'.center(10**12) }}"), Code::limit_exceeded);
  EXPECT_EQ(outcome("{{ 'a'|indent(10**12) }}"), Code::limit_exceeded);
  EXPECT_EQ(outcome("{{ [1]|tojson(indent=10**12) }}"), Code::limit_exceeded);
  EXPECT_EQ(outcome("{{ [1]|batch(10**12, 'x')|list }}"), Code::limit_exceeded);
  EXPECT_EQ(outcome("{{ [1]|slice(10**12)|list }}"), Code::limit_exceeded);
  EXPECT_EQ(outcome("{{ 'a\tb'.expandtabs(10**12) }}"), Code::limit_exceeded);
  EXPECT_EQ(outcome("{{ '%1000000000d' % 1 }}"), Code::bad_template);
  EXPECT_EQ(outcome("{{ '{:1000000000}'.format(1) }}"), Code::bad_template);
  EXPECT_EQ(outcome("{{ strftime_now('%100000Y') }}"), Code::bad_template);
  EXPECT_EQ(outcome("{{ range(10**12) }}"), Code::bad_template);
  const std::string doubling =
      "{% set ns = namespace(s='aaaaaaaaaaaaaaaa') %}{% for i in range(99) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}";
  EXPECT_EQ(outcome(doubling), Code::limit_exceeded);
  EXPECT_EQ(outcome("{% set s = 'x' * 1000000 %}{{ s.replace('x', s) }}"), Code::limit_exceeded);
  EXPECT_EQ(outcome("{% set s = 'x' * 1000000 %}{{ s|join(s) }}"), Code::limit_exceeded);
}

TEST(JinjaLimits, Output) {
  EXPECT_EQ(outcome("{% set s = 'x' * 1000 %}{% for i in range(9) %}{{ s }}{% endfor %}", {}, {.output_bytes = 5000}),
            Code::limit_exceeded);
  EXPECT_EQ(outcome("{% set s = 'x' * 1000 %}{% for i in range(9) %}{{ s }}{% endfor %}", {}, {.output_bytes = 9000}),
            Code::internal);
}

TEST(JinjaLimits, NestingWhenParsed) {
  for (const int depth : {1000, 100000}) {
    EXPECT_EQ(outcome("{{ " + repeat("(", depth) + "1" + repeat(")", depth) + " }}"), Code::limit_exceeded);
    EXPECT_EQ(outcome("{{ " + repeat("[", depth) + repeat("]", depth) + " }}"), Code::limit_exceeded);
    EXPECT_EQ(outcome("{{ " + repeat("-", depth) + "1 }}"), Code::limit_exceeded);
    EXPECT_EQ(outcome("{{ " + repeat("not ", depth) + "1 }}"), Code::limit_exceeded);
    EXPECT_EQ(outcome("{{ " + repeat("1 if 1 else ", depth) + "1 }}"), Code::limit_exceeded);
    EXPECT_EQ(outcome(repeat("{% if 1 %}", depth) + repeat("{% endif %}", depth)), Code::limit_exceeded);
    EXPECT_EQ(outcome("{{ " + repeat("1 + ", depth) + "1 }}"), Code::limit_exceeded);
    EXPECT_EQ(outcome("{{ 1" + repeat("|string", depth) + " }}"), Code::limit_exceeded);
    EXPECT_EQ(outcome("{% for " + repeat("(", depth) + "a" + repeat(")", depth) + " in x %}{% endfor %}"),
              Code::limit_exceeded);
    EXPECT_EQ(outcome("{{ d" + repeat("[0", depth) + repeat("]", depth) + " }}"), Code::limit_exceeded);
    EXPECT_EQ(outcome("{{ 1 is " + repeat("in(", depth) + "1" + repeat(")", depth) + " }}"), Code::limit_exceeded);
  }
  EXPECT_EQ(outcome("{{ " + repeat("1 ~ ", 10000) + "1 }}"), Code::internal);  // flat, however long
}

TEST(JinjaLimits, NestingWhenRun) {
  EXPECT_EQ(outcome("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}"), Code::limit_exceeded);
  EXPECT_EQ(outcome("{% macro m(x) %}{{ m([x]) }}{% endmacro %}{{ m(1) }}"), Code::limit_exceeded);
  EXPECT_EQ(outcome("{% macro m() %}{{ caller() }}{% endmacro %}{% macro n() %}{% call m() %}{{ n() }}{% endcall %}{% "
                    "endmacro %}{{ n() }}"),
            Code::limit_exceeded);
  EXPECT_EQ(outcome("{% set ns = namespace(a=[]) %}{% for i in range(1000) %}{% set ns.a = [ns.a] %}{% endfor %}"),
            Code::limit_exceeded);
  EXPECT_EQ(outcome("{% set ns = namespace(a={}) %}{% for i in range(1000) %}{% set ns.a = {'k': ns.a} %}{% endfor %}"),
            Code::limit_exceeded);
  EXPECT_EQ(outcome("{% set ns = namespace() %}{% set ns.a = ns %}{{ ns }}"), Code::limit_exceeded);
  EXPECT_EQ(outcome("{% set ns = namespace() %}{% set ns.a = [ns] %}{{ [ns] }}"), Code::limit_exceeded);
  EXPECT_EQ(outcome("{% for x in [[1]] recursive %}{{ loop([x]) }}{% endfor %}"), Code::limit_exceeded);
}

TEST(JinjaLimits, SharedPartsDoNotMultiply) {
  // Forty doublings of a list that shares its halves: small in memory, endless when walked.
  const std::string tree =
      "{% set ns = namespace(a=[1]) %}{% for i in range(40) %}{% set ns.a = [ns.a, ns.a] %}{% endfor %}";
  EXPECT_EQ(outcome(tree), Code::internal);
  EXPECT_EQ(outcome(tree + "{{ ns.a }}"), Code::limit_exceeded);
  EXPECT_EQ(outcome(tree + "{{ ns.a|tojson }}"), Code::limit_exceeded);
  EXPECT_EQ(outcome(tree + "{{ ns.a == [ns.a[0], ns.a[1]] }}"), Code::limit_exceeded);
  const std::string tuples =
      "{% set ns = namespace(a=(1,)) %}{% for i in range(40) %}{% set ns.a = (ns.a, ns.a) %}{% endfor %}";
  EXPECT_EQ(outcome(tuples + "{{ {ns.a: 1} }}"), Code::limit_exceeded);
}

TEST(JinjaLimits, SlowSearchesAreCounted) {
  const std::string text = "{% set a = 'a' * 1000000 %}{% set b = 'a' * 500000 ~ 'b' %}";
  EXPECT_EQ(outcome(text + "{{ a.rfind(b) }}"), Code::limit_exceeded);
  EXPECT_EQ(outcome(text + "{{ a.find(b) }}{{ b in a }}{{ a.replace(b, '')|length }}"), Code::internal);
  EXPECT_EQ(outcome("{% set s = 'Σ' * 100000 %}{{ s.lower()|length }}"), Code::internal);
}

TEST(JinjaLimits, ValuesFromOutside) {
  TemplateInput deep;
  Json nested = 1;
  for (int i = 0; i < 100; ++i) nested = Json::array({nested});
  deep.variables["x"] = nested;
  EXPECT_EQ(outcome("{{ x }}", deep), Code::limit_exceeded);
  TemplateInput broken;
  broken.variables["x"] = "\xff\xfe";
  EXPECT_EQ(outcome("{{ x }}", broken), Code::bad_request);
  TemplateInput large;
  large.variables["x"] = UINT64_MAX;
  EXPECT_EQ(outcome("{{ x }}", large), Code::bad_request);
  TemplateInput own;
  own.variables["messages"] = 1;
  EXPECT_EQ(outcome("x", own), Code::bad_request);
  EXPECT_EQ(outcome("\xff"), Code::bad_template);
  EXPECT_EQ(outcome(std::string(5 << 20, 'x')), Code::limit_exceeded);
}

}  // namespace
}  // namespace autoglm
