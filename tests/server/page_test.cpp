// The web page's files, how they are protected, who gets them, and the timeline's numbers. What the page does is seen
// by tests/server/page_test.py in a browser.
#include "server/page/page.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>

#include "server/page/assets.h"
#include "server/test_server.h"
#include "support/temporary_folder.h"

namespace autoglm {
namespace {

using nlohmann::json;
using test::Client;
using test::Reply;
using test::ServerSetup;
using test::TestServer;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

const std::string kBrowser = "Accept: text/html,application/xhtml+xml,*/*;q=0.8\r\n";

std::string type_of(std::string_view name) {
  if (name.ends_with(".js")) return "text/javascript; charset=utf-8";
  return name.ends_with(".css") ? "text/css; charset=utf-8" : "text/html; charset=utf-8";
}

bool of_key_page(std::string_view name) { return name.starts_with("key."); }

std::string address_of(const EmbeddedFile& file) {
  return file.name == "index.html" ? "/" : "/page/" + std::string(file.name);
}

TEST(Page, EveryFileHasItsTypeItsTagAndAStrictPolicy) {
  TestServer server;
  Client client = server.client();
  int files = 0;
  for (const EmbeddedFile& file : page_assets()) {
    if (of_key_page(file.name)) continue;
    const std::string path = address_of(file);
    const Reply reply = client.get(path);
    ASSERT_EQ(reply.status, 200) << path;
    EXPECT_EQ(reply.body, file.bytes) << path;
    EXPECT_EQ(reply.header("content-type"), type_of(file.name));
    EXPECT_EQ(reply.header("x-content-type-options"), "nosniff");
    EXPECT_EQ(reply.header("cache-control"), "no-cache");
    const std::string policy = reply.header("content-security-policy");
    EXPECT_THAT(policy, StartsWith("default-src 'self';"));
    EXPECT_THAT(policy, HasSubstr("frame-ancestors 'none'"));
    EXPECT_THAT(policy, HasSubstr("require-trusted-types-for 'script'"));
    EXPECT_THAT(policy, Not(HasSubstr("unsafe")));
    EXPECT_THAT(policy, Not(HasSubstr("blob:")));
    ++files;
  }
  EXPECT_GT(files, 10);
}

TEST(Page, WhatABrowserHasIsNotSentAgain) {
  TestServer server;
  Client client = server.client();
  const std::string tag = client.get("/page/main.js").header("etag");
  ASSERT_EQ(tag.size(), 34U);
  client.send("GET /page/main.js HTTP/1.1\r\nHost: a\r\nIf-None-Match: " + tag + "\r\n\r\n");
  const Reply same = client.receive(true);
  EXPECT_EQ(same.status, 304);
  EXPECT_EQ(same.header("etag"), tag);
  EXPECT_EQ(same.header("content-length"), "");
  EXPECT_EQ(client.get("/page/main.js", "If-None-Match: \"other\"\r\n").status, 200) << "the connection goes on";
  EXPECT_NE(client.get("/page/chat.js").header("etag"), tag);
}

TEST(Page, NothingElseIsThere) {
  TestServer server;
  Client client = server.client();
  for (const char* path : {"/page/", "/page", "/page/key.html", "/page/key.js", "/page/key.css", "/page/index.html",
                           "/page/../service.cpp", "/page/nothing.js", "/index.html"}) {
    EXPECT_EQ(client.get(path).status, 404) << path;
  }
  EXPECT_EQ(client.post("/", json::object()).status, 405);
}

TEST(Page, NothingInItComesFromElsewhereOrMakesHtmlOutOfText) {
  for (const EmbeddedFile& file : page_assets()) {
    const std::string text(file.bytes);
    for (const char* word : {"innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function",
                             "DOMParser", "srcdoc", "src=\"http", "href=\"http", "url(http", "@import"}) {
      EXPECT_THAT(text, Not(HasSubstr(word))) << file.name;
    }
  }
}

TEST(Page, AboutSaysWhatIsServed) {
  TestServer server;
  Client client = server.client();
  const json about = client.get("/page/about").json();
  EXPECT_EQ(about["model"], "dummy");
  EXPECT_EQ(about["names"], json::array({"dummy", "gpt-dummy"}));
  EXPECT_EQ(about["version"], "1.2.3");
  EXPECT_EQ(about["thinks"], false);
  EXPECT_EQ(about["defaults"]["temperature"], 0);
  EXPECT_GT(about["context"], 0);
}

TEST(Page, AKeyIsAskedForInABrowserAndEveryFileNeedsIt) {
  const test::TemporaryFolder folder;
  ServerSetup setup;
  setup.server.service.api_key_file = folder.write("keys", "secret-key-1\n").string();
  TestServer server(std::move(setup));
  Client client = server.client();
  const Reply asks = client.get("/", kBrowser);
  EXPECT_EQ(asks.status, 401);
  EXPECT_EQ(asks.header("content-type"), "text/html; charset=utf-8");
  EXPECT_EQ(asks.header("www-authenticate"), "Bearer");
  EXPECT_EQ(asks.header("cache-control"), "no-store");
  EXPECT_THAT(asks.body, HasSubstr("type=\"password\""));
  EXPECT_THAT(asks.body, HasSubstr("sessionStorage"));
  const std::string policy = asks.header("content-security-policy");
  EXPECT_THAT(policy, StartsWith("default-src 'none'; script-src 'sha256-"));
  EXPECT_THAT(policy, HasSubstr("frame-ancestors 'none'"));
  EXPECT_THAT(policy, Not(HasSubstr("unsafe")));
  EXPECT_EQ(client.get("/").json()["error"]["type"], "authentication_error") << "who wants no HTML gets none";
  for (const EmbeddedFile& file : page_assets()) {
    const std::string path = address_of(file);
    if (of_key_page(file.name)) continue;
    EXPECT_EQ(client.get(path, "Authorization: Bearer secret-key-2\r\n").status, 401) << path;
    EXPECT_EQ(client.get(path, "Authorization: Bearer secret-key-1\r\n").status, 200) << path;
  }
  for (const char* path : {"/page/about", "/debug/requests"}) EXPECT_EQ(client.get(path).status, 401) << path;
}

TEST(Requests, TheNewestComeFirstWithTheirStagesAndCounts) {
  TestServer server;
  Client client = server.client();
  EXPECT_EQ(client.get("/debug/requests").json()["requests"], json::array());
  const json body = {{"prompt", "abcdefghijklmnopqrstuvwxyz"}, {"max_tokens", 10}};
  client.post("/v1/completions", body, "X-Request-Id: a\"b\r\n");
  client.post("/v1/completions", json{{"prompt", "secret"}, {"nonsense", 1}});
  json streamed = body;
  streamed["stream"] = true;
  client.post("/v1/completions", streamed);
  const Reply reply = client.get("/debug/requests");
  EXPECT_THAT(reply.body, Not(HasSubstr("secret"))) << "prompts are never told";
  const json requests = reply.json()["requests"];
  ASSERT_EQ(requests.size(), 3U);
  const json& newest = requests[0];
  EXPECT_EQ(newest["number"], 3);
  EXPECT_EQ(newest["streamed"], true);
  EXPECT_EQ(newest["prompt_tokens"], 26);
  EXPECT_EQ(newest["cached_tokens"], 16);
  EXPECT_EQ(newest["completion_tokens"], 10);
  EXPECT_EQ(newest["finish_reason"], "length");
  EXPECT_EQ(newest["running"], false);
  EXPECT_EQ(newest["status"], 200);
  EXPECT_EQ(requests[1]["status"], 400);
  EXPECT_EQ(requests[1]["prompt_tokens"], 0);
  EXPECT_EQ(requests[2]["id"], "a\"b");
  EXPECT_EQ(requests[2]["route"], "/v1/completions");
  for (const json& request : requests) {
    double sum = 0;
    for (const char* stage : {"network", "prepare", "queue", "prefill", "decode", "serialization"}) {
      EXPECT_GE(request["stages_ms"].at(stage).get<double>(), 0);
      sum += request["stages_ms"][stage].get<double>();
    }
    EXPECT_NEAR(sum, request["ms"].get<double>(), 0.01);
  }
  EXPECT_GT(newest["stages_ms"]["decode"], 0);
  EXPECT_EQ(client.get("/debug/requests?limit=1").json()["requests"].size(), 1U);
  EXPECT_EQ(client.get("/debug/requests?limit=x").json()["requests"].size(), 3U);
}

TEST(Requests, OnlyTheLastOnesAreKept) {
  TestServer server;
  Client client = server.client();
  for (size_t i = 0; i < RequestLog::kMost + 3; ++i) client.post("/tokenize", {{"prompt", "a"}});
  const json requests = client.get("/debug/requests").json()["requests"];
  ASSERT_EQ(requests.size(), RequestLog::kMost);
  EXPECT_EQ(requests.front()["number"], RequestLog::kMost + 3);
  EXPECT_EQ(requests.back()["number"], 4);
}

TEST(Requests, OneThatIsAnsweredAndOneWhoseClientLeft) {
  std::promise<void> gate;
  ServerSetup setup;
  setup.stepper->before_step = [steps = 0, open = gate.get_future().share()](const Batch&) mutable {
    if (++steps > 4) open.wait();
  };
  TestServer server(std::move(setup));
  Client watcher = server.client();
  Client leaves = server.client();
  leaves.start_post("/v1/completions", {{"prompt", "abc"}, {"max_tokens", 100}, {"stream", true}});
  ASSERT_FALSE(leaves.receive_some().empty());
  const auto first = [&] { return watcher.get("/debug/requests").json()["requests"][0]; };
  const json live = first();
  EXPECT_EQ(live["running"], true);
  EXPECT_EQ(live["status"], 0);
  EXPECT_EQ(live["finish_reason"], nullptr);
  EXPECT_GT(live["completion_tokens"], 0);
  leaves.close();
  json gone = first();
  while (gone["running"] == true) gone = first();
  EXPECT_EQ(gone["status"], 499);
  EXPECT_GT(gone["completion_tokens"], 0);
  gate.set_value();
}

}  // namespace
}  // namespace autoglm
