// Anthropic's and Ollama's APIs, on the same model as OpenAI's: the same text in other words.

#include "server/api_test.h"

namespace autoglm {
namespace {

json question(json more = json::object()) {
  json body = {{"model", "dummy"}, {"messages", {{{"role", "user"}, {"content", "hello"}}}}};
  body.update(more);
  return body;
}

std::string wanted(Client& client) {
  const Reply reply = client.post("/v1/chat/completions", question({{"max_tokens", 12}}));
  return reply.json()["choices"][0]["message"]["content"];
}

TEST(Anthropic, WholeAndStreamedAreOpenAisAnswer) {
  TestServer server;
  Client client = server.client();
  const std::string text = wanted(client);
  const json whole = client.post("/v1/messages", question({{"max_tokens", 12}})).json();
  EXPECT_EQ(whole["type"], "message");
  EXPECT_EQ(whole["role"], "assistant");
  EXPECT_EQ(whole["content"], json({{{"type", "text"}, {"text", text}}}));
  EXPECT_EQ(whole["stop_reason"], "max_tokens");
  EXPECT_TRUE(whole["stop_sequence"].is_null());
  EXPECT_EQ(whole["usage"]["input_tokens"], 6);
  EXPECT_EQ(whole["usage"]["output_tokens"], 12);
  const Reply reply = client.post("/v1/messages", question({{"max_tokens", 12}, {"stream", true}}));
  std::vector<std::string> types;
  std::string joined;
  json last;
  for (const std::string& data : reply.events()) {
    const json event = json::parse(data);
    types.push_back(event["type"]);
    if (types.back() == "content_block_delta") joined += event["delta"]["text"].get<std::string>();
    if (types.back() == "message_start") EXPECT_EQ(event["message"]["usage"]["input_tokens"], 6);
    if (types.back() == "message_delta") last = event;
  }
  EXPECT_EQ(joined, text);
  EXPECT_EQ(types.front(), "message_start");
  EXPECT_EQ(types[1], "content_block_start");
  EXPECT_EQ(types[types.size() - 3], "content_block_stop");
  EXPECT_EQ(types.back(), "message_stop");
  EXPECT_EQ(last["delta"]["stop_reason"], "max_tokens");
  EXPECT_EQ(last["usage"]["output_tokens"], 12);
  EXPECT_THAT(reply.body, HasSubstr("event: message_start\n"));
}

TEST(Anthropic, StopsSystemsCountsAndErrors) {
  TestServer server;
  Client client = server.client();
  const std::string text = wanted(client);
  const json stopped =
      client.post("/v1/messages", question({{"max_tokens", 12}, {"stop_sequences", {text.substr(4, 2)}}})).json();
  EXPECT_EQ(stopped["stop_reason"], "stop_sequence");
  EXPECT_EQ(stopped["stop_sequence"], text.substr(4, 2));
  EXPECT_EQ(client.post("/v1/messages/count_tokens", question()).json()["input_tokens"], 6);
  const json system = {{"system", {{{"type", "text"}, {"text", "abc"}}}}};
  EXPECT_EQ(client.post("/v1/messages/count_tokens", question(system)).json()["input_tokens"], 10);
  const Reply missing = client.post("/v1/messages", question());
  EXPECT_EQ(missing.status, 400);
  EXPECT_EQ(missing.json()["type"], "error");
  EXPECT_EQ(missing.json()["error"]["type"], "invalid_request_error");
  EXPECT_THAT(missing.body, HasSubstr("max_tokens"));
  const Reply unknown = client.post("/v1/messages", question({{"model", "other"}, {"max_tokens", 1}}));
  EXPECT_EQ(unknown.status, 404);
  EXPECT_EQ(unknown.json()["error"]["type"], "not_found_error");
  for (const json& more :
       {json{{"tools", {{{"name", "a"}}}}}, json{{"thinking", {{"type", "enabled"}}}}, json{{"n", 2}},
        json{{"system", 5}}, json{{"messages", 5}}, json{{"stop_sequences", 5}}, json{{"stop_sequences", {""}}}}) {
    json body = question({{"max_tokens", 1}});
    body.update(more);
    EXPECT_EQ(client.post("/v1/messages", body).status, 400) << more.dump();
  }
}

TEST(Ollama, ChatAndGenerateWholeAndStreamed) {
  TestServer server;
  Client client = server.client();
  const std::string text = wanted(client);
  const json options = {{"options", {{"num_predict", 12}, {"temperature", 0}, {"num_ctx", 256}}}};
  json body = question(options);
  body["stream"] = false;
  const json whole = client.post("/api/chat", body).json();
  EXPECT_EQ(whole["message"]["content"], text);
  EXPECT_EQ(whole["done"], true);
  EXPECT_EQ(whole["done_reason"], "length");
  EXPECT_EQ(whole["prompt_eval_count"], 6);
  EXPECT_EQ(whole["eval_count"], 12);
  const auto lines = [&](const std::string& path, const json& asked) {
    const Reply reply = client.post(path, asked);
    EXPECT_EQ(reply.header("content-type"), "application/x-ndjson");
    std::vector<json> all;
    std::istringstream in(reply.body);
    for (std::string line; std::getline(in, line);) all.push_back(json::parse(line));
    return all;
  };
  std::string joined;
  const std::vector<json> chat = lines("/api/chat", question(options));
  for (const json& line : chat) joined += line["message"]["content"].get<std::string>();
  EXPECT_EQ(joined, text);
  EXPECT_EQ(chat.back()["done"], true);
  joined.clear();
  for (const json& line :
       lines("/api/generate", {{"model", "dummy:latest"}, {"prompt", "hello"}, {"options", options["options"]}})) {
    joined += line["response"].get<std::string>();
  }
  EXPECT_EQ(joined, text);
}

TEST(Ollama, NamesShowAndErrors) {
  TestServer server;
  Client client = server.client();
  EXPECT_EQ(client.get("/api/tags").json()["models"][1]["name"], "gpt-dummy");
  EXPECT_EQ(client.get("/api/version").json()["version"], "1.2.3");
  EXPECT_EQ(client.post("/api/show", {{"model", "dummy"}}).json()["capabilities"][0], "completion");
  const Reply unknown = client.post("/api/show", {{"model", "other"}});
  EXPECT_EQ(unknown.status, 404);
  EXPECT_TRUE(unknown.json()["error"].is_string());
  for (const json& more :
       {json{{"format", "json"}}, json{{"options", {{"num_ctx", 100000}}}}, json{{"options", {{"mirostat", 1}}}},
        json{{"think", true}}, json{{"stream", 1}}, json{{"tools", {1}}}, json{{"options", 3}}}) {
    const Reply reply = client.post("/api/chat", question(more));
    EXPECT_EQ(reply.status, 400) << more.dump();
    EXPECT_TRUE(reply.json()["error"].is_string());
  }
  json image = question();
  image["messages"][0]["images"] = {"aGVsbG8="};
  EXPECT_EQ(client.post("/api/chat", image).status, 400);
}

}  // namespace
}  // namespace autoglm
