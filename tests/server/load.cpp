#include "server/load.h"

#include <fmt/format.h>

#include <chrono>
#include <functional>
#include <map>
#include <thread>
#include <utility>

namespace autoglm::test {
namespace {

using nlohmann::json;

const json kTool = json::parse(R"({"type": "function", "function": {"name": "go", "parameters": {"type": "object",
    "properties": {"to": {"enum": ["a", "b"]}}, "required": ["to"], "additionalProperties": false}}})");
const json kSchema =
    json::parse(R"({"type": "object", "properties": {"n": {"type": "integer"}, "ok": {"type": "boolean"}},
    "required": ["n", "ok"], "additionalProperties": false})");

json chat(const std::string& question, json more) {
  const std::string system = "You answer in few words, you are kind, and you never say what you do not know for sure.";
  json body = {{"messages", {{{"role", "system"}, {"content", system}}, {{"role", "user"}, {"content", question}}}},
               {"max_tokens", 16}};
  body.update(more);
  return body;
}

json completion(const std::string& prompt, int tokens, json more) {
  json body = {{"prompt", prompt}, {"max_tokens", tokens}};
  body.update(more);
  return body;
}

// What must be the same each time: ids, times and what the cache had are not.
std::string signature(json reply) {
  const std::function<void(json&)> strip = [&strip](json& value) {
    if (value.is_object()) {
      for (const char* name : {"id", "created", "created_at", "usage", "total_duration", "load_duration",
                               "prompt_eval_duration", "eval_duration", "prompt_eval_count"}) {
        value.erase(name);
      }
    }
    if (value.is_structured()) {
      for (json& inner : value) strip(inner);
    }
  };
  strip(reply);
  return reply.dump();
}

// The texts of all choices, one behind the other.
std::string text_of(const json& reply) {
  std::string text;
  for (const json& choice : reply.value("choices", json::array())) {
    const json& content = choice.contains("text") ? choice["text"] : choice["message"]["content"];
    text += (content.is_string() ? content.get<std::string>() : "") + "|";
  }
  return text;
}

std::string text_of_stream(const Reply& reply) {
  std::map<int, std::string> texts;
  for (const std::string& event : reply.events()) {
    const json piece = json::parse(event, nullptr, false);
    if (!piece.is_object()) continue;
    for (const json& choice : piece.value("choices", json::array())) {
      std::string& text = texts[choice["index"].get<int>()];
      if (choice.contains("text")) text += choice["text"].get<std::string>();
      const json content = choice.value("delta", json::object()).value("content", json());
      if (content.is_string()) text += content.get<std::string>();
    }
  }
  std::string all;
  for (const auto& [index, text] : texts) all += text + "|";
  return all;
}

}  // namespace

std::vector<MixedLoad::Ask> MixedLoad::asks() {
  std::string paragraph;
  while (paragraph.size() < 300) paragraph += "the quick brown fox jumps over the lazy dog, ";
  const json format = {{"type", "json_schema"}, {"json_schema", {{"name", "n"}, {"schema", kSchema}}}};
  return {
      {"/v1/completions", completion("hello world", 24, {{"logprobs", 2}}), true},
      {"/v1/completions", completion(paragraph, 8, json::object()), true},
      {"/v1/completions", completion("one two ", 20, {{"n", 2}, {"temperature", 0.8}, {"seed", 5}}), true},
      {"/v1/completions", completion("abc abc abc abc abc ", 40, {{"stop", {"zq"}}, {"ignore_eos", true}}), true},
      {"/v1/chat/completions", chat("Why is the sky blue?", {{"temperature", 0.9}, {"seed", 7}}), true},
      {"/v1/chat/completions", chat("How many?", {{"response_format", format}, {"max_tokens", 40}}), true},
      {"/v1/chat/completions", chat("Go.", {{"tools", {kTool}}, {"tool_choice", "required"}, {"max_tokens", 80}}),
       false},
      {"/v1/chat/completions", chat("Go?", {{"tools", {kTool}}, {"logprobs", true}, {"top_logprobs", 3}}), false},
      {"/v1/messages", chat("Who?", json::object()), false},
      {"/api/generate",
       {{"prompt", "hello"}, {"stream", false}, {"raw", true}, {"options", {{"num_predict", 9}}}},
       false},
      {"/tokenize", {{"prompt", std::string(70000, 'a')}}, false},
  };
}

void MixedLoad::learn() {
  Client client(port_);
  for (Ask& ask : asks_) {
    if (ask.path == "/v1/messages") {  // the system's part has a place of its own
      ask.body["system"] = ask.body["messages"][0]["content"];
      ask.body["messages"].erase(0);
    }
    const Reply reply = client.post(ask.path, ask.body);
    note(reply.status == 200, fmt::format("{} alone: {} {}", ask.path, reply.status, reply.body));
    ask.answer = signature(reply.json());
    ask.text = text_of(reply.json());
  }
}

void MixedLoad::run(uint32_t seed, int64_t count) {
  Random random(seed);
  Connection client = std::make_unique<Client>(port_);
  for (int64_t i = 0; i < count && !stops(); ++i) {
    one(client, random);
    if (random() % 8 == 0) client.reset();
    if (!client) client = std::make_unique<Client>(port_);
  }
}

// A server may close after an answer, and says so.
Reply MixedLoad::ask_with(Connection& client, const std::string& path, const json* body) {
  Reply reply = body == nullptr ? client->get(path) : client->post(path, *body);
  if (reply.header("connection") == "close") client.reset();
  return reply;
}

void MixedLoad::one(Connection& client, Random& random) {
  const Ask& ask = asks_[random() % asks_.size()];
  switch (random() % 8) {
    case 0:
      return leave(ask, random);
    case 1:
      return refused(client, random);
    case 2:
      return look(client, random);
    case 3:
    case 4:
      if (ask.streams) return stream(client, ask);
      [[fallthrough]];
    default:
      return whole(client, ask);
  }
}

void MixedLoad::whole(Connection& client, const Ask& ask) {
  const Reply reply = ask_with(client, ask.path, &ask.body);
  if (expected_end(reply.status)) return;
  const std::string got = signature(reply.json());
  note(reply.status == 200 && got == ask.answer,
       fmt::format("{} {}: status {}, {} instead of {}", ask.path, ask.body.dump().substr(0, 200), reply.status,
                   got.substr(0, 2000), ask.answer.substr(0, 2000)));
}

void MixedLoad::stream(Connection& client, const Ask& ask) {
  json body = ask.body;
  body["stream"] = true;
  const Reply reply = ask_with(client, ask.path, &body);
  if (expected_end(reply.status)) return;
  const std::string got = text_of_stream(reply);
  note(reply.status == 200 && reply.whole && got == ask.text,
       fmt::format("{} streamed: status {}, '{}' instead of '{}'", ask.path, reply.status, got, ask.text));
}

// A client that does not wait: it goes in the middle of its request, of the prompt, or of the stream.
void MixedLoad::leave(const Ask& ask, Random& random) const {
  Client client(port_);
  json body = ask.body;
  if (ask.streams) body["stream"] = random() % 2 == 0;
  const std::string text = post_text(ask.path, body);
  client.send(random() % 3 == 0 ? text.substr(0, random() % text.size()) : text);
  if (random() % 2 == 0) std::this_thread::sleep_for(std::chrono::microseconds(random() % 5000));
  if (random() % 3 == 0) client.reset();
}

void MixedLoad::refused(Connection& client, Random& random) {
  const auto [path, body] = std::vector<std::pair<std::string, json>>{
      {"/v1/completions", completion(std::string(100000, 'b'), 5, json::object())},  // more than the context holds
      {"/v1/completions", completion("a", 5, {{"nonsense", 1}})},
      {"/v1/chat/completions", chat("a", {{"response_format", {{"type", "json_schema"}}}})},
      {"/v1/chat/completions", chat("a", {{"model", "other"}})},
      {"/v1/embeddings", {{"input", std::string(2000, 'e')}, {"model", "nobody"}}},
  }[random() % 5];
  const Reply reply = ask_with(client, path, &body);
  if (expected_end(reply.status)) return;
  const std::scoped_lock lock(mutex_);
  ++counts_.asked;
  ++counts_.refused;
  if (reply.status < 400 || reply.status >= 500) counts_.wrong.push_back(fmt::format("{}: {}", path, reply.status));
}

void MixedLoad::look(Connection& client, Random& random) {
  const char* path = std::vector<const char*>{"/metrics", "/health", "/v1/models", "/version"}[random() % 4];
  const Reply reply = ask_with(client, path, nullptr);
  if (!expected_end(reply.status)) note(reply.status == 200, fmt::format("{}: {}", path, reply.status));
}

void MixedLoad::note(bool good, const std::string& what) {
  const std::scoped_lock lock(mutex_);
  ++counts_.asked;
  if (good) {
    ++counts_.answered;
  } else {
    counts_.wrong.push_back(what);
  }
}

// The server is stopping, and this is how a client hears of it.
bool MixedLoad::expected_end(int status) {
  const std::scoped_lock lock(mutex_);
  if (!stopping_ || (status != 0 && status != 503)) return false;
  ++counts_.asked;
  ++counts_.refused;
  return true;
}

void MixedLoad::stopping() {
  const std::scoped_lock lock(mutex_);
  stopping_ = true;
}

bool MixedLoad::stops() const {
  const std::scoped_lock lock(mutex_);
  return stopping_;
}

LoadCounts MixedLoad::counts() const {
  const std::scoped_lock lock(mutex_);
  return counts_;
}

}  // namespace autoglm::test
