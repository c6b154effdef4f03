// Clients that are broken, slow or hostile, many at once: the server stays as it was, and they are told what is wrong.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <random>

#include "server/test_server.h"

namespace autoglm {
namespace {

using nlohmann::json;
using test::Client;
using test::eventually;
using test::metric;
using test::post_text;
using test::Reply;
using test::ServerSetup;
using test::TestServer;

std::vector<std::string> good_requests() {
  const json messages = {{{"role", "system"}, {"content", "be kind"}},
                         {{"role", "user"}, {"content", {{{"type", "text"}, {"text", "hello"}}}}}};
  return {post_text("/v1/chat/completions", {{"model", "dummy"},
                                             {"messages", messages},
                                             {"max_tokens", 5},
                                             {"stream", true},
                                             {"stop", {"a", "b"}},
                                             {"logit_bias", {{"3", 1.5}}},
                                             {"stream_options", {{"include_usage", true}}}}),
          post_text("/v1/completions", {{"prompt", {"ab", "cd"}}, {"max_tokens", 3}, {"logprobs", 2}, {"echo", true}}),
          post_text("/v1/messages", {{"system", "be kind"}, {"messages", {messages[1]}}, {"max_tokens", 5}}),
          post_text("/api/chat", {{"messages", messages}, {"options", {{"num_predict", 5}, {"stop", {"a"}}}}}),
          post_text("/api/generate", {{"prompt", "ab"}, {"raw", true}, {"stream", false}, {"keep_alive", "5m"}}),
          post_text("/tokenize", {{"messages", messages}}),
          post_text("/detokenize", {{"tokens", {1, 2, 3}}})};
}

// What a broken client might send: bytes changed, cut out, doubled; values of other kinds.
std::string mutated(std::string text, std::mt19937& random) {
  const auto any = [&](size_t n) { return std::uniform_int_distribution<size_t>(0, n - 1)(random); };
  constexpr std::string_view kKinds[] = {"null", "-1", "1e308", "\"x\"", "[]", "{}", "true", "18446744073709551615",
                                         "0.5"};
  for (size_t count = 1 + any(3); count > 0; --count) {
    const size_t body = std::min(text.find("\r\n\r\n"), text.size() - 1);
    const size_t at = any(4) == 0 ? any(text.size()) : body + any(text.size() - body);
    switch (any(5)) {
      case 0:
        text[at] = static_cast<char>(any(256));
        break;
      case 1:
        text.erase(at, 1 + any(8));
        break;
      case 2:
        text.insert(at, text.substr(at, 1 + any(8)));
        break;
      default: {
        const size_t colon = text.find(':', at);
        const size_t end = text.find_first_of(",}]", colon);
        if (colon == std::string::npos || end == std::string::npos) break;
        text.replace(colon + 1, end - colon - 1, kKinds[any(std::size(kKinds))]);
      }
    }
  }
  // The length is right most of the time: it is the body that is of interest.
  const size_t length = text.find("Content-Length: ");
  const size_t start = text.find("\r\n\r\n");
  if (length == std::string::npos || start == std::string::npos || length > start || any(8) == 0) return text;
  text.replace(length, text.find("\r\n", length) - length, fmt::format("Content-Length: {}", text.size() - start - 4));
  return text;
}

bool nothing_is_left(Client& client) {
  return eventually([&] {
    return metric(client, "vllm:num_requests_running") + metric(client, "vllm:num_requests_waiting") +
               metric(client, "vllm:kv_cache_usage_perc") ==
           0;
  });
}

TEST(Robustness, MutatedRequestsAreAnsweredOrRefusedAndNeverAFaultOfOurs) {
  ServerSetup setup;
  setup.server.http.idle_seconds = 0.3;  // for those whose length is too long
  TestServer server(std::move(setup));
  const std::vector<std::string> good = good_requests();
  for (const std::string& text : good) {
    Client client = server.client();
    client.send(text);
    EXPECT_EQ(client.receive().status, 200) << text;
  }
  Client control = server.client();
  const json question = {{"prompt", "control"}, {"max_tokens", 20}, {"logprobs", 3}};
  const json wanted = control.post("/v1/completions", question).json()["choices"];
  std::mt19937 random(20261122);
  int refused = 0;
  for (int i = 0; i < 300; ++i) {
    const std::string text = mutated(good[static_cast<size_t>(i) % good.size()], random);
    Client client = server.client();
    client.send(text);
    const Reply reply = client.receive();
    // Nothing at all: too little came in time.
    EXPECT_TRUE(reply.status == 0 || (reply.status >= 200 && reply.status < 500)) << text << "\n" << reply.body;
    if (reply.status >= 400) {
      ++refused;
      EXPECT_TRUE(reply.json().contains("error")) << text << "\n" << reply.body;
    }
  }
  EXPECT_GT(refused, 100);
  Client last = server.client();
  EXPECT_EQ(last.post("/v1/completions", question).json()["choices"], wanted) << "to the last bit of each logprob";
  EXPECT_TRUE(nothing_is_left(last));
}

TEST(Robustness, ValuesOfEveryKindInEveryField) {
  TestServer server;
  Client client = server.client();
  const json values = {nullptr,
                       true,
                       -1,
                       0,
                       1.5,
                       1e300,
                       "",
                       "x",
                       "\xEF\xBF\xBF",
                       json::array(),
                       {1},
                       {{{"a", 1}}},
                       json::object(),
                       {{"type", 3}},
                       UINT64_MAX};
  const std::vector<std::string> names = {"model",
                                          "messages",
                                          "prompt",
                                          "max_tokens",
                                          "max_completion_tokens",
                                          "temperature",
                                          "top_p",
                                          "top_k",
                                          "min_p",
                                          "n",
                                          "stream",
                                          "stop",
                                          "seed",
                                          "logprobs",
                                          "top_logprobs",
                                          "logit_bias",
                                          "presence_penalty",
                                          "frequency_penalty",
                                          "repetition_penalty",
                                          "ignore_eos",
                                          "stream_options",
                                          "chat_template_kwargs",
                                          "tools",
                                          "tool_choice",
                                          "response_format",
                                          "thinking",
                                          "reasoning_effort",
                                          "modalities",
                                          "echo",
                                          "suffix",
                                          "best_of",
                                          "user",
                                          "metadata",
                                          "parallel_tool_calls",
                                          "add_generation_prompt",
                                          "tokens",
                                          "content",
                                          "return_token_strs"};
  for (const char* path : {"/v1/chat/completions", "/v1/completions", "/tokenize", "/detokenize"}) {
    for (const std::string& name : names) {
      for (const json& value : values) {
        json body = {{"max_tokens", 1}};
        if (std::string_view(path) == "/v1/chat/completions") body["messages"] = {{{"role", "user"}, {"content", "a"}}};
        if (std::string_view(path) == "/v1/completions") body["prompt"] = "a";
        body[name] = value;
        const Reply reply = client.post(path, body);
        ASSERT_TRUE(reply.status == 200 || reply.status == 400 || reply.status == 404)
            << path << " " << body.dump() << reply.status << reply.body;
      }
    }
  }
  for (const json& value : values) {
    for (const char* member : {"role", "content", "name", "tool_calls", "reasoning_content", "tool_call_id"}) {
      json message = {{"role", "assistant"}, {"content", "a"}};
      message[member] = value;
      const Reply reply = client.post("/v1/chat/completions", {{"messages", {message}}, {"max_tokens", 1}});
      ASSERT_TRUE(reply.status == 200 || reply.status == 400) << message.dump() << reply.body;
    }
  }
}

TEST(Robustness, SlowSendersKeepNobodyWaiting) {
  ServerSetup setup;
  setup.max_queue = 2000;
  TestServer server(std::move(setup));
  const std::string text = good_requests()[1];
  std::vector<Client> slow;
  for (size_t i = 0; i < 200; ++i) {
    slow.push_back(server.client());
    slow.back().send(text.substr(0, i % text.size()));
  }
  Client client = server.client();
  for (int i = 0; i < 5; ++i) {
    client.send(text);
    EXPECT_EQ(client.receive().status, 200);
  }
  for (size_t i = 0; i < 200; ++i) slow[i].send(text.substr(i % text.size(), 10));
  client.send(text);
  EXPECT_EQ(client.receive().status, 200);
  for (size_t i = 0; i < 200; i += 7) {
    const size_t sent = std::min(text.size(), i % text.size() + 10);
    slow[i].send(text.substr(sent));
    EXPECT_EQ(slow[i].receive().status, 200) << i;
  }
}

TEST(Robustness, ClientsThatHangUpAnywhereLeaveNothingBehind) {
  ServerSetup setup;
  setup.max_queue = 2000;
  TestServer server(std::move(setup));
  std::mt19937 random(7);
  const auto any = [&](size_t n) { return std::uniform_int_distribution<size_t>(0, n - 1)(random); };
  const std::string whole = post_text("/v1/completions", {{"prompt", std::string(60, 'a')}, {"max_tokens", 20}});
  const std::string stream =
      post_text("/v1/completions", {{"prompt", "abc"}, {"max_tokens", 100}, {"stream", true}, {"n", 2}});
  for (int i = 0; i < 1000; ++i) {
    Client client = server.client();
    const std::string& text = any(2) == 0 ? whole : stream;
    client.send(any(3) == 0 ? text.substr(0, any(text.size())) : text);
    if (any(3) == 0) client.send(text.substr(0, any(text.size())));
    if (any(4) == 0) std::this_thread::sleep_for(std::chrono::microseconds(any(2000)));
    if (any(2) == 0) {
      client.reset();
    } else {
      client.close();
    }
  }
  Client last = server.client();
  EXPECT_EQ(last.post("/v1/completions", {{"prompt", "abc"}, {"max_tokens", 5}}).status, 200);
  EXPECT_TRUE(nothing_is_left(last)) << "what is kept of prompts counts as free";
  EXPECT_TRUE(eventually([&] { return metric(last, "autoglm:connections") == 1; }));
  server.finish();  // looks for blocks and sequences that were not given back
}

}  // namespace
}  // namespace autoglm
