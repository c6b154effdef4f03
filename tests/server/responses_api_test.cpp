// /v1/responses: items in, items out, and the events that build them. What the model says is a script.

#include "server/api_test.h"

namespace autoglm {
namespace {

using testing::StartsWith;

const std::string kScript =
    "<think>hm</think>I look.\n<tool_call>\n{\"name\": \"weather\", \"arguments\": {\"city\": \"Rome\"}}\n</tool_call>";
const json kTools = {{{"type", "function"},
                      {"name", "weather"},
                      {"description", "d"},
                      {"strict", true},
                      {"parameters",
                       {{"type", "object"},
                        {"properties", {{"city", {{"enum", {"Paris", "Rome"}}}}}},
                        {"required", {"city"}},
                        {"additionalProperties", false}}}}};

json asked(json more = json::object()) {
  json body = {{"model", "dummy"}, {"input", "hi"}};
  body.update(more);
  return body;
}

// What differs between two answers to one request.
json without_ids(json item) {
  item.erase("id");
  item.erase("call_id");
  return item;
}

TEST(Responses, ThoughtsTextAndCallsAreItems) {
  std::string heard;
  TestServer server(ServerSetup::scripted("qwen3", kScript, &heard));
  Client client = server.client();
  const json more = {{"tools", kTools},
                     {"instructions", "be brief"},
                     {"reasoning", {{"effort", "high"}, {"summary", "auto"}}},
                     {"metadata", {{"a", "b"}}},
                     {"store", true},
                     {"include", {"reasoning.encrypted_content"}},
                     {"max_output_tokens", 500}};
  const json answer = client.post("/v1/responses", asked(more)).json();
  EXPECT_EQ(heard, "T1|system:be brief|user:hiTrue\x02");
  EXPECT_EQ(answer["object"], "response");
  EXPECT_EQ(answer["status"], "completed");
  EXPECT_TRUE(answer["error"].is_null());
  EXPECT_TRUE(answer["incomplete_details"].is_null());
  EXPECT_EQ(answer["instructions"], "be brief");
  EXPECT_EQ(answer["top_p"], 0.95) << "not what is nearest to it in 32 bits";
  EXPECT_EQ(answer["metadata"]["a"], "b");
  EXPECT_EQ(answer["tools"], kTools);
  EXPECT_EQ(answer["reasoning"]["effort"], "high");
  EXPECT_EQ(answer["store"], false) << "nothing is kept";
  EXPECT_THAT(answer["id"].get<std::string>(), StartsWith("resp_"));
  const json& output = answer["output"];
  ASSERT_EQ(output.size(), 3U) << answer.dump();
  EXPECT_EQ(output[0]["type"], "reasoning");
  EXPECT_EQ(output[0]["content"], json({{{"type", "reasoning_text"}, {"text", "hm"}}}));
  EXPECT_EQ(output[1]["type"], "message");
  EXPECT_EQ(output[1]["role"], "assistant");
  EXPECT_EQ(output[1]["content"][0]["type"], "output_text");
  EXPECT_EQ(output[1]["content"][0]["text"], "I look.");
  EXPECT_EQ(output[2]["type"], "function_call");
  EXPECT_EQ(output[2]["name"], "weather");
  EXPECT_EQ(json::parse(output[2]["arguments"].get<std::string>()), json({{"city", "Rome"}}));
  EXPECT_THAT(output[2]["call_id"].get<std::string>(), StartsWith("call_"));
  for (const json& item : output) EXPECT_EQ(item["status"], "completed");
  const json& usage = answer["usage"];
  EXPECT_EQ(usage["input_tokens"], heard.size());
  EXPECT_EQ(usage["input_tokens_details"]["cached_tokens"], 0);
  EXPECT_EQ(usage["output_tokens"], kScript.size() + 1);
  EXPECT_GT(usage["output_tokens_details"]["reasoning_tokens"], 0);
  EXPECT_EQ(usage["total_tokens"], heard.size() + kScript.size() + 1);
  const json again = client.post("/v1/responses", asked(more)).json();
  EXPECT_GT(again["usage"]["input_tokens_details"]["cached_tokens"], 0);
}

TEST(Responses, EventsBuildTheWholeAnswer) {
  TestServer server(ServerSetup::scripted("qwen3", kScript));
  Client client = server.client();
  const json whole = client.post("/v1/responses", asked({{"tools", kTools}})).json();
  const Reply reply = client.post("/v1/responses", asked({{"tools", kTools}, {"stream", true}}));
  EXPECT_THAT(reply.body, StartsWith("event: response.created\n"));
  std::vector<std::string> kinds;
  std::vector<json> items;
  std::string text;
  json last;
  int64_t number = 0;
  for (const std::string& data : reply.events()) {
    const json event = json::parse(data);
    const std::string type = event["type"];
    EXPECT_EQ(event["sequence_number"], number++);
    if (!type.ends_with(".delta") || kinds.empty() || kinds.back() != type) kinds.push_back(type);
    if (type == "response.output_item.added") {
      EXPECT_EQ(event["output_index"], items.size());
      EXPECT_EQ(event["item"]["status"], "in_progress");
      items.push_back(event["item"]);
      text.clear();
    } else if (type.ends_with(".delta")) {
      EXPECT_EQ(event["item_id"], items.back()["id"]);
      EXPECT_EQ(event["output_index"], items.size() - 1);
      text += event["delta"].get<std::string>();
    } else if (type == "response.output_text.done" || type == "response.reasoning_text.done") {
      EXPECT_EQ(event["text"], text);
    } else if (type == "response.function_call_arguments.done") {
      EXPECT_EQ(event["arguments"], text);
    } else if (type == "response.content_part.done") {
      EXPECT_EQ(event["part"]["text"], text);
    } else if (type == "response.output_item.done") {
      EXPECT_EQ(event["item"]["id"], items.back()["id"]);
      items.back() = event["item"];
    }
    last = event;
  }
  const std::vector<std::string> wanted = {
      "response.created", "response.in_progress",
      // the thought
      "response.output_item.added", "response.content_part.added", "response.reasoning_text.delta",
      "response.reasoning_text.done", "response.content_part.done", "response.output_item.done",
      // the message
      "response.output_item.added", "response.content_part.added", "response.output_text.delta",
      "response.output_text.done", "response.content_part.done", "response.output_item.done",
      // the call
      "response.output_item.added", "response.function_call_arguments.delta", "response.function_call_arguments.done",
      "response.output_item.done",
      //
      "response.completed"};
  EXPECT_EQ(kinds, wanted);
  EXPECT_EQ(last["response"]["output"], json(items));
  ASSERT_EQ(items.size(), whole["output"].size());
  for (size_t i = 0; i < items.size(); ++i) EXPECT_EQ(without_ids(items[i]), without_ids(whole["output"][i]));
  EXPECT_EQ(last["response"]["usage"]["output_tokens"], whole["usage"]["output_tokens"]);
}

TEST(Responses, ScoresComeWithTheTextTheyAreOf) {
  TestServer server(ServerSetup::scripted("qwen2", "It is 4."));
  Client client = server.client();
  const json plain = client.post("/v1/responses", asked()).json();
  EXPECT_EQ(plain["output"][0]["content"][0]["logprobs"], json::array());
  const json ask = {{"include", {"message.output_text.logprobs"}}, {"top_logprobs", 2}};
  const json whole = client.post("/v1/responses", asked(ask)).json();
  EXPECT_EQ(whole["top_logprobs"], 2);
  const json scores = whole["output"][0]["content"][0]["logprobs"];
  std::string text;
  for (const json& one : scores) {
    text += one["token"].get<std::string>();
    EXPECT_EQ(one["bytes"], json({one["token"].get<std::string>()[0]}));
    EXPECT_NEAR(one["logprob"].get<double>(), 0, 1e-6);
    EXPECT_EQ(one["top_logprobs"].size(), 2U);
    EXPECT_EQ(one["top_logprobs"][0]["token"], one["token"]);
  }
  EXPECT_EQ(text, "It is 4.") << "the end is no part of the text";
  json streamed = json::array();
  json more = ask;
  more["stream"] = true;
  for (const std::string& data : client.post("/v1/responses", asked(more)).events()) {
    const json event = json::parse(data);
    if (event["type"] == "response.output_text.delta") {
      streamed.insert(streamed.end(), event["logprobs"].begin(), event["logprobs"].end());
    } else if (event["type"] == "response.output_text.done") {
      EXPECT_EQ(event["logprobs"], streamed);
    } else if (event["type"] == "response.completed") {
      EXPECT_EQ(event["response"]["output"][0]["content"][0]["logprobs"], streamed);
    }
  }
  EXPECT_EQ(streamed, scores);
}

TEST(Responses, AnAnswerThatIsCutIsIncomplete) {
  TestServer server(ServerSetup::scripted("qwen2", "a long answer"));
  Client client = server.client();
  const json whole = client.post("/v1/responses", asked({{"max_output_tokens", 6}})).json();
  EXPECT_EQ(whole["status"], "incomplete");
  EXPECT_EQ(whole["incomplete_details"]["reason"], "max_output_tokens");
  EXPECT_EQ(whole["output"][0]["status"], "incomplete");
  EXPECT_EQ(whole["output"][0]["content"][0]["text"], "a long");
  const Reply reply = client.post("/v1/responses", asked({{"max_output_tokens", 6}, {"stream", true}}));
  EXPECT_EQ(json::parse(reply.events().back())["type"], "response.incomplete");
}

TEST(Responses, AFailureWithinAStreamIsTheResponses) {
  ServerSetup setup = ServerSetup::scripted("qwen2", "a long answer");
  const auto say = setup.stepper->hook;
  setup.stepper->hook = [say](const std::vector<int32_t>& history, std::span<float> logits) {
    if (history.size() > 14) throw Error(Code::internal, "broken on purpose");
    say(history, logits);
  };
  TestServer server(std::move(setup));
  Client client = server.client();
  const Reply reply = client.post("/v1/responses", asked({{"stream", true}}));
  const json last = json::parse(reply.events().back());
  EXPECT_EQ(last["type"], "response.failed");
  EXPECT_EQ(last["response"]["status"], "failed");
  EXPECT_THAT(last["response"]["error"]["message"].get<std::string>(), HasSubstr("broken on purpose"));
  EXPECT_EQ(client.post("/v1/responses", asked()).status, 500);
}

TEST(Responses, ItemsBecomeTheTemplatesMessages) {
  std::string heard;
  TestServer server(ServerSetup::scripted("qwen3", "ok", &heard));
  Client client = server.client();
  const json first = client.post("/v1/responses", asked()).json();
  EXPECT_EQ(heard, "|user:hi\x02");
  json items = {
      {{"role", "developer"}, {"content", "rules"}},
      {{"type", "message"}, {"role", "user"}, {"content", {{{"type", "input_text"}, {"text", "a"}}}}},
      {{"type", "reasoning"},
       {"id", "rs_1"},
       {"summary", json::array()},
       {"content", {{{"type", "reasoning_text"}, {"text", "deep"}}}}},
      {{"type", "message"},
       {"id", "m"},
       {"status", "completed"},
       {"role", "assistant"},
       {"content",
        {{{"type", "output_text"}, {"text", "b"}, {"annotations", json::array()}, {"logprobs", json::array()}}}}},
      {{"type", "function_call"}, {"call_id", "c1"}, {"name", "f"}, {"arguments", "{\"x\":1}"}, {"id", "fc"}},
      {{"type", "function_call"}, {"call_id", "c2"}, {"name", "g"}, {"arguments", "{}"}},
      {{"type", "function_call_output"}, {"call_id", "c2"}, {"output", "two"}},
      {{"type", "function_call_output"}, {"call_id", "c1"}, {"output", {{{"type", "input_text"}, {"text", "one"}}}}},
      {{"role", "assistant"}, {"content", "done"}},
      {{"role", "user"}, {"content", "so?"}}};
  EXPECT_EQ(client.post("/v1/responses", asked({{"input", items}})).status, 200);
  EXPECT_EQ(heard,
            "|system:rules|user:a|assistant:b~deep[f {\"x\": 1}][g {}]|tool:two(g)|tool:one(f)|assistant:done|user:so?"
            "\x02");
  // What came out can go in again.
  json history = {{{"role", "user"}, {"content", "hi"}}};
  history.insert(history.end(), first["output"].begin(), first["output"].end());
  history.push_back({{"role", "user"}, {"content", "more"}});
  EXPECT_EQ(client.post("/v1/responses", asked({{"input", history}})).status, 200);
  EXPECT_EQ(heard, "|user:hi|assistant:ok|user:more\x02");
}

TEST(Responses, ChoicesAndFormatsHoldTheAnswer) {
  TestServer server(ServerSetup::scripted("qwen2", "words"));
  Client client = server.client();
  for (const json& choice : {json("required"), json{{"type", "function"}, {"name", "weather"}}}) {
    const json answer =
        client
            .post("/v1/responses", asked({{"tools", kTools}, {"tool_choice", choice}, {"parallel_tool_calls", false}}))
            .json();
    ASSERT_EQ(answer["output"].size(), 1U) << answer.dump();
    EXPECT_EQ(answer["output"][0]["type"], "function_call");
  }
  const json format = {{"type", "json_schema"}, {"name", "n"}, {"strict", true}, {"schema", kTools[0]["parameters"]}};
  const json answer = client.post("/v1/responses", asked({{"text", {{"format", format}}}})).json();
  EXPECT_EQ(answer["text"]["format"], format);
  const std::string text = answer["output"][0]["content"][0]["text"];
  EXPECT_THAT(json::parse(text)["city"].get<std::string>(), testing::AnyOf("Paris", "Rome"));
}

TEST(Responses, WhatCannotBeHonouredIsRefusedByName) {
  TestServer server(ServerSetup::scripted("qwen2", "ok"));
  Client client = server.client();
  const auto item = [](const json& one) { return json{{"input", {one}}}; };
  const std::pair<json, std::string> bad[] = {
      {{{"input", nullptr}}, "input"},
      {{{"input", 5}}, "input"},
      {{{"input", json::array()}}, "input"},
      {{{"input", ""}}, "input"},
      {item(5), "input[0]"},
      {item({{"type", "item_reference"}, {"id", "x"}}), "input[0].type"},
      {item({{"role", "user"}, {"content", {{{"type", "input_image"}}}}}), "input[0].content"},
      {item({{"role", "user"}}), "input[0].content"},
      {item({{"content", "x"}}), "input[0].role"},
      {item({{"role", "wizard"}, {"content", "x"}}), "messages[0].role"},
      {item({{"type", "function_call"}, {"name", "f"}, {"arguments", "{}"}}), "input[0].call_id"},
      {item({{"type", "function_call_output"}, {"call_id", "none"}, {"output", "x"}}), "input[0].call_id"},
      {item({{"type", "reasoning"}, {"summary", 5}}), "input[0].summary"},
      {item({{"type", "reasoning"}, {"summary", json::array()}, {"encrypted_content", "x"}}),
       "input[0].encrypted_content"},
      {item({{"role", "user"}, {"content", "x"}, {"mood", "good"}}), "input[0].mood"},
      {{{"previous_response_id", "resp_1"}}, "previous_response_id"},
      {{{"conversation", "conv_1"}}, "conversation"},
      {{{"background", true}}, "background"},
      {{{"truncation", "auto"}}, "truncation"},
      {{{"include", {"file_search_call.results"}}}, "include"},
      {{{"include", {"message.output_text.logprobs"}}, {"top_logprobs", 21}}, "top_logprobs"},
      {{{"top_logprobs", 2}}, "top_logprobs"},
      {{{"max_output_tokens", 0}}, "max_output_tokens"},
      {{{"max_tool_calls", 2}}, "max_tool_calls"},
      {{{"text", {{"format", {{"type", "yaml"}}}}}}, "text.format.type"},
      {{{"text", {{"format", {{"type", "json_schema"}}}}}}, "text.format.schema"},
      {{{"text", {{"format", {{"type", "json_schema"}, {"schema", {{"type", "array"}, {"uniqueItems", true}}}}}}}},
       "text.format"},
      {{{"reasoning", {{"effort", "high"}}}}, "reasoning.effort"},
      {{{"reasoning", {{"effort", "extreme"}}}}, "reasoning.effort"},
      {{{"tools", {{{"type", "web_search"}}}}}, "tools[0].type"},
      {{{"tool_choice", "required"}}, "tool_choice"},
      {{{"tools", kTools}, {"tool_choice", {{"type", "function"}, {"name", "other"}}}}, "tool_choice"},
      {{{"temperature", -1}}, "temperature"},
  };
  for (const auto& [more, field] : bad) {
    const Reply reply = client.post("/v1/responses", asked(more));
    EXPECT_EQ(reply.status, 400) << more.dump() << reply.body;
    EXPECT_EQ(reply.json()["error"]["param"], field) << reply.body;
  }
  EXPECT_EQ(client.post("/v1/responses", asked({{"model", "other"}})).status, 404);
}

}  // namespace
}  // namespace autoglm
