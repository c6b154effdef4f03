// The server under load and under bad clients: the queue's bound, hang-ups in every phase, slow readers, failures in
// the engine, shutting down, keys, metrics, the access log.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "server/gate.h"
#include "server/test_server.h"
#include "support/read_file.h"
#include "support/temporary_folder.h"

namespace autoglm {
namespace {

using nlohmann::json;
using test::Client;
using test::eventually;
using test::Gate;
using test::metric;
using test::Reply;
using test::ServerSetup;
using test::TestServer;
using testing::HasSubstr;

json completion(const std::string& prompt, int tokens, json more = json::object()) {
  json body = {{"prompt", prompt}, {"max_tokens", tokens}};
  body.update(more);
  return body;
}

ServerSetup gated(const std::shared_ptr<Gate>& gate) {
  ServerSetup setup;
  setup.stepper->before_step = [gate](const Batch&) { gate->wait(); };
  return setup;
}

TEST(Serving, OneTooManyHearsSoWhileTheEngineIsBusy) {
  const auto gate = std::make_shared<Gate>();
  TestServer server(gated(gate));  // 4 at once, 8 may wait
  std::vector<Client> clients;
  clients.push_back(server.client());
  clients[0].start_post("/v1/completions", completion("abc", 3));
  gate->wait_until_busy();
  for (int i = 1; i < 64; ++i) {
    clients.push_back(server.client());
    clients.back().start_post("/v1/completions", completion("abc", 3));
  }
  Client watcher = server.client();
  // Each of these is answered while the step goes on: the gate is shut.
  EXPECT_TRUE(eventually([&] { return metric(watcher, "autoglm:requests_refused_total") == 52; }));
  gate->open();
  int good = 0;
  int refused = 0;
  for (Client& client : clients) {
    const Reply reply = client.receive();
    good += reply.status == 200 ? 1 : 0;
    if (reply.status != 429) continue;
    ++refused;
    EXPECT_GE(std::stoi(reply.header("retry-after")), 1);
    EXPECT_EQ(reply.json()["error"]["type"], "rate_limit_error");
    EXPECT_EQ(reply.json()["error"]["code"], "overloaded");
  }
  EXPECT_EQ(good, 12);
  EXPECT_EQ(refused, 52);
  EXPECT_EQ(watcher.post("/v1/completions", completion("abc", 3)).status, 200) << "there is room again";
  EXPECT_EQ(metric(watcher, "vllm:num_requests_running"), 0);
}

TEST(Serving, EveryAnswerCountsAgainstTheQueue) {
  const auto gate = std::make_shared<Gate>();
  TestServer server(gated(gate));
  Client first = server.client();
  first.start_post("/v1/completions", completion("abc", 3, {{"n", 8}}));
  gate->wait_until_busy();
  Client second = server.client();
  EXPECT_EQ(second.post("/v1/completions", completion("abc", 3, {{"n", 5}})).status, 429);
  second.start_post("/v1/completions", completion("abc", 3, {{"n", 4}}));
  gate->open();
  EXPECT_EQ(first.receive().json()["choices"].size(), 8U);
  EXPECT_EQ(second.receive().json()["choices"].size(), 4U);
}

TEST(Serving, AHangUpInAnyPhaseFreesAllAndChangesNobody) {
  std::string alone;
  {
    TestServer server;
    alone = server.client().post("/v1/completions", completion("hello", 60)).json()["choices"][0]["text"];
  }
  const auto gate = std::make_shared<Gate>();
  ServerSetup setup = gated(gate);
  setup.engine.max_sequences = 3;
  TestServer server(std::move(setup));
  Client keeps = server.client();
  keeps.start_post("/v1/completions", completion("hello", 60));
  gate->wait_until_busy();
  Client decodes = server.client();
  decodes.start_post("/v1/completions", completion("some", 200, {{"stream", true}}));
  Client watcher = server.client();
  const auto inside = [&] {
    return metric(watcher, "vllm:num_requests_running") + metric(watcher, "vllm:num_requests_waiting");
  };
  for (int i = 0; i < 20 && metric(watcher, "vllm:num_requests_running") < 2; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));  // it may still be on its way to the engine
    gate->let_pass(1);
    gate->wait_until_busy();
  }
  EXPECT_FALSE(decodes.receive_some().empty()) << "it has begun";
  gate->wait_until_busy();
  Client prefills = server.client();
  prefills.start_post("/v1/completions", completion(std::string(200, 'a'), 50));
  Client waits = server.client();
  waits.start_post("/v1/completions", completion(std::string(100, 'b'), 50));
  EXPECT_TRUE(eventually([&] { return inside() >= 4; }));
  decodes.close();
  prefills.reset();
  waits.close();
  EXPECT_TRUE(eventually([&] { return metric(watcher, "autoglm:connections") <= 2; }));
  gate->open();
  EXPECT_EQ(keeps.receive().json()["choices"][0]["text"], alone);
  EXPECT_TRUE(eventually([&] { return metric(watcher, "vllm:num_requests_running") == 0; }));
  EXPECT_EQ(metric(watcher, "vllm:kv_cache_usage_perc"), 0);
  server.finish();
}

TEST(Serving, AFailureInTheEngineEndsItsRequestsAndNoOthers) {
  ServerSetup setup;
  setup.stepper->hook = [](const std::vector<int32_t>& history, std::span<float>) {
    if (history.front() == 25) throw std::runtime_error("a bug");
    if (history.front() == 24) fail(Code::numeric, "not a number");
  };
  TestServer server(std::move(setup));
  Client client = server.client();
  const Reply bug = client.post("/v1/completions", completion("zzz", 3));
  EXPECT_EQ(bug.status, 500);
  EXPECT_EQ(bug.json()["error"]["code"], "internal");
  EXPECT_EQ(client.post("/v1/completions", completion("yyy", 3)).json()["error"]["code"], "numeric");
  EXPECT_EQ(client.post("/v1/completions", completion("zzz", 3, {{"stream", true}})).status, 500);
  EXPECT_EQ(client.post("/v1/completions", completion("abc", 3)).status, 200);
  EXPECT_EQ(metric(client, "vllm:num_requests_running"), 0);
}

TEST(Serving, AStreamThatFailsLateSaysSoInTheStream) {
  ServerSetup setup;
  setup.stepper->hook = [](const std::vector<int32_t>& history, std::span<float>) {
    if (history.size() == 8) throw std::runtime_error("a bug");
  };
  TestServer server(std::move(setup));
  const Reply reply = server.client().post("/v1/completions", completion("abc", 30, {{"stream", true}}));
  EXPECT_EQ(reply.status, 200);
  const std::vector<std::string> events = reply.events();
  ASSERT_GE(events.size(), 3U);
  EXPECT_EQ(events.back(), "[DONE]");
  EXPECT_EQ(json::parse(events[events.size() - 2])["error"]["type"], "server_error");
}

TEST(Serving, AReaderThatDoesNotReadIsCancelledAndHoldsUpNobody) {
  ServerSetup setup;
  setup.stepper->context_size = 20000;
  setup.stepper->block_count = 1300;
  setup.server.http.unsent_bytes = 64 << 10;
  setup.stepper->hook = [](const std::vector<int32_t>&, std::span<float>) {};
  TestServer server(std::move(setup));
  Client lazy = server.client();
  lazy.start_post("/v1/completions", completion("abc", 19000, {{"stream", true}, {"logprobs", 20}}));
  Client client = server.client();
  EXPECT_EQ(client.post("/v1/completions", completion("abc", 30)).status, 200);
  EXPECT_TRUE(eventually([&] { return metric(client, "autoglm:requests_cancelled_total") == 1; }));
  EXPECT_EQ(metric(client, "vllm:num_requests_running"), 0);
}

TEST(Serving, WhatHangsIsCutAfterTheTimeout) {
  const auto gate = std::make_shared<Gate>();
  ServerSetup setup = gated(gate);
  setup.server.http.idle_seconds = 0.2;
  TestServer server(std::move(setup));
  const Reply reply = server.client().post("/v1/completions", completion("abc", 3));
  EXPECT_EQ(reply.status, 504);
  gate->open();
}

TEST(Serving, DeadlinesBecomeTimeouts) {
  ServerSetup setup;
  setup.engine.deadlines.decode = 1e-9;
  TestServer server(std::move(setup));
  const Reply reply = server.client().post("/v1/completions", completion("abc", 30));
  EXPECT_EQ(reply.status, 504);
  EXPECT_EQ(reply.json()["error"]["code"], "deadline_exceeded");
}

TEST(Serving, StoppingLetsWhatRunsFinishAndTakesNothingNew) {
  const auto gate = std::make_shared<Gate>();
  TestServer server(gated(gate));
  Client runs = server.client();
  runs.start_post("/v1/completions", completion("abc", 30));
  Client idle = server.client();
  EXPECT_EQ(idle.get("/health").status, 200);
  gate->wait_until_busy();
  server.server().stop();
  EXPECT_TRUE(idle.closed());
  gate->open();
  const Reply reply = runs.receive();
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(reply.json()["usage"]["completion_tokens"], 30);
  server.join();
  EXPECT_EQ(server.client().get("/health").status, 0);
}

TEST(Serving, StoppingTwiceOrTooLongCutsWhatRuns) {
  for (const bool twice : {true, false}) {
    const auto gate = std::make_shared<Gate>();
    ServerSetup setup = gated(gate);
    if (!twice) setup.server.drain_seconds = 0.05;
    TestServer server(std::move(setup));
    Client runs = server.client();
    runs.start_post("/v1/completions", completion("abc", 100));
    gate->wait_until_busy();
    server.server().stop();
    if (twice) server.server().stop();
    EXPECT_EQ(runs.receive().status, 0);
    gate->open();
    server.join();
  }
}

TEST(Serving, KeysOpenEveryRouteButHealth) {
  const test::TemporaryFolder folder;
  const std::filesystem::path file = folder.write("keys", "# ours\nsecret-key-1\n\nsecret-key-2\r\n");
  ServerSetup setup;
  setup.server.service.api_key_file = file.string();
  TestServer server(std::move(setup));
  Client client = server.client();
  EXPECT_EQ(client.get("/health").status, 200);
  for (const char* path : {"/v1/models", "/metrics", "/version"}) {
    EXPECT_EQ(client.get(path).status, 401) << path;
    EXPECT_EQ(client.get(path, "Authorization: Bearer secret-key-3\r\n").status, 401) << path;
    EXPECT_EQ(client.get(path, "Authorization: Bearer secret-key-2\r\n").status, 200) << path;
    EXPECT_EQ(client.get(path, "x-api-key: secret-key-1\r\n").status, 200) << path;
  }
  for (const char* path : {"/v1/chat/completions", "/v1/completions", "/tokenize", "/detokenize"}) {
    Client other = server.client();
    const Reply reply = other.post(path, json::object());
    EXPECT_EQ(reply.status, 401) << path;
    EXPECT_EQ(reply.json()["error"]["type"], "authentication_error");
  }
}

TEST(Serving, FilesOfKeysThatAreNone) {
  const test::TemporaryFolder folder;
  const auto error = [&](const std::string& content) {
    try {
      const ApiKeys keys(folder.write("keys", content), 0);
    } catch (const Error& refused) {
      return refused.code();
    }
    return Code::internal;
  };
  EXPECT_EQ(error(""), Code::bad_config);
  EXPECT_EQ(error("# only a comment\n"), Code::bad_config);
  EXPECT_EQ(error("short\n"), Code::bad_config);
  EXPECT_EQ(error("two words here\n"), Code::bad_config);
  EXPECT_THROW(ApiKeys(folder / "missing", 0), Error);
  EXPECT_THROW(ApiKeys(folder.path(), 0), Error);
  ApiKeys keys(folder.write("keys", "first-key-1\n"), 0);
  EXPECT_TRUE(keys.client("first-key-1"));
  EXPECT_FALSE(keys.client("second-key-2"));
  folder.write("keys", "second-key-2\n");
  keys.reload(0);
  EXPECT_FALSE(keys.client("first-key-1"));
  EXPECT_TRUE(keys.client("second-key-2"));
  folder.write("keys", "bad\n");
  EXPECT_THROW(keys.reload(0), Error);
  EXPECT_TRUE(keys.client("second-key-2")) << "a bad file leaves the keys as they were";
}

TEST(Serving, MetricsCountWhatHappened) {
  TestServer server;
  Client client = server.client();
  client.post("/v1/completions", completion("abcdefghijklmnopqrstuvwxyz", 10));
  client.post("/v1/completions", completion("abcdefghijklmnopqrstuvwxyz", 10, {{"stream", true}}));
  client.post("/v1/completions", completion("abc", 10, {{"nonsense", 1}}));
  EXPECT_EQ(metric(client, "vllm:prompt_tokens_total"), 52);
  EXPECT_EQ(metric(client, "vllm:generation_tokens_total"), 20);
  EXPECT_EQ(metric(client, "autoglm:cached_prompt_tokens_total"), 16);
  EXPECT_EQ(metric(client, "autoglm:computed_prompt_tokens_total"), 52 - 16);
  EXPECT_EQ(metric(client, "vllm:prefix_cache_hits_total"), 16);
  EXPECT_EQ(metric(client, "vllm:prefix_cache_queries_total"), 52);
  EXPECT_EQ(metric(client, "vllm:request_success_total{finished_reason=\"length\""), 2);
  EXPECT_EQ(metric(client, "autoglm:requests_refused_total{model_name=\"default\",status=\"400\""), 1);
  EXPECT_EQ(metric(client, "vllm:inter_token_latency_seconds_count"), 18);
  for (const char* name :
       {"vllm:time_to_first_token_seconds", "vllm:e2e_request_latency_seconds", "vllm:request_queue_time_seconds",
        "vllm:request_prefill_time_seconds", "vllm:request_decode_time_seconds"}) {
    EXPECT_EQ(metric(client, std::string(name) + "_count"), 2) << name;
  }
  EXPECT_GT(metric(client, "autoglm:step_seconds_count"), 10);
  EXPECT_GT(metric(client, "autoglm:batch_size_sum"), 10);
}

TEST(Serving, TheAccessLogHasALineARequestAndNoPrompt) {
  const test::TemporaryFolder folder;
  ServerSetup setup;
  setup.server.service.access_log = (folder / "log").string();
  TestServer server(std::move(setup));
  {
    Client client = server.client();
    client.post("/v1/completions", completion("confidential", 5), "x-request-id: first\r\n");
    client.post("/v1/completions", completion("confidential", 5, {{"stream", true}}), "x-request-id: second\r\n");
    client.get("/nowhere", "x-request-id: third\r\n");
  }
  server.server().stop();
  server.join();
  const std::string text = test::read_file(folder / "log");
  EXPECT_THAT(text, testing::Not(HasSubstr("confidential")));
  std::istringstream lines(text);
  std::string line;
  std::vector<json> entries;
  while (std::getline(lines, line)) entries.push_back(json::parse(line));
  ASSERT_EQ(entries.size(), 3U);
  EXPECT_EQ(entries[0]["id"], "first");
  EXPECT_EQ(entries[0]["status"], 200);
  EXPECT_EQ(entries[0]["path"], "/v1/completions");
  EXPECT_EQ(entries[0]["streamed"], false);
  EXPECT_EQ(entries[1]["streamed"], true);
  EXPECT_GT(entries[1]["bytes"], 100);
  EXPECT_EQ(entries[2]["status"], 404);
  for (const json& entry : entries) EXPECT_GE(entry["ms"].get<double>(), 0);
}

}  // namespace
}  // namespace autoglm
