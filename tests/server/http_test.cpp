// HTTP itself: what clients may do, and what they may not.
#include <fmt/format.h>

#include "server/api_test.h"
#include "support/errors.h"

namespace autoglm {
namespace {

TEST(Http, HealthVersionModelsAndWhatIsNotThere) {
  TestServer server;
  Client client = server.client();
  const Reply health = client.get("/health");
  EXPECT_EQ(health.status, 200);
  EXPECT_EQ(health.json()["status"], "ok");
  EXPECT_EQ(client.get("/version").json()["version"], "1.2.3");
  const Reply models = client.get("/v1/models");
  EXPECT_EQ(models.json()["data"][0]["id"], "dummy");
  EXPECT_EQ(models.json()["data"][1]["id"], "gpt-dummy");
  const Reply nothing = client.get("/nowhere");
  EXPECT_EQ(nothing.status, 404);
  EXPECT_EQ(nothing.json()["error"]["type"], "invalid_request_error");
  const Reply wrong = client.get("/v1/chat/completions");
  EXPECT_EQ(wrong.status, 405);
  EXPECT_EQ(wrong.header("allow"), "POST, OPTIONS");
  client.send("OPTIONS /v1/models HTTP/1.1\r\nHost: a\r\nOrigin: http://evil\r\n\r\n");
  const Reply options = client.receive();
  EXPECT_EQ(options.status, 204);
  EXPECT_EQ(options.header("allow"), "GET, HEAD, OPTIONS");
  EXPECT_EQ(options.header("access-control-allow-origin"), "");
  client.send("HEAD /health HTTP/1.1\r\nHost: a\r\n\r\n");
  const Reply head = client.receive(true);
  EXPECT_EQ(head.status, 200);
  EXPECT_EQ(head.header("content-length"), std::to_string(health.body.size()));
  EXPECT_EQ(client.get("/health").status, 200) << "all on one connection";
}

TEST(Http, RequestIdsAreTakenOverOrMade) {
  TestServer server;
  Client client = server.client();
  EXPECT_EQ(client.get("/health", "X-Request-Id: my-id.1\r\n").header("x-request-id"), "my-id.1");
  const std::string one = client.get("/health").header("x-request-id");
  const std::string two = client.get("/health", "X-Request-Id: two words\r\n").header("x-request-id");
  EXPECT_THAT(one, testing::StartsWith("req-"));
  EXPECT_THAT(two, testing::StartsWith("req-"));
  EXPECT_NE(one, two);
}

TEST(Http, ConnectionsEndWhereClientsWantItAndForHttp10) {
  TestServer server;
  Client polite = server.client();
  EXPECT_EQ(polite.get("/health", "Connection: close\r\n").header("connection"), "close");
  EXPECT_TRUE(polite.closed());
  Client old = server.client();
  old.send("GET /health HTTP/1.0\r\n\r\n");
  EXPECT_EQ(old.receive().status, 200);
  EXPECT_TRUE(old.closed());
  Client stream = server.client();
  const std::string body = R"({"prompt":"abc","max_tokens":4,"stream":true})";
  stream.send(fmt::format("POST /v1/completions HTTP/1.0\r\nContent-Length: {}\r\n\r\n{}", body.size(), body));
  const Reply reply = stream.receive();
  EXPECT_EQ(reply.header("transfer-encoding"), "");
  EXPECT_EQ(reply.events().back(), "[DONE]");
}

TEST(Http, RequestsInARowAndEarlyOnesAreAnsweredInOrder) {
  TestServer server;
  Client client = server.client();
  const std::string body = R"({"prompt":"abc","max_tokens":2})";
  const std::string post =
      fmt::format("POST /v1/completions HTTP/1.1\r\nContent-Length: {}\r\n\r\n{}", body.size(), body);
  client.send(post + "GET /health HTTP/1.1\r\n\r\n" + post);
  EXPECT_EQ(client.receive().json()["object"], "text_completion");
  EXPECT_EQ(client.receive().json()["status"], "ok");
  EXPECT_EQ(client.receive().json()["object"], "text_completion");
}

TEST(Http, LimitsOfHeaderBodyAndDepth) {
  ServerSetup setup;
  setup.server.http.body_bytes = 2000;
  setup.server.http.header_bytes = 1000;
  TestServer server(std::move(setup));
  const Reply header = server.client().get("/health", "X-Long: " + std::string(5000, 'a') + "\r\n");
  EXPECT_EQ(header.status, 431);
  EXPECT_EQ(header.json()["error"]["type"], "invalid_request_error");
  EXPECT_EQ(header.header("connection"), "close");
  EXPECT_EQ(server.client().post("/tokenize", {{"prompt", std::string(3000, 'a')}}).status, 413);
  Client chunked = server.client();
  chunked.send("POST /tokenize HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n");
  for (int i = 0; i < 5; ++i) chunked.send("3e8\r\n" + std::string(1000, 'a') + "\r\n");
  EXPECT_EQ(chunked.receive().status, 413);
  Client deep = server.client();
  const std::string nested = std::string(900, '[') + std::string(900, ']');
  deep.send(fmt::format("POST /tokenize HTTP/1.1\r\nContent-Length: {}\r\n\r\n{}", nested.size(), nested));
  const Reply reply = deep.receive();
  EXPECT_EQ(reply.status, 400);
  EXPECT_THAT(reply.body, HasSubstr("nested"));
  EXPECT_EQ(deep.get("/health").status, 200);
}

TEST(Http, BodiesInChunksAndAfterAnInvitation) {
  TestServer server;
  Client client = server.client();
  client.send(
      "POST /tokenize HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n8\r\n{\"prompt\r\n8\r\n\":\"abc\"}\r\n0\r\n\r\n");
  EXPECT_EQ(client.receive().json()["count"], 3);
  const std::string body = R"({"prompt":"abcd"})";
  client.send(
      fmt::format("POST /tokenize HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: {}\r\n\r\n", body.size()));
  EXPECT_EQ(client.receive_some(), "HTTP/1.1 100 Continue\r\n\r\n");
  client.send(body);
  EXPECT_EQ(client.receive().json()["count"], 4);
}

TEST(Http, WhatIsNoHttpIsRefused) {
  TestServer server;
  for (const char* text : {"hello\r\n\r\n", "GET / HTTP/9.9\r\n\r\n", "GET /health HTTP/1.1\r\nbad header\r\n\r\n",
                           "POST /tokenize HTTP/1.1\r\nContent-Length: -5\r\n\r\n",
                           "POST /tokenize HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"}) {
    Client client = server.client();
    client.send(text);
    EXPECT_EQ(client.receive().status, 400) << text;
    EXPECT_TRUE(client.closed());
  }
  EXPECT_EQ(server.client().get("/health").status, 200);
}

TEST(Http, IdleAndSlowClientsAreLetGo) {
  ServerSetup setup;
  setup.server.http.idle_seconds = 0.2;
  setup.server.http.body_bytes_per_second = 1e6;
  TestServer server(std::move(setup));
  Client idle = server.client();
  Client header = server.client();
  header.send("GET /health HT");
  Client body = server.client();
  body.send("POST /tokenize HTTP/1.1\r\nContent-Length: 1000\r\n\r\n");
  Client drips = server.client();
  drips.send("POST /tokenize HTTP/1.1\r\nContent-Length: 100000\r\n\r\n");
  bool cut = false;
  for (int i = 0; i < 1000 && !cut; ++i) {
    cut = !drips.send("a");
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  EXPECT_TRUE(cut) << "a byte now and then is not enough";
  EXPECT_TRUE(idle.closed());
  header.receive();
  EXPECT_TRUE(header.closed());
  body.receive();
  EXPECT_TRUE(body.closed());
}

TEST(Http, ConnectionsAreCounted) {
  ServerSetup setup;
  setup.server.http.connections = 3;
  TestServer server(std::move(setup));
  std::vector<Client> clients;
  for (int i = 0; i < 3; ++i) {
    clients.push_back(server.client());
    EXPECT_EQ(clients.back().get("/health").status, 200);
  }
  Client more = server.client();
  const Reply reply = more.receive();
  EXPECT_EQ(reply.status, 503);
  EXPECT_EQ(reply.header("retry-after"), "1");
  clients.pop_back();
  // The server hears of it a moment later.
  int status = 503;
  for (int i = 0; i < 500 && status != 200; ++i) {
    Client again = server.client();
    status = again.get("/health").status;
    if (status != 200) std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  EXPECT_EQ(status, 200);
}

TEST(Http, APortThatIsTakenIsSaid) {
  TestServer server;
  ServerOptions options;
  options.port = server.port();
  try {
    const Server second(options);
    FAIL() << "two servers on one port";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Code::bad_flag);
    EXPECT_THAT(error.what(), HasSubstr("taken"));
    EXPECT_THAT(error.hint(), HasSubstr("--port"));
  }
  options.host = "203.0.113.77";
  options.port = 0;
  EXPECT_THROW(Server{options}, Error);
}

TEST(Http, OtherOriginsOnlyWhereTheyAreAllowed) {
  ServerSetup setup;
  setup.server.service.cors_origins = {"http://good"};
  TestServer server(std::move(setup));
  Client client = server.client();
  const Reply good = client.get("/v1/models", "Origin: http://good\r\n");
  EXPECT_EQ(good.header("access-control-allow-origin"), "http://good");
  EXPECT_EQ(client.get("/v1/models", "Origin: http://bad\r\n").header("access-control-allow-origin"), "");
  client.send("OPTIONS /v1/chat/completions HTTP/1.1\r\nOrigin: http://good\r\n\r\n");
  const Reply before = client.receive();
  EXPECT_EQ(before.status, 204);
  EXPECT_EQ(before.header("access-control-allow-methods"), "POST");
  const Reply answer = client.post("/tokenize", {{"prompt", "abc"}}, "Origin: http://good\r\n");
  EXPECT_EQ(answer.header("access-control-allow-origin"), "http://good");
  client.start_post("/v1/completions", {{"prompt", "abc"}, {"stream", true}}, "Origin: http://good\r\n");
  EXPECT_EQ(client.receive().header("access-control-allow-origin"), "http://good");
}

// A page of another site makes its reader's browser post to the server on this machine.
TEST(Http, PagesOfOtherSitesMayNotUseAServerWithoutKeys) {
  TestServer server;
  Client client = server.client();
  for (const char* own : {"http://localhost:8080", "http://127.0.0.1", "http://[::1]:80", "http://a.localhost",
                          "file://", "vscode-webview://abc"}) {
    EXPECT_EQ(client.post("/tokenize", {{"prompt", "abc"}}, fmt::format("Origin: {}\r\n", own)).status, 200) << own;
  }
  EXPECT_EQ(client.post("/tokenize", {{"prompt", "abc"}}).status, 200);
  for (const char* other :
       {"http://evil.example", "https://localhost.evil.example", "http://127.0.0.1.evil.example", "http://evil"}) {
    Client stranger = server.client();
    const Reply refused = stranger.post("/tokenize", {{"prompt", "abc"}}, fmt::format("Origin: {}\r\n", other));
    EXPECT_EQ(refused.status, 403) << other;
    EXPECT_THAT(refused.body, HasSubstr("--cors-origin")) << other;
  }
}

TEST(Http, AShortBodyThatIsRefusedUnreadLeavesTheConnection) {
  ServerSetup setup;
  setup.server.http.body_bytes = 20000;
  TestServer server(std::move(setup));
  Client client = server.client();
  const auto with = [](size_t bytes) { return nlohmann::json(std::string(bytes - 2, 'a')); };
  const auto refused = [&](const std::string& path, size_t bytes, int status) {
    const Reply reply = client.post(path, with(bytes));
    EXPECT_EQ(reply.status, status);
    EXPECT_EQ(reply.header("connection"), "keep-alive");
  };
  refused("/nowhere", 10, 404);
  refused("/v1/models", 10, 405);
  refused("/v1/completions", 20001, 413);
  refused("/v1/completions", 65536, 413);
  client.start_post("/nowhere", with(15000));  // two at once
  refused("/nowhere", 15000, 404);
  EXPECT_EQ(client.receive().status, 404);
  EXPECT_EQ(client.post("/tokenize", {{"prompt", "abc"}}).status, 200);
  const std::tuple<const char*, size_t, int> ends[] = {
      {"Content-Length: 65537\r\n\r\n", 65537, 413},
      {"Transfer-Encoding: chunked\r\n\r\n5\r\n", 5, 404},
      {"Content-Length: 5\r\nExpect: 100-continue\r\n\r\n", 0, 404},
  };
  for (const auto& [head, bytes, status] : ends) {  // nobody knows how much comes, or it is too much
    Client other = server.client();
    other.send(fmt::format("POST /nowhere HTTP/1.1\r\nHost: a\r\n{}{}", head, std::string(bytes, 'a')));
    const Reply reply = other.receive();
    EXPECT_EQ(reply.status, status) << head;
    EXPECT_EQ(reply.header("connection"), "close") << head;
    EXPECT_TRUE(other.closed()) << head;
  }
}

TEST(Http, ARefusedBodyThatDoesNotComeIsNotWaitedFor) {
  ServerSetup setup;
  setup.server.http.idle_seconds = 0.3;
  TestServer server(std::move(setup));
  Client client = server.client();
  client.send("POST /nowhere HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nabc");
  EXPECT_EQ(client.receive().status, 404) << "before the body is there";
  EXPECT_TRUE(client.closed());
  Client drips = server.client();  // one byte after the other is too slow as well
  drips.send("POST /nowhere HTTP/1.1\r\nHost: a\r\nContent-Length: 60000\r\n\r\n");
  EXPECT_EQ(drips.receive().status, 404);
  EXPECT_TRUE(test::eventually([&] { return !drips.send("a"); }));
}

}  // namespace
}  // namespace autoglm
