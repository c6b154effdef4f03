// What a key may ask: requests and tokens a minute, requests at once.

#include "server/api_keys.h"
#include "server/api_test.h"
#include "server/gate.h"
#include "support/temporary_folder.h"

namespace autoglm {
namespace {

using testing::Pair;
using testing::UnorderedElementsAre;

TEST(TokenBucket, FillsAtAnEvenPaceUpToAMinutesWorth) {
  TokenBucket bucket(60, 100);
  EXPECT_EQ(bucket.level(100), 60);
  for (int i = 0; i < 60; ++i) bucket.take(1, 100);
  EXPECT_EQ(bucket.level(100), 0);
  EXPECT_EQ(bucket.seconds_until(1, 100), 1);
  EXPECT_DOUBLE_EQ(bucket.level(100.5), 0.5);
  EXPECT_DOUBLE_EQ(bucket.seconds_until(1, 100.5), 0.5);
  EXPECT_EQ(bucket.level(130), 30);
  EXPECT_EQ(bucket.level(1000), 60);
  bucket.take(90, 1000);
  EXPECT_EQ(bucket.level(1000), -30) << "on credit";
  EXPECT_EQ(bucket.seconds_until(1, 1000), 31);
  EXPECT_EQ(bucket.seconds_until(1000, 1000), 90) << "more than a minute's worth never comes together";
  EXPECT_EQ(bucket.level(1060), 30);
}

TEST(TokenBucket, ATimeThatGoesBackIsNoTime) {
  TokenBucket bucket(60, 100);
  bucket.take(60, 100);
  EXPECT_EQ(bucket.level(50), 0);
  bucket.take(1, 50);
  EXPECT_EQ(bucket.level(101), 0);
}

TEST(ClientMeter, EachLimitRefusesAndSaysWhenToComeBack) {
  ClientMeter meter("ci", {.requests_per_minute = 3, .tokens_per_minute = 600, .concurrent = 2}, 0);
  EXPECT_EQ(meter.enter(0).refused, "");
  EXPECT_EQ(meter.enter(0).refused, "");
  EXPECT_THAT(meter.enter(0).refused, HasSubstr("2 requests at once"));
  meter.leave();
  EXPECT_EQ(meter.enter(0).refused, "") << "what was refused cost nothing";
  meter.leave();
  const ClientMeter::Verdict third = meter.enter(0);
  EXPECT_THAT(third.refused, HasSubstr("3 requests a minute"));
  EXPECT_DOUBLE_EQ(third.retry_after, 20);
  EXPECT_EQ(meter.enter(20).refused, "");
  meter.leave();
  meter.charge(1000, 40);
  const ClientMeter::Verdict spent = meter.enter(40);
  EXPECT_THAT(spent.refused, HasSubstr("600 tokens a minute"));
  EXPECT_DOUBLE_EQ(spent.retry_after, 40.1);
  EXPECT_THAT(
      meter.headers(40),
      UnorderedElementsAre(Pair("x-ratelimit-limit-requests", "3"), Pair("x-ratelimit-remaining-requests", "1"),
                           Pair("x-ratelimit-reset-requests", "40s"), Pair("x-ratelimit-limit-tokens", "600"),
                           Pair("x-ratelimit-remaining-tokens", "0"), Pair("x-ratelimit-reset-tokens", "1m40s")));
  EXPECT_EQ(meter.enter(81).refused, "");
}

TEST(ClientMeter, DurationsAreWrittenAsOpenAIDoes) {
  EXPECT_EQ(duration_text(0), "0s");
  EXPECT_EQ(duration_text(0.35), "350ms");
  EXPECT_EQ(duration_text(1.5), "1.5s");
  EXPECT_EQ(duration_text(360), "6m0s");
  EXPECT_EQ(duration_text(61.25), "1m1.25s");
}

TEST(ApiKeys, LinesSayWhoAndHowMuch) {
  const test::TemporaryFolder folder;
  const auto file = folder.write("keys",
                                 "plain-key-1\nci-key-0001  name=ci rpm=60 tpm=1000\nci-key-0002 name=ci rpm=60 "
                                 "tpm=1000 \nbatch-key-1 concurrent=2\n");
  ApiKeys keys(file, 0);
  EXPECT_EQ(keys.size(), 4U);
  EXPECT_FALSE(keys.client("plain-key-1")->limits().any());
  EXPECT_THAT(keys.client("plain-key-1")->name(), testing::MatchesRegex("key-[0-9a-f]+"));
  EXPECT_EQ(keys.client("ci-key-0001")->name(), "ci");
  EXPECT_EQ(keys.client("ci-key-0001"), keys.client("ci-key-0002")) << "an old key and its successor are one client";
  EXPECT_EQ(keys.client("ci-key-0001")->limits(), (ClientLimits{.requests_per_minute = 60, .tokens_per_minute = 1000}));
  EXPECT_EQ(keys.client("batch-key-1")->limits().concurrent, 2);
  EXPECT_EQ(keys.client("ci-key-0003"), nullptr);
  keys.client("ci-key-0001")->charge(5000, 0);
  folder.write("keys", "ci-key-0002 name=ci rpm=60 tpm=1000\nbatch-key-1 concurrent=3\n");
  keys.reload(1);
  EXPECT_NE(keys.client("ci-key-0002")->enter(1).refused, "") << "reading the file again forgives nothing";
  EXPECT_EQ(keys.client("batch-key-1")->limits().concurrent, 3);
  EXPECT_EQ(keys.client("plain-key-1"), nullptr);
}

TEST(ApiKeys, LinesThatSayNothingClearAreRefusedWithoutTheKey) {
  const test::TemporaryFolder folder;
  for (const char* rest : {"rpm=0", "rpm=-1", "rpm=1.5", "rpm=", "rpm", "tpm=99999999999999999999", "name=", "name=a/b",
                           "speed=3", "=", "another-key", "name=x rpm=1\nother-key-1 name=x rpm=2"}) {
    try {
      const ApiKeys keys(folder.write("keys", std::string("# first\nsecret-key-1 ") + rest + "\n"), 0);
      ADD_FAILURE() << rest;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), Code::bad_config) << rest;
      EXPECT_THAT(error.what(),
                  HasSubstr(std::string_view(rest).find('\n') == std::string_view::npos ? "line 2" : "line 3"));
      EXPECT_THAT(error.what(), testing::Not(HasSubstr("key-1"))) << rest;
    }
  }
}

json completion(int tokens) { return {{"prompt", "abc"}, {"max_tokens", tokens}}; }

ServerSetup with_keys(const test::TemporaryFolder& folder, const std::string& text) {
  ServerSetup setup;
  setup.server.service.api_key_file = folder.write("keys", text).string();
  return setup;
}

TEST(Limits, RequestsBeyondThemAre429WithOpenAIsHeaders) {
  const test::TemporaryFolder folder;
  TestServer server(with_keys(folder, "secret-key-1 name=ci rpm=2\nsecret-key-2\n"));
  Client client = server.client();
  const std::string key = "Authorization: Bearer secret-key-1\r\n";
  for (int i = 0; i < 5; ++i) EXPECT_EQ(client.get("/v1/models", key).status, 200) << "looking costs nothing";
  EXPECT_EQ(client.get("/debug/pprof/profile?seconds=-1", key).status, 400);
  const Reply first = client.post("/v1/completions", completion(3), key);
  EXPECT_EQ(first.status, 200);
  EXPECT_EQ(first.header("x-ratelimit-limit-requests"), "2");
  EXPECT_EQ(first.header("x-ratelimit-remaining-requests"), "1");
  EXPECT_EQ(client.post("/v1/completions", json::object(), key).status, 400) << "a bad request counts too";
  const Reply refused = client.post("/v1/completions", completion(3), key);
  EXPECT_EQ(refused.status, 429);
  EXPECT_GE(std::stoi(refused.header("retry-after")), 1);
  EXPECT_LE(std::stoi(refused.header("retry-after")), 30);
  EXPECT_EQ(refused.header("x-ratelimit-remaining-requests"), "0");
  EXPECT_EQ(refused.json()["error"]["type"], "rate_limit_error");
  EXPECT_EQ(refused.json()["error"]["code"], "rate_limit_exceeded") << "OpenAI's name for it";
  EXPECT_EQ(test::metric(client, "autoglm:requests_refused_total"), 0) << "/metrics needs a key";
  const Reply other = client.post("/v1/completions", completion(3), "Authorization: Bearer secret-key-2\r\n");
  EXPECT_EQ(other.status, 200);
  EXPECT_EQ(other.header("x-ratelimit-limit-requests"), "");
}

TEST(Limits, TokensAreCountedWhenTheyAreComputed) {
  const test::TemporaryFolder folder;
  TestServer server(with_keys(folder, "secret-key-1 tpm=40\n"));
  const std::string key = "x-api-key: secret-key-1\r\n";
  Client client = server.client();
  const Reply first = client.post("/v1/completions", completion(60), key);
  EXPECT_EQ(first.status, 200) << "one may take more than is left";
  EXPECT_EQ(first.header("x-ratelimit-limit-tokens"), "40");
  Client next = server.client();
  const Reply refused = next.post("/v1/completions", completion(1), key);
  EXPECT_EQ(refused.status, 429);
  EXPECT_GE(std::stoi(refused.header("retry-after")), 30) << "63 were taken of 40";
}

TEST(Limits, RequestsAtOnceEndBeforeTheirAnswerIsKnown) {
  const test::TemporaryFolder folder;
  const auto gate = std::make_shared<test::Gate>();
  ServerSetup setup = with_keys(folder, "secret-key-1 name=ci concurrent=1\n");
  setup.stepper->before_step = [gate](const Batch&) { gate->wait(); };
  TestServer server(std::move(setup));
  const std::string key = "x-api-key: secret-key-1\r\n";
  Client first = server.client();
  first.start_post("/v1/completions", completion(5), key);
  gate->wait_until_busy();
  Client second = server.client();
  const Reply refused = second.post("/v1/completions", completion(1), key);
  EXPECT_EQ(refused.status, 429);
  EXPECT_EQ(refused.header("retry-after"), "1");
  gate->open();
  EXPECT_EQ(first.receive().status, 200);
  // Whatever an answer is (whole, streamed, refused, computed by the helper), the next request may follow at once.
  for (int i = 0; i < 200; ++i) {
    json body = completion(2);
    if (i % 4 == 1) body["stream"] = true;
    if (i % 4 == 2) body["nonsense"] = true;
    const Reply reply =
        first.post(i % 4 == 3 ? "/tokenize" : "/v1/completions", i % 4 == 3 ? json{{"prompt", "a"}} : body, key);
    ASSERT_EQ(reply.status, i % 4 == 2 ? 400 : 200) << i << reply.body;
  }
  // A client that goes away is not inside for ever.
  for (int i = 0; i < 20; ++i) {
    Client leaves = server.client();
    leaves.start_post("/v1/completions", completion(100), key);
    leaves.reset();
  }
  EXPECT_TRUE(test::eventually([&] { return first.post("/v1/completions", completion(1), key).status == 200; }));
}

TEST(Limits, MetricsNameWhoAskedAndNeverTheKey) {
  const test::TemporaryFolder folder;
  TestServer server(with_keys(folder, "secret-key-1 name=ci rpm=2\nsecret-key-2\n"));
  Client client = server.client();
  const std::string ci = "x-api-key: secret-key-1\r\n";
  const std::string unnamed = "x-api-key: secret-key-2\r\n";
  EXPECT_EQ(client.post("/v1/completions", completion(3), ci).status, 200);
  EXPECT_EQ(client.post("/v1/completions", json::object(), ci).status, 400);
  EXPECT_EQ(server.client().post("/v1/completions", completion(3), ci).status, 429);
  EXPECT_EQ(client.post("/v1/completions", completion(2), unnamed).status, 200);
  const std::string text = client.get("/metrics", unnamed).body;
  for (const char* line : {R"(autoglm:client_requests_total{client="ci",end="ok",model_name="default"} 1)",
                           R"(autoglm:client_requests_total{client="ci",end="failed",model_name="default"} 1)",
                           R"(autoglm:client_requests_total{client="ci",end="limited",model_name="default"} 1)",
                           R"(autoglm:client_tokens_total{client="ci",kind="prompt",model_name="default"} 3)",
                           R"(autoglm:client_tokens_total{client="ci",kind="sampled",model_name="default"} 3)",
                           R"(autoglm:client_tokens_total{client="key-)"}) {
    EXPECT_THAT(text, HasSubstr(line));
  }
  EXPECT_THAT(text, testing::Not(HasSubstr("secret"))) << "a key is nobody's name";
}

TEST(Metrics, KeysThatComeAndGoDoNotMakeLabelsForEver) {
  Metrics metrics("model");
  for (size_t i = 0; i < 3 * Metrics::kMostClients; ++i) metrics.of_client("name" + std::to_string(i), 200, {});
  const std::string text = metrics.text({});
  size_t lines = 0;
  for (size_t at = 0; (at = text.find("\nautoglm:client_requests_total{", at)) != std::string::npos; ++at) ++lines;
  EXPECT_EQ(lines, Metrics::kMostClients + 1);
  EXPECT_THAT(text, HasSubstr(R"-(client="(other)",end="ok",model_name="model"} 400)-"));
}

}  // namespace
}  // namespace autoglm
