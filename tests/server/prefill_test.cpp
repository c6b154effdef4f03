// Answers that go on with the assistant's last message: Anthropic's and Ollama's way, and vLLM's fields for chats.
// What the assistant says is a script from the beginning of its turn, so the prompt decides where in it the answer is.

#include "server/api_test.h"

namespace autoglm {
namespace {

using test::AsciiTokenizer;
using testing::EndsWith;

constexpr std::string_view kTemplate =
    "{% for m in messages %}{% if m.role == 'assistant' %}\x02"
    "{% if m.reasoning_content %}<think>{{ m.reasoning_content }}</think>{% endif %}"
    "{% else %}{{ '|' + m.role + ':' }}{% endif %}{{ m.content }}{% if m.role == 'assistant' %}\x03{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}\x02{% endif %}";

ServerSetup scripted(std::string script, std::string* heard = nullptr) {
  ServerSetup setup = ServerSetup::scripted("qwen3", std::move(script), heard);
  setup.chat_template = kTemplate;
  return setup;
}

json chat(json last, json more = json::object()) {
  json body = {{"model", "dummy"}, {"max_tokens", 200}, {"messages", {{{"role", "user"}, {"content", "2+2?"}}}}};
  body["messages"].push_back(std::move(last));
  body.update(more);
  return body;
}

json said(const std::string& text) { return {{"role", "assistant"}, {"content", text}}; }

json choice(Client& client, const json& body) {
  const Reply reply = client.post("/v1/chat/completions", body);
  EXPECT_EQ(reply.status, 200) << reply.body;
  return reply.json()["choices"][0];
}

TEST(Prefill, EveryApiGoesOnInTheMiddleOfTheText) {
  std::string heard;
  TestServer server(scripted("The answer is 4.", &heard));
  Client client = server.client();
  const json body = chat(said("The answer"));
  const json whole = client.post("/v1/messages", body).json();
  EXPECT_EQ(whole["content"][0]["text"], " is 4.");
  EXPECT_EQ(heard, "|user:2+2?\x02The answer");
  EXPECT_EQ(whole["usage"]["output_tokens"], 7);
  json counted = body;
  counted.erase("max_tokens");
  const json count = client.post("/v1/messages/count_tokens", counted).json();
  EXPECT_EQ(count["input_tokens"],
            whole["usage"]["input_tokens"].get<int>() + whole["usage"]["cache_read_input_tokens"].get<int>());
  std::string joined;
  for (const std::string& data : client.post("/v1/messages", chat(said("The answer"), {{"stream", true}})).events()) {
    const json event = json::parse(data);
    if (event["type"] == "content_block_delta") joined += event["delta"]["text"].get<std::string>();
  }
  EXPECT_EQ(joined, " is 4.");
  const json blocks = {{"role", "assistant"}, {"content", {{{"type", "text"}, {"text", "The answer"}}}}};
  EXPECT_EQ(client.post("/v1/messages", chat(blocks)).json()["content"][0]["text"], " is 4.");

  json ollama = body;
  ollama.erase("max_tokens");
  ollama["stream"] = false;
  EXPECT_EQ(client.post("/api/chat", ollama).json()["message"]["content"], " is 4.");

  EXPECT_EQ(choice(client, body)["message"]["content"], "The answer is 4.");  // a turn of its own
  EXPECT_THAT(heard, EndsWith("swer\x03\x02")) << "the beginning was there already";
  const json go_on = {{"continue_final_message", true}, {"add_generation_prompt", false}};
  EXPECT_EQ(choice(client, chat(said("The answer"), go_on))["message"]["content"], " is 4.");
  EXPECT_EQ(choice(client, chat(said("The answer"), {{"continue_final_message", true}}))["message"]["content"],
            " is 4.");
  EXPECT_EQ(choice(client, chat(said(""), go_on))["message"]["content"], "The answer is 4.");
  const json tokens =
      client.post("/tokenize", {{"messages", body["messages"]}, {"continue_final_message", true}}).json();
  EXPECT_EQ(tokens["count"], 21);
}

TEST(Prefill, WhatCannotBeGoneOnWithIsA400) {
  TestServer server(scripted("no"));
  Client client = server.client();
  const auto refused = [&](const json& body, const std::string& param, const std::string& why) {
    const Reply reply = client.post("/v1/chat/completions", body);
    EXPECT_EQ(reply.status, 400) << body;
    EXPECT_EQ(reply.json()["error"]["param"], param);
    EXPECT_THAT(reply.body, HasSubstr(why));
  };
  const json go_on = {{"continue_final_message", true}};
  refused(chat(said("a"), {{"continue_final_message", true}, {"add_generation_prompt", true}}),
          "continue_final_message", "exclude each other");
  refused(chat({{"role", "user"}, {"content", "a"}}, go_on), "messages", "not the assistant's");
  const json call = {{"type", "function"}, {"function", {{"name", "f"}, {"arguments", "{}"}}}};
  refused(chat({{"role", "assistant"}, {"content", "a"}, {"tool_calls", {call}}}, go_on), "messages", "calls tools");
  refused(chat({{"role", "assistant"}, {"content", nullptr}}, go_on), "messages", "no text");
  refused({{"messages", json::array()}, {"continue_final_message", true}}, "messages", "empty");
  const json used = {{"type", "tool_use"}, {"id", "t"}, {"name", "f"}, {"input", json::object()}};
  const Reply anthropic = client.post("/v1/messages", chat({{"role", "assistant"}, {"content", {used}}}));
  EXPECT_EQ(anthropic.status, 400);
  EXPECT_THAT(anthropic.body, HasSubstr("calls tools"));
}

TEST(Prefill, TemplatesThatDoNotShowTheMessageAreA400) {
  ServerSetup setup = scripted("no");
  setup.chat_template = "{% for m in messages %}{{ m.content | upper }}{% endfor %}";
  TestServer server(std::move(setup));
  Client client = server.client();
  const Reply reply = client.post("/v1/messages", chat(said("a")));
  EXPECT_EQ(reply.status, 400);
  EXPECT_THAT(reply.body, HasSubstr("the chat template of this model does not show the last message"));
  EXPECT_THAT(reply.body, HasSubstr("let the last message be the user's"));
}

TEST(Prefill, ThoughtsGoOnWhereTheyWere) {
  TestServer server(scripted("<think>one and\none\n</think>\n\nIt is 2."));
  Client client = server.client();
  const json go_on = {{"continue_final_message", true}};
  const auto message = [&](const json& last) { return choice(client, chat(last, go_on))["message"]; };
  json answer = message({{"role", "assistant"}, {"reasoning_content", "one and"}});  // no content: the thought goes on
  EXPECT_EQ(answer["reasoning_content"], "\none\n");
  EXPECT_EQ(answer["content"], "It is 2.");
  answer = message(said("<think>one"));
  EXPECT_EQ(answer["reasoning_content"], " and\none\n");
  EXPECT_EQ(answer["content"], "It is 2.");
  answer = message(said("<th"));  // half a mark
  EXPECT_EQ(answer["reasoning_content"], "one and\none\n");
  answer = message(said("<think>one and\none\n</think>\n\nIt"));
  EXPECT_FALSE(answer.contains("reasoning_content"));
  EXPECT_EQ(answer["content"], " is 2.");

  TestServer other(scripted("<think>hm</think>It is <think>2."));
  Client one = other.client();
  const json last = {{"role", "assistant"}, {"reasoning_content", "hm"}, {"content", "It"}};
  answer = choice(one, chat(last, go_on))["message"];
  EXPECT_FALSE(answer.contains("reasoning_content"));
  EXPECT_EQ(answer["content"], " is <think>2.");
}

const json kTools = {
    {{"type", "function"},
     {"function",
      {{"name", "weather"},
       {"parameters",
        {{"type", "object"}, {"properties", {{"city", {{"enum", {"Paris", "Rome"}}}}}}, {"required", {"city"}}}}}}}};

TEST(Prefill, CallsThatHaveBegunAreCompleted) {
  const std::string call = "<tool_call>\n{\"name\": \"weather\", \"arguments\": {\"city\": \"Rome\"}}\n</tool_call>";
  TestServer server(scripted("I look. " + call));
  Client client = server.client();
  for (const size_t length : {3U, 8U, 12U, 21U, 70U}) {
    const json last = said(("I look. " + call).substr(0, length));
    for (const bool parallel : {false, true}) {
      const json answer = choice(
          client, chat(last, {{"continue_final_message", true}, {"tools", kTools}, {"parallel_tool_calls", parallel}}));
      EXPECT_EQ(answer["message"]["tool_calls"][0]["function"]["arguments"], "{\"city\":\"Rome\"}") << length;
      EXPECT_EQ(answer["message"]["content"], length < 7 ? json("ook.") : json()) << length;
      EXPECT_EQ(answer["finish_reason"], "tool_calls");
    }
  }
  TestServer broken(scripted("<tool_call>\nno call"));
  Client other = broken.client();
  const json answer =
      choice(other, chat(said("<tool_call>\nno"), {{"continue_final_message", true}, {"tools", kTools}}));
  EXPECT_EQ(answer["message"]["content"], " call");  // what the client has said is not said again
}

TEST(Prefill, GrammarsBeginBehindIt) {
  TestServer server(scripted("{\"city\": \"Rome\"}"));
  Client client = server.client();
  const json schema = kTools[0]["function"]["parameters"];
  const json form = {{"type", "json_schema"}, {"json_schema", {{"name", "n"}, {"schema", schema}}}};
  json body = chat(said("{\"city\": \"R"), {{"continue_final_message", true}, {"response_format", form}});
  EXPECT_EQ(choice(client, body)["message"]["content"], "ome\"}");
  body["messages"][1] = said("Sure: ");
  const Reply reply = client.post("/v1/chat/completions", body);
  EXPECT_EQ(reply.status, 400);
  EXPECT_EQ(reply.json()["error"]["param"], "messages");
  EXPECT_THAT(reply.body, HasSubstr("response_format"));
  const json anthropic =
      chat(said("{\"city\":"), {{"output_config", {{"format", {{"type", "json_schema"}, {"schema", schema}}}}}});
  const std::string rest = client.post("/v1/messages", anthropic).json()["content"][0]["text"];
  EXPECT_EQ(json::parse("{\"city\":" + rest)["city"], "Rome");
  const json must = {{"continue_final_message", true}, {"tools", kTools}, {"tool_choice", "required"}};
  EXPECT_EQ(choice(client, chat(said("<tool_call>\n{\"name\": \"weather\", \"arg"), must))["finish_reason"],
            "tool_calls");
}

/// As SentencePiece's: no space is shown before a text's first word.
class SpacedTokenizer final : public AsciiTokenizer {
 public:
  bool hides_first_spaces() const override { return true; }
  std::string decode(std::span<const int32_t> ids, bool special) const override {
    const std::string text = AsciiTokenizer::decode(ids, special);
    return text.starts_with(' ') ? text.substr(1) : text;
  }
};

TEST(Prefill, ASpaceInTheMiddleOfATextIsAPartOfIt) {
  ServerSetup setup = scripted(" It is 4.");
  setup.tokenizer = std::make_unique<SpacedTokenizer>();
  TestServer server(std::move(setup));
  Client client = server.client();
  const json go_on = {{"continue_final_message", true}};
  EXPECT_EQ(choice(client, chat(said("so")))["message"]["content"], "It is 4.");
  EXPECT_EQ(choice(client, chat(said(""), go_on))["message"]["content"], "It is 4.");
  EXPECT_EQ(choice(client, chat(said(" It"), go_on))["message"]["content"], " is 4.");
  const json raw = {{"prompt", "So\x02"}, {"max_tokens", 20}};
  EXPECT_EQ(client.post("/v1/completions", raw).json()["choices"][0]["text"], " It is 4.");
  const json ollama = {{"prompt", "So\x02"}, {"raw", true}, {"stream", false}};
  EXPECT_EQ(client.post("/api/generate", ollama).json()["response"], " It is 4.");
}

}  // namespace
}  // namespace autoglm
