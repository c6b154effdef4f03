// Calls of tools in answers: each family's form, whole and in pieces of any size; what is no call is text.
#include "text/tool_calls.h"

#include <gtest/gtest.h>

#include "support/errors.h"
#include "text/grammar/tool_grammar.h"
#include "text/grammar_support.h"

namespace autoglm {
namespace {

const ToolSet& tools() {
  static const ToolSet set(Json::parse(R"([
    {"type": "function", "function": {"name": "weather", "description": "of a place", "parameters": {"type": "object",
      "properties": {"city": {"type": "string"}, "days": {"type": "integer"}, "exact": {"type": "boolean"},
                     "where": {"type": ["string", "number"]}, "tags": {"type": "array", "items": {"type": "string"}},
                     "unit": {"enum": ["C", "F"]}, "odd": {"type": "number", "multipleOf": 2}},
      "required": ["city"]}}},
    {"type": "function", "function": {"name": "now"}},
    {"name": "bare.name-2", "parameters": {"type": "object", "properties": {"q": {"type": "string"}}}}])"));
  return set;
}

struct Said {
  std::string text;
  std::vector<ToolCall> calls;
  std::string order;  // t: text, c: call
};

Said split(ToolCallForm form, const std::string& answer, size_t piece) {
  ToolCallSplitter splitter(form, tools());
  Said said;
  const auto take = [&said](const std::vector<ToolCallSplitter::Part>& parts) {
    for (const auto& part : parts) {
      said.text += part.text;
      if (part.is_call()) said.calls.push_back(part.call);
      const char kind = part.is_call() ? 'c' : 't';
      if (kind == 'c' || !said.order.ends_with('t')) said.order += kind;
    }
  };
  for (size_t at = 0; at < answer.size(); at += piece) take(splitter.push(answer.substr(at, piece)));
  take(splitter.finish());
  return said;
}

struct Case {
  ToolCallForm form;
  const char* answer;
  Said said;
};

class ToolCalls : public testing::TestWithParam<Case> {};

TEST_P(ToolCalls, AreFoundInAnyPieces) {
  const Case& one = GetParam();
  const std::string answer = one.answer;
  for (const size_t piece : {size_t{1}, size_t{2}, size_t{3}, size_t{7}, size_t{19}, answer.size() + 1}) {
    const Said got = split(one.form, answer, piece);
    EXPECT_EQ(got.text, one.said.text) << answer << " in pieces of " << piece;
    EXPECT_EQ(got.order, one.said.order) << answer << " in pieces of " << piece;
    ASSERT_EQ(got.calls.size(), one.said.calls.size()) << answer << " in pieces of " << piece;
    for (size_t i = 0; i < got.calls.size(); ++i) {
      EXPECT_EQ(got.calls[i].name, one.said.calls[i].name);
      EXPECT_EQ(got.calls[i].arguments, one.said.calls[i].arguments);
    }
  }
}

constexpr ToolCallForm kHermes = ToolCallForm::hermes_json;
constexpr ToolCallForm kXml = ToolCallForm::glm_xml;
constexpr ToolCallForm kLine = ToolCallForm::glm_line_json;
constexpr ToolCallForm kPython = ToolCallForm::chatglm3_python;
constexpr ToolCallForm kLlama = ToolCallForm::llama3_json;

INSTANTIATE_TEST_SUITE_P(
    Hermes, ToolCalls,
    testing::Values(
        Case{kHermes,
             "<tool_call>\n{\"name\": \"weather\", \"arguments\": {\"city\": \"Paris\", \"days\": 2}}\n</tool_call>",
             {"", {{"weather", R"({"city":"Paris","days":2})"}}, "c"}},
        Case{kHermes,
             "Let me look.\n\n<tool_call>{\"name\":\"now\",\"arguments\":{}}</tool_call>\n<tool_call>\n{\"name\": "
             "\"now\"}\n</tool_call>\n",
             {"Let me look.", {{"now", "{}"}, {"now", "{}"}}, "tcc"}},
        Case{kHermes,
             "<tool_call>\n{\"name\": \"weather\", \"arguments\": {\"city\": \"</tool_call> {\\\"}\"}}\n</tool_call> "
             "done ",
             {"done ", {{"weather", R"({"city":"</tool_call> {\"}"})"}}, "ct"}},
        Case{kHermes,
             "<tool_call>{\"name\": \"weather\", \"arguments\": \"{\\\"city\\\": \\\"Rome\\\"}\"}</tool_call>",
             {"", {{"weather", R"({"city":"Rome"})"}}, "c"}},
        Case{kHermes, "<tool_call>\n{\"name\": \"now\", \"arguments\": {}}\n", {"", {{"now", "{}"}}, "c"}},
        Case{kHermes,
             "<tool_call>\n{\"name\": \"unknown\", \"arguments\": {}}\n</tool_call>",
             {"<tool_call>\n{\"name\": \"unknown\", \"arguments\": {}}\n</tool_call>", {}, "t"}},
        Case{kHermes,
             "<tool_call>\n{\"name\": \"now\", \"arguments\": {]}\n</tool_call> <tool_call>{\"name\": "
             "\"now\"}</tool_call>",
             {"<tool_call>\n{\"name\": \"now\", \"arguments\": {]}\n</tool_call>", {{"now", "{}"}}, "tc"}},
        Case{kHermes, "<tool_call>\n{\"name\": \"now\", \"argu", {"<tool_call>\n{\"name\": \"now\", \"argu", {}, "t"}},
        Case{kHermes, "a <b> <tool_cal and <tool_call", {"a <b> <tool_cal and <tool_call", {}, "t"}},
        Case{kHermes, " plain \n", {" plain \n", {}, "t"}}));

INSTANTIATE_TEST_SUITE_P(
    GlmXml, ToolCalls,
    testing::Values(
        Case{kXml,
             "\n<tool_call>weather\n<arg_key>city</arg_key>\n<arg_value>New "
             "York</arg_value>\n<arg_key>days</arg_key>\n<arg_value>3</arg_value>\n</tool_call>",
             {"", {{"weather", R"({"city":"New York","days":3})"}}, "c"}},
        Case{kXml,
             "<tool_call>weather<arg_key>city</arg_key><arg_value>12</arg_value><arg_key>exact</"
             "arg_key><arg_value>true</arg_value>"
             "<arg_key>tags</arg_key><arg_value>[\"a\", "
             "\"b\"]</arg_value><arg_key>unit</arg_key><arg_value>C</arg_value></tool_call>",
             {"", {{"weather", R"({"city":"12","exact":true,"tags":["a","b"],"unit":"C"})"}}, "c"}},
        Case{
            kXml, "<tool_call>now</tool_call><tool_call>now\n</tool_call>", {"", {{"now", "{}"}, {"now", "{}"}}, "cc"}},
        Case{kXml,
             "<tool_call>weather<arg_key>where</arg_key><arg_value>5.5</arg_value><arg_key>days</"
             "arg_key><arg_value>many</arg_value>"
             "<arg_key>new</arg_key><arg_value>7</arg_value><arg_key>odd</arg_key><arg_value>4</arg_value></tool_call>",
             {"", {{"weather", R"({"where":5.5,"days":"many","new":7,"odd":4})"}}, "c"}},
        Case{kXml,
             "<tool_call>weather<arg_key>city</arg_key><arg_value>line\n <b> \"x\" </arg_value></tool_call>",
             {"", {{"weather", R"({"city":"line\n <b> \"x\" "})"}}, "c"}},
        Case{kXml, "I call <tool_call>nobody</tool_call>.", {"I call <tool_call>nobody</tool_call>.", {}, "t"}},
        Case{kXml,
             "<tool_call>weather<arg_key>city</arg_key>oops</tool_call>",
             {"<tool_call>weather<arg_key>city</arg_key>oops</tool_call>", {}, "t"}},
        Case{kXml,
             "<tool_call>weather<arg_key>city</arg_key><arg_value>Par",
             {"<tool_call>weather<arg_key>city</arg_key><arg_value>Par", {}, "t"}},
        Case{kXml, "Sure.<tool_call>now", {"Sure.", {{"now", "{}"}}, "tc"}}));

INSTANTIATE_TEST_SUITE_P(
    Lines, ToolCalls,
    testing::Values(
        Case{kLine, "weather\n{\"city\": \"Paris\"}", {"", {{"weather", R"({"city":"Paris"})"}}, "c"}},
        Case{kLine, "\nnow\n{}\n", {"", {{"now", "{}"}}, "c"}},
        Case{kLine,
             "now\n{}weather\n{\"city\": \"{\\\"\"}",
             {"", {{"now", "{}"}, {"weather", R"({"city":"{\""})"}}, "cc"}},
        Case{kLine, "bare.name-2\n{\"q\":\"x\"} and so on", {"and so on", {{"bare.name-2", R"({"q":"x"})"}}, "ct"}},
        Case{kLine, "\nThe weather\n{\"city\": 1}", {"\nThe weather\n{\"city\": 1}", {}, "t"}},
        Case{kLine, "weather\nis fine", {"weather\nis fine", {}, "t"}}, Case{kLine, "weather", {"weather", {}, "t"}},
        Case{kLine, "weather\n{\"city\": ", {"weather\n{\"city\": ", {}, "t"}},
        Case{kPython,
             "weather\n ```python\ntool_call(city='New \\'York\\'', days=3, exact=True, tags=['a', \"b\"], "
             "where=None)\n```",
             {"", {{"weather", R"({"city":"New 'York'","days":3,"exact":true,"tags":["a","b"],"where":null})"}}, "c"}},
        Case{kPython, "now\n```python\ntool_call()\n```", {"", {{"now", "{}"}}, "c"}},
        Case{kPython, "weather\n```python\nprint(1)\n```", {"weather\n```python\nprint(1)\n```", {}, "t"}},
        Case{kPython, "weather\n```python\ntool_call(city='a'", {"weather\n```python\ntool_call(city='a'", {}, "t"}}));

INSTANTIATE_TEST_SUITE_P(
    Llama, ToolCalls,
    testing::Values(Case{kLlama,
                         R"({"name": "weather", "parameters": {"city": "Paris"}})",
                         {"", {{"weather", R"({"city":"Paris"})"}}, "c"}},
                    Case{kLlama,
                         R"(<|python_tag|>{"name": "now", "parameters": {}}; {"name": "now", "parameters": {}})",
                         {"", {{"now", "{}"}, {"now", "{}"}}, "cc"}},
                    Case{kLlama, R"({"city": "Paris"})", {R"({"city": "Paris"})", {}, "t"}},
                    Case{kLlama, "{no json", {"{no json", {}, "t"}},
                    Case{kLlama, "Sure: {\"name\": \"now\"}", {"Sure: {\"name\": \"now\"}", {}, "t"}},
                    Case{ToolCallForm::none, "<tool_call>now</tool_call>", {"<tool_call>now</tool_call>", {}, "t"}}));

TEST(ToolSet, SaysWhatIsWrong) {
  EXPECT_TRUE(ToolSet(Json()).empty());
  EXPECT_ERROR(ToolSet(Json(3)), Code::bad_request, "not a list");
  EXPECT_ERROR(ToolSet(Json::parse("[3]")), Code::bad_request, "tools[0]");
  EXPECT_ERROR(ToolSet(Json::parse(R"([{"name": "a b"}])")), Code::bad_request, "no name");
  EXPECT_ERROR(ToolSet(Json::parse(R"([{"name": "a"}, {"name": "a"}])")), Code::bad_request, "two named a");
  EXPECT_ERROR(ToolSet(Json::parse(R"([{"name": "a", "parameters": 1}])")), Code::bad_request, "parameters");
}

// What the grammar of a form allows is what the splitter takes for calls.
TEST(ToolGrammar, WritesCallsThatAreFound) {
  const ToolSet set(Json::parse(R"([{"name": "f", "parameters": {"type": "object", "properties": {
      "s": {"type": "string"}, "n": {"type": "integer", "minimum": 1, "maximum": 9}, "e": {"enum": ["a", "b"]}}, "required": ["s"]}},
      {"name": "g"}])"));
  struct Form {
    ToolCallForm form;
    std::vector<const char*> yes, no;
  };
  const Form forms[] = {
      {kHermes,
       {"<tool_call>\n{\"name\": \"f\", \"arguments\": {\"s\": \"x\", \"n\": 3}}\n</tool_call>",
        "<tool_call>\n{\"name\": \"g\", \"arguments\": {}}\n</tool_call>\n<tool_call>\n{\"name\": \"g\", "
        "\"arguments\": {}}\n</tool_call>"},
       {"<tool_call>\n{\"name\": \"h\", \"arguments\": {}}\n</tool_call>",
        "<tool_call>\n{\"name\": \"f\", \"arguments\": {}}\n</tool_call>", "text"}},
      {kXml,
       {
           "<tool_call>f\n<arg_key>s</arg_key>\n<arg_value>a < "
           "b</arg_value>\n<arg_key>e</arg_key>\n<arg_value>b</arg_value>\n</tool_call>",
           "<tool_call>f<arg_key>s</arg_key><arg_value></arg_value><arg_key>n</arg_key><arg_value>9</arg_value></"
           "tool_call>",
       },
       {"<tool_call>f</tool_call>",
        "<tool_call>f<arg_key>s</arg_key><arg_value>x</arg_value><arg_key>n</arg_key><arg_value>10</arg_value></"
        "tool_call>"}},
      {kLine, {"f\n{\"s\": \"x\"}"}, {"f\n{}", "h\n{}"}},
      {kLlama, {"{\"name\": \"f\", \"parameters\": {\"s\": \"x\"}}"}, {"{\"name\": \"f\", \"parameters\": {}}"}},
      {kPython, {"f\n```python\ntool_call(s=\"x\", e=\"a\")\n```"}, {"f\n```python\ntool_call(e=\"a\")\n```"}},
  };
  for (const Form& one : forms) {
    Grammar grammar;
    const Grammar::Node node = tool_call_grammar(grammar, one.form, set, true);
    const Grammar::Rule root = grammar.add_rule("root");
    grammar.define(root, node);
    const auto program = std::make_shared<const Program>(grammar, root);
    for (const char* text : one.yes) {
      EXPECT_TRUE(test::matches(program, text)) << text;
      ToolCallSplitter splitter(one.form, set);
      for (const auto& part : splitter.push(text)) EXPECT_TRUE(part.is_call()) << text << " says " << part.text;
      EXPECT_TRUE(splitter.finish().empty());
      EXPECT_GT(splitter.calls(), 0);
    }
    for (const char* text : one.no) EXPECT_FALSE(test::matches(program, text)) << text;
  }
  Grammar grammar;
  EXPECT_ERROR(tool_call_grammar(grammar, ToolCallForm::none, set, false), Code::bad_request, "no form");
  EXPECT_ERROR(tool_call_grammar(grammar, kLine, ToolSet(Json()), false), Code::bad_request, "no tools");
}

}  // namespace
}  // namespace autoglm
