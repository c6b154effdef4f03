// /v1/embeddings and Ollama's two: the engine's vectors in each API's words.

#include <cmath>
#include <cstring>

#include "server/api_test.h"
#include "support/temporary_folder.h"

namespace autoglm {
namespace {

ServerSetup embedding(Pooling pooling = Pooling::mean) {
  ServerSetup setup;
  setup.embedding = {.pooling = pooling, .normalize = true, .dimensions = test::DummyStepper::kHidden, .may_cut = true};
  setup.max_queue = 1;
  return setup;
}

std::vector<float> vector_of(const json& answer, size_t i = 0) {
  return answer["data"][i]["embedding"].get<std::vector<float>>();
}

double dot(const std::vector<float>& a, const std::vector<float>& b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += static_cast<double>(a[i]) * b[i];
  return sum;
}

std::vector<float> decoded(const std::string& base64) {
  std::string bytes;
  uint32_t bits = 0;
  int count = 0;
  const std::string letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  for (const char c : base64) {
    if (c == '=') break;
    bits = bits << 6 | static_cast<uint32_t>(letters.find(c));
    count += 6;
    if (count < 8) continue;
    count -= 8;
    bytes += static_cast<char>(bits >> count & 255U);
  }
  std::vector<float> values(bytes.size() / 4);
  std::memcpy(values.data(), bytes.data(), 4 * values.size());
  return values;
}

// Many texts share a place; the last of them still counts against the key's limits.
TEST(Embeddings, EveryTextCountsForItsKey) {
  const test::TemporaryFolder folder;
  ServerSetup setup = embedding();
  setup.server.service.api_key_file = folder.write("keys", "secret-key-1 tpm=1000\n").string();
  TestServer server(std::move(setup));
  const std::string key = "x-api-key: secret-key-1\r\n";
  json texts = json::array();
  for (int i = 0; i < 40; ++i) texts.push_back(std::string(4, static_cast<char>('a' + i % 26)) + "bcdefgh");
  Client client = server.client();
  const Reply answer = client.post("/v1/embeddings", {{"input", texts}}, key);
  ASSERT_EQ(answer.status, 200) << answer.body;
  const int64_t tokens = answer.json()["usage"]["prompt_tokens"];
  ASSERT_GT(tokens, 400);
  const int64_t left =
      std::stoll(client.post("/v1/embeddings", {{"input", "a"}}, key).header("x-ratelimit-remaining-tokens"));
  EXPECT_LE(left, 1000 - tokens + 100) << "a few come back each second";
}

TEST(Embeddings, InputsOfEveryKindGiveTheSameVector) {
  TestServer server(embedding());
  Client client = server.client();
  const json one = client.post("/v1/embeddings", {{"model", "dummy"}, {"input", "abcd"}}).json();
  EXPECT_EQ(one["object"], "list");
  EXPECT_EQ(one["model"], "dummy");
  EXPECT_EQ(one["data"][0]["object"], "embedding");
  EXPECT_EQ(one["data"][0]["index"], 0);
  EXPECT_EQ(one["usage"], json({{"prompt_tokens", 4}, {"total_tokens", 4}}));
  const std::vector<float> wanted = vector_of(one);
  ASSERT_EQ(wanted.size(), static_cast<size_t>(test::DummyStepper::kHidden));
  EXPECT_NEAR(dot(wanted, wanted), 1.0, 1e-6);
  EXPECT_EQ(vector_of(client.post("/v1/embeddings", {{"input", {0, 1, 2, 3}}}).json()), wanted);
  const json many = client.post("/v1/embeddings", {{"input", {"zz", "abcd", "y"}}, {"user", "u"}}).json();
  ASSERT_EQ(many["data"].size(), 3U);
  EXPECT_EQ(vector_of(many, 1), wanted);
  EXPECT_EQ(many["data"][2]["index"], 2);
  EXPECT_EQ(many["usage"]["prompt_tokens"], 7);
  EXPECT_NE(vector_of(many, 0), wanted);
  EXPECT_EQ(vector_of(client.post("/v1/embeddings", {{"input", {{25, 25}, {0, 1, 2, 3}}}}).json(), 1), wanted);
  const json coded = client.post("/v1/embeddings", {{"input", "abcd"}, {"encoding_format", "base64"}}).json();
  EXPECT_EQ(decoded(coded["data"][0]["embedding"]), wanted);
  // More texts than requests may be inside.
  const json crowd = client.post("/v1/embeddings", {{"input", std::vector<std::string>(60, "abcd")}}).json();
  ASSERT_EQ(crowd["data"].size(), 60U) << crowd.dump();
  EXPECT_EQ(vector_of(crowd, 59), wanted);
}

TEST(Embeddings, FewerDimensionsAreOfLengthOneAgain) {
  TestServer server(embedding(Pooling::last));
  Client client = server.client();
  const std::vector<float> whole = vector_of(client.post("/v1/embeddings", {{"input", "abca"}}).json());
  const std::vector<float> cut =
      vector_of(client.post("/v1/embeddings", {{"input", "abca"}, {"dimensions", 3}}).json());
  ASSERT_EQ(cut.size(), 3U);
  EXPECT_NEAR(dot(cut, cut), 1.0, 1e-6);
  EXPECT_NEAR(cut[0] / cut[1], whole[0] / whole[1], 1e-5);
}

TEST(Embeddings, OllamasTwoRoutes) {
  TestServer server(embedding());
  Client client = server.client();
  const std::vector<float> wanted = vector_of(client.post("/v1/embeddings", {{"input", "abcd"}}).json());
  const json both = client.post("/api/embed", {{"model", "dummy:latest"}, {"input", {"abcd", "b"}}}).json();
  EXPECT_EQ(both["model"], "dummy:latest");
  ASSERT_EQ(both["embeddings"].size(), 2U);
  EXPECT_EQ(both["embeddings"][0].get<std::vector<float>>(), wanted);
  EXPECT_EQ(both["prompt_eval_count"], 5);
  const json old = client.post("/api/embeddings", {{"model", "dummy"}, {"prompt", "abcd"}}).json();
  EXPECT_EQ(old["embedding"].get<std::vector<float>>(), wanted);
  EXPECT_THAT(client.post("/api/show", {{"model", "dummy"}}).body, HasSubstr("embedding"));
  const std::string longer(300, 'a');
  EXPECT_EQ(client.post("/api/embed", {{"input", longer}}).status, 400);
  const json cut = client.post("/api/embed", {{"input", longer}, {"truncate", true}}).json();
  EXPECT_EQ(cut["prompt_eval_count"], 256);
}

TEST(Embeddings, WhatCannotBeHonouredIsRefused) {
  ServerSetup setup = embedding();
  setup.embedding.cuts = {2, 4};
  TestServer server(std::move(setup));
  Client client = server.client();
  const std::pair<json, const char*> bad[] = {
      {json::object(), "input"},
      {{{"input", ""}}, "input"},
      {{{"input", json::array()}}, "input"},
      {{{"input", {"a", 5}}}, "input"},
      {{{"input", {5000}}}, "input"},
      {{{"input", std::vector<std::string>(2049, "a")}}, "input"},
      {{{"input", "a"}, {"encoding_format", "hex"}}, "encoding_format"},
      {{{"input", "a"}, {"dimensions", 3}}, "dimensions"},
      {{{"input", "a"}, {"dimensions", 9}}, "dimensions"},
      {{{"input", "a"}, {"dimensions", 0}}, "dimensions"},
      {{{"input", "a"}, {"temperature", 1}}, "temperature"},
  };
  for (const auto& [body, field] : bad) {
    const Reply reply = client.post("/v1/embeddings", body);
    EXPECT_EQ(reply.status, 400) << body.dump().substr(0, 80);
    EXPECT_EQ(reply.json()["error"]["param"], field) << reply.body;
  }
  const Reply longer = client.post("/v1/embeddings", {{"input", {"a", std::string(257, 'a')}}});
  EXPECT_EQ(longer.json()["error"]["code"], "context_exceeded");
  EXPECT_THAT(longer.body, HasSubstr("257"));
  EXPECT_EQ(client.post("/v1/embeddings", {{"model", "other"}, {"input", "a"}}).status, 404);
  EXPECT_EQ(client.post("/api/embeddings", {{"prompt", {"a", "b"}}}).status, 400);
}

TEST(Embeddings, AModelThatMakesNoneSaysWhy) {
  ServerSetup setup;
  setup.embedding.why_none = "its files say nothing";
  TestServer server(std::move(setup));
  Client client = server.client();
  for (const char* path : {"/v1/embeddings", "/api/embed"}) {
    const Reply reply = client.post(path, {{"input", "a"}});
    EXPECT_EQ(reply.status, 400);
    EXPECT_THAT(reply.body, HasSubstr("its files say nothing"));
  }
}

}  // namespace
}  // namespace autoglm
