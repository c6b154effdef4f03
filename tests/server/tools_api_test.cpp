// Tools and structured answers in Anthropic's and Ollama's words. What the model says is a script: the calls are known.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "server/test_server.h"

namespace autoglm {
namespace {

using nlohmann::json;
using test::Client;
using test::Reply;
using test::ServerSetup;
using test::TestServer;
using testing::HasSubstr;

constexpr auto kCall =
    "<tool_call>\n{\"name\": \"weather\", \"arguments\": {\"city\": \"Rome\", \"days\": [1, 2]}}\n</tool_call>";
const std::string kTwoCalls = std::string("I look.\n") + kCall + "\n" + kCall;
const json kArguments = {{"city", "Rome"}, {"days", {1, 2}}};

json schema() {
  return {{"type", "object"},
          {"properties", {{"city", {{"enum", {"Paris", "Rome"}}}}}},
          {"required", {"city"}},
          {"additionalProperties", false}};
}

json anthropic(json more = json::object()) {
  json body = {{"max_tokens", 400},
               {"messages", {{{"role", "user"}, {"content", "hi"}}}},
               {"tools", {{{"name", "weather"}, {"description", "d"}, {"input_schema", schema()}}}}};
  body.update(more);
  return body;
}

json ollama(json more = json::object()) {
  json body = {{"messages", {{{"role", "user"}, {"content", "hi"}}}},
               {"stream", false},
               {"tools", {{{"type", "function"}, {"function", {{"name", "weather"}, {"parameters", schema()}}}}}}};
  body.update(more);
  return body;
}

TEST(AnthropicTools, CallsAreBlocksWholeAndStreamed) {
  std::string heard;
  TestServer server(ServerSetup::scripted("qwen2", kTwoCalls, &heard));
  Client client = server.client();
  const json whole = client.post("/v1/messages", anthropic()).json();
  EXPECT_EQ(heard, "T1|user:hi\x02");
  ASSERT_EQ(whole["content"].size(), 3U) << whole.dump();
  EXPECT_EQ(whole["content"][0], json({{"type", "text"}, {"text", "I look."}}));
  for (const size_t i : {1U, 2U}) {
    const json& call = whole["content"][i];
    EXPECT_EQ(call["type"], "tool_use");
    EXPECT_EQ(call["name"], "weather");
    EXPECT_EQ(call["input"], kArguments);
    EXPECT_THAT(call["id"].get<std::string>(), testing::StartsWith("toolu_"));
  }
  EXPECT_NE(whole["content"][1]["id"], whole["content"][2]["id"]);
  EXPECT_EQ(whole["stop_reason"], "tool_use");

  std::vector<json> blocks;
  std::string partial;
  json last;
  for (const std::string& data : client.post("/v1/messages", anthropic({{"stream", true}})).events()) {
    const json event = json::parse(data);
    const std::string type = event["type"];
    if (type == "content_block_start") {
      EXPECT_EQ(event["index"], blocks.size());
      blocks.push_back(event["content_block"]);
      partial.clear();
    }
    if (type == "content_block_delta") {
      EXPECT_EQ(event["index"], blocks.size() - 1);
      if (event["delta"]["type"] == "text_delta") {
        blocks.back()["text"] = blocks.back()["text"].get<std::string>() + event["delta"]["text"].get<std::string>();
      } else {
        EXPECT_EQ(event["delta"]["type"], "input_json_delta");
        partial += event["delta"]["partial_json"].get<std::string>();
      }
    }
    if (type == "content_block_stop" && !partial.empty()) {
      EXPECT_EQ(blocks.back()["input"], json::object());
      blocks.back()["input"] = json::parse(partial);
    }
    if (type == "message_delta") last = event;
  }
  ASSERT_EQ(blocks.size(), 3U);
  EXPECT_EQ(blocks[0], whole["content"][0]);
  EXPECT_EQ(blocks[2]["input"], kArguments);
  EXPECT_EQ(last["delta"]["stop_reason"], "tool_use");
}

TEST(AnthropicTools, ChoicesAreKept) {
  TestServer server(ServerSetup::scripted("qwen2", kTwoCalls));
  Client client = server.client();
  const auto content = [&](const json& choice) {
    return client.post("/v1/messages", anthropic({{"tool_choice", choice}})).json()["content"];
  };
  EXPECT_EQ(content({{"type", "auto"}}).size(), 3U);
  EXPECT_EQ(content({{"type", "auto"}, {"disable_parallel_tool_use", true}}).size(), 2U);
  const json none = content({{"type", "none"}});
  ASSERT_EQ(none.size(), 1U);
  EXPECT_EQ(none[0]["text"], kTwoCalls) << "without tools a call is text";
  // The script begins with words: what is held to a call cannot say them.
  for (const json& choice : {json{{"type", "any"}, {"disable_parallel_tool_use", true}},
                             json{{"type", "tool"}, {"name", "weather"}, {"disable_parallel_tool_use", true}}}) {
    const json forced = content(choice);
    ASSERT_EQ(forced.size(), 1U) << forced.dump();
    EXPECT_EQ(forced[0]["type"], "tool_use");
    EXPECT_THAT(forced[0]["input"]["city"].get<std::string>(), testing::AnyOf("Paris", "Rome"));
  }
}

TEST(AnthropicTools, HistoriesBecomeTheTemplatesMessages) {
  std::string heard;
  TestServer server(ServerSetup::scripted("qwen3", "<think>hm</think>ok", &heard));
  Client client = server.client();
  const json messages = {
      {{"role", "user"}, {"content", "a"}},
      {{"role", "assistant"},
       {"content",
        {{{"type", "thinking"}, {"thinking", "deep"}, {"signature", "x"}},
         {{"type", "text"}, {"text", "b"}},
         {{"type", "tool_use"}, {"id", "c1"}, {"name", "weather"}, {"input", {{"city", "Rome"}}}}}}},
      {{"role", "user"},
       {"content",
        {{{"type", "tool_result"}, {"tool_use_id", "c1"}, {"content", {{{"type", "text"}, {"text", "sun"}}}}},
         {{"type", "tool_result"}, {"tool_use_id", "c1"}, {"content", "no"}, {"is_error", true}},
         {{"type", "text"}, {"text", "so?"}, {"cache_control", {{"type", "ephemeral"}}}}}}}};
  const json body = anthropic({{"messages", messages}, {"thinking", {{"type", "disabled"}}}});
  const json answer = client.post("/v1/messages", body).json();
  EXPECT_EQ(heard,
            "T1|user:a|assistant:b~deep[weather {\"city\": \"Rome\"}]|tool:sun(weather)|tool:Error: no(weather)"
            "|user:so?False\x02");
  EXPECT_EQ(answer["content"][0], json({{"type", "thinking"}, {"thinking", "hm"}, {"signature", ""}}));
  EXPECT_EQ(answer["content"][1]["text"], "ok");
  EXPECT_EQ(answer["stop_reason"], "end_turn");
  json counted = body;
  counted.erase("max_tokens");
  EXPECT_EQ(client.post("/v1/messages/count_tokens", counted).json()["input_tokens"], heard.size());
}

TEST(AnthropicTools, WhatCannotBeHonouredIsRefused) {
  TestServer server(ServerSetup::scripted("qwen2", "ok"));
  Client client = server.client();
  const auto said = [](const json& blocks, const char* role = "user") {
    return json{{"messages", {{{"role", role}, {"content", blocks}}}}};
  };
  const std::pair<json, std::string> bad[] = {
      {{{"tools", {{{"type", "web_search_20250305"}, {"name", "web_search"}}}}}, "tools[0].type"},
      {{{"tools", {{{"name", "a b"}}}}}, "tools"},
      {{{"tools", 5}}, "tools"},
      {{{"tool_choice", {{"type", "tool"}}}}, "tool_choice.name"},
      {{{"tool_choice", {{"type", "tool"}, {"name", "other"}}}}, "tool_choice"},
      {{{"tool_choice", {{"type", "some"}}}}, "tool_choice.type"},
      {{{"tools", json::array()}, {"tool_choice", {{"type", "any"}}}}, "tool_choice"},
      {said({{{"type", "image"}, {"source", json::object()}}}), "messages[0].content[0].type"},
      {said({{{"type", "tool_use"}, {"id", "a"}, {"name", "b"}, {"input", json::object()}}}),
       "messages[0].content[0].type"},
      {said({{{"type", "tool_use"}, {"id", "a"}, {"name", "b"}, {"input", 5}}}, "assistant"),
       "messages[0].content[0].input"},
      {said({{{"type", "tool_result"}, {"tool_use_id", "nobody"}, {"content", "x"}}}),
       "messages[0].content[0].tool_use_id"},
      {said({{{"type", "text"}, {"text", "x"}, {"bold", true}}}), "messages[0].content[0].bold"},
      {said({5}), "messages[0].content[0]"},
      {said(5), "messages[0].content"},
      {{{"messages", {5}}}, "messages[0]"},
      {{{"messages", json::array()}}, "messages"},
      {{{"output_config", {{"format", {{"type", "xml"}}}}}}, "output_config.format.type"},
      {{{"output_config", {{"format", {{"type", "json_schema"}, {"schema", {{"uniqueItems", true}}}}}}},
        {"tools", json::array()}},
       "uniqueItems"},
  };
  for (const auto& [more, place] : bad) {
    const Reply reply = client.post("/v1/messages", anthropic(more));
    EXPECT_EQ(reply.status, 400) << more.dump() << reply.body;
    EXPECT_THAT(reply.body, HasSubstr(place)) << more.dump();
  }
}

TEST(AnthropicTools, AnswersFollowASchema) {
  TestServer server(ServerSetup::scripted("qwen2", "words"));
  Client client = server.client();
  const json format = {{"output_config", {{"format", {{"type", "json_schema"}, {"schema", schema()}}}}}};
  const json answer = client.post("/v1/messages", anthropic(format)).json();
  EXPECT_THAT(json::parse(answer["content"][0]["text"].get<std::string>())["city"].get<std::string>(),
              testing::AnyOf("Paris", "Rome"));
}

TEST(OllamaTools, CallsComeAsObjectsWholeAndStreamed) {
  std::string heard;
  TestServer server(ServerSetup::scripted("qwen2", kTwoCalls, &heard));
  Client client = server.client();
  const json whole = client.post("/api/chat", ollama()).json();
  EXPECT_EQ(heard, "T1|user:hi\x02");
  EXPECT_EQ(whole["message"]["content"], "I look.");
  ASSERT_EQ(whole["message"]["tool_calls"].size(), 2U) << whole.dump();
  EXPECT_EQ(whole["message"]["tool_calls"][1]["function"],
            json({{"index", 1}, {"name", "weather"}, {"arguments", kArguments}}));
  EXPECT_EQ(whole["done_reason"], "stop");
  json calls = json::array();
  std::istringstream lines(client.post("/api/chat", ollama({{"stream", true}})).body);
  for (std::string line; std::getline(lines, line);) {
    const json message = json::parse(line)["message"];
    if (message.contains("tool_calls"))
      calls.insert(calls.end(), message["tool_calls"].begin(), message["tool_calls"].end());
  }
  ASSERT_EQ(calls.size(), 2U);
  EXPECT_EQ(calls[0]["function"]["arguments"], kArguments);
  EXPECT_EQ(calls[1]["function"]["index"], 1);
}

TEST(OllamaTools, HistoriesFormatsAndThoughts) {
  std::string heard;
  TestServer server(ServerSetup::scripted("qwen3", "<think>hm</think>{\"city\": \"Rome\"}", &heard));
  Client client = server.client();
  const json messages = {{{"role", "user"}, {"content", "a"}},
                         {{"role", "assistant"},
                          {"content", ""},
                          {"thinking", "deep"},
                          {"tool_calls", {{{"function", {{"name", "weather"}, {"arguments", {{"city", "Rome"}}}}}}}}},
                         {{"role", "tool"}, {"tool_name", "weather"}, {"content", "sun"}}};
  const json answer = client.post("/api/chat", ollama({{"messages", messages}, {"think", true}})).json();
  EXPECT_EQ(heard, "T1|user:a|assistant:~deep[weather {\"city\": \"Rome\"}]|tool:sun(weather)True\x02");
  EXPECT_EQ(answer["message"]["thinking"], "hm");
  EXPECT_EQ(answer["message"]["content"], "{\"city\": \"Rome\"}");
  client.post("/api/chat", ollama({{"think", "high"}}));
  EXPECT_THAT(heard, HasSubstr("True"));
  EXPECT_EQ(client.post("/api/chat", ollama({{"think", "very"}})).status, 400);
  EXPECT_EQ(client.post("/api/show", {{"model", "dummy"}}).json()["capabilities"],
            json({"completion", "tools", "thinking"}));
}

TEST(OllamaTools, FormatsHoldTheAnswer) {
  TestServer server(ServerSetup::scripted("qwen2", "words"));
  Client client = server.client();
  const auto text = [&](const std::string& path, const json& format) {
    json body = ollama({{"format", format}, {"prompt", "hi"}, {"options", {{"num_predict", 600}}}});
    body.erase("tools");
    body.erase(path == "/api/chat" ? "prompt" : "messages");
    const json answer = client.post(path, body).json();
    return path == "/api/chat" ? answer["message"]["content"].get<std::string>()
                               : answer["response"].get<std::string>();
  };
  for (const char* path : {"/api/chat", "/api/generate"}) {
    EXPECT_THAT(json::parse(text(path, schema()))["city"].get<std::string>(), testing::AnyOf("Paris", "Rome")) << path;
    EXPECT_EQ(text(path, "json").front(), '{') << path;
    EXPECT_EQ(text(path, ""), "words") << path;
  }
  for (const json& format : {json("xml"), json(5), json{{"type", "array"}, {"uniqueItems", true}}}) {
    const Reply reply = client.post("/api/chat", ollama({{"format", format}}));
    EXPECT_EQ(reply.status, 400) << format.dump();
    EXPECT_THAT(reply.body, HasSubstr("format")) << reply.body;
  }
}

TEST(OpenAiTools, ArgumentsThatComeBackAreObjectsForTemplates) {
  std::string heard;
  TestServer server(ServerSetup::scripted("qwen2", "ok", &heard));
  Client client = server.client();
  const auto prompt = [&](const json& arguments) {
    const json call = {{"id", "c"}, {"type", "function"}, {"function", {{"name", "f"}, {"arguments", arguments}}}};
    const json messages = {{{"role", "user"}, {"content", "a"}},
                           {{"role", "assistant"}, {"content", nullptr}, {"tool_calls", {call}}},
                           {{"role", "tool"}, {"tool_call_id", "c"}, {"content", "b"}}};
    EXPECT_EQ(client.post("/v1/chat/completions", {{"messages", messages}}).status, 200);
    return heard.substr(heard.find('['), heard.find(']') + 1 - heard.find('['));
  };
  EXPECT_EQ(prompt("{\"x\":1}"), "[f {\"x\": 1}]");
  EXPECT_EQ(prompt(""), "[f {}]");
  EXPECT_EQ(prompt("{broken"), "[f \"{broken\"]");
  const json deep = json::parse(std::string(49, '[') + std::string(49, ']'));
  EXPECT_EQ(client
                .post("/v1/chat/completions",
                      {{"messages",
                        {{{"role", "assistant"},
                          {"tool_calls",
                           {{{"function", {{"name", "f"}, {"arguments", json{{"x", deep}, {"y", deep}}.dump()}}}}}}}}}})
                .status,
            400)
      << "deeper than a template may be given";
}

}  // namespace
}  // namespace autoglm
