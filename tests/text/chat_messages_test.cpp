#include "text/chat_messages.h"

#include <gmock/gmock.h>

#include "base/error.h"

namespace autoglm {
namespace {

using testing::HasSubstr;

std::string refusal(std::string_view text, bool tools = false) {
  try {
    tools ? parse_tools(text) : parse_messages(text);
  } catch (const Error& error) {
    return std::string(info(error.code()).name) + ": " + error.what();
  }
  return "accepted";
}

TEST(ChatMessages, AcceptsWhatTemplatesKnow) {
  EXPECT_EQ(parse_messages(R"([{"role": "user", "content": "hi"}])").size(), 1U);
  EXPECT_EQ(parse_messages(R"({"messages": [{"role": "user", "content": "hi"}], "model": "x"})").size(), 1U);
  EXPECT_EQ(
      parse_messages(
          R"([{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "image_url", "image_url": {}}]},
                               {"role": "assistant", "content": null, "reasoning_content": "r",
                                "tool_calls": [{"id": "1", "type": "function", "function": {"name": "f", "arguments": {"a": 1}}},
                                               {"function": {"name": "f", "arguments": "{}"}}]},
                               {"role": "tool", "tool_call_id": "1", "content": "result"}])")
          .size(),
      3U);
  EXPECT_EQ(parse_tools(R"([{"type": "function", "function": {"name": "f", "parameters": {}}}, {"name": "g"}])").size(),
            2U);
}

TEST(ChatMessages, KeepsTheOrderOfKeys) {
  EXPECT_EQ(parse_tools(R"([{"name": "g", "b": 1, "a": 2}])").dump(), R"([{"name":"g","b":1,"a":2}])");
}

TEST(ChatMessages, RefusalsNameThePlace) {
  EXPECT_THAT(refusal("[{]"), HasSubstr("bad_request: messages is not JSON: parse error at line 1, column 3"));
  EXPECT_THAT(refusal(""), HasSubstr("messages is not JSON"));
  EXPECT_EQ(refusal("{}"), "bad_request: an object without \"messages\": a list or an object that has it is needed");
  EXPECT_EQ(refusal("5"), "bad_request: messages must be a list, not number");
  EXPECT_EQ(refusal("[]"), "bad_request: messages is empty");
  EXPECT_EQ(refusal("[5]"), "bad_request: messages[0] must be an object, not number");
  EXPECT_EQ(refusal(R"([{"content": "x"}])"), "bad_request: messages[0].role is missing");
  EXPECT_EQ(refusal(R"([{"role": 5, "content": "x"}])"), "bad_request: messages[0].role must be a string, not number");
  EXPECT_EQ(refusal(R"([{"role": "", "content": "x"}])"), "bad_request: messages[0].role is empty");
  EXPECT_EQ(refusal(R"([{"role": "user"}])"), "bad_request: messages[0].content is missing");
  EXPECT_EQ(refusal(R"([{"role": "user", "content": 5}])"),
            "bad_request: messages[0].content must be a string or a list of parts, not number");
  EXPECT_EQ(refusal(R"([{"role": "user", "content": "x"}, {"role": "user", "content": [{"type": "text"}]}])"),
            "bad_request: messages[1].content[0].text is missing");
  EXPECT_EQ(refusal(R"([{"role": "user", "content": [{"text": "x"}]}])"),
            "bad_request: messages[0].content[0].type is missing");
  EXPECT_EQ(refusal(R"([{"role": "assistant", "tool_calls": {}}])"),
            "bad_request: messages[0].tool_calls must be a list, not object");
  EXPECT_EQ(refusal(R"([{"role": "assistant", "tool_calls": [{"function": {"arguments": {}}}]}])"),
            "bad_request: messages[0].tool_calls[0].function.name is missing");
  EXPECT_EQ(
      refusal(R"([{"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": [1]}}]}])"),
      "bad_request: messages[0].tool_calls[0].function.arguments must be an object or a string of JSON, not array");
  EXPECT_EQ(refusal(R"([{"role": "user", "content": "x", "n": 18446744073709551615}])"),
            "bad_request: messages[0] is a number that does not fit in 64 bits");
  EXPECT_THAT(refusal("[{\"role\": \"user\", \"content\": \"\xff\"}]"), HasSubstr("messages is not JSON"));
  EXPECT_EQ(refusal("[5]", true), "bad_request: tools[0] must be an object, not number");
  EXPECT_EQ(refusal(R"([{"type": "function", "function": {}}])", true),
            "bad_request: tools[0].function.name is missing");
  EXPECT_EQ(refusal(R"([{"name": "f", "parameters": "x"}])", true),
            "bad_request: tools[0].parameters must be an object, not string");
}

TEST(ChatMessages, DepthIsLimited) {
  const auto nested = [](int depth) {
    return R"([{"role": "user", "content": "x", "extra": )" + std::string(static_cast<size_t>(depth), '[') +
           std::string(static_cast<size_t>(depth), ']') + "}]";
  };
  EXPECT_EQ(refusal(nested(40)), "accepted");
  EXPECT_THAT(refusal(nested(49)), HasSubstr("limit_exceeded: messages"));
  EXPECT_THAT(refusal(nested(100000)), HasSubstr("limit_exceeded: messages"));
  EXPECT_THAT(refusal(std::string(1000000, '[')), HasSubstr("limit_exceeded: messages"));
}

}  // namespace
}  // namespace autoglm
