// The small HTTP client: what it takes for an address and an answer, and calls to a stand-in on loopback.
#include "base/http_client.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <thread>

#include "base/error.h"
#include "support/errors.h"

namespace autoglm {
namespace {

TEST(HttpUrl, Parts) {
  const auto plain = parse_http_url("http://localhost:4318/v1/traces?a=b#c");
  ASSERT_TRUE(plain);
  EXPECT_FALSE(plain->tls);
  EXPECT_EQ(plain->host, "localhost");
  EXPECT_EQ(plain->port, 4318);
  EXPECT_EQ(plain->target, "/v1/traces?a=b");
  EXPECT_EQ(plain->authority(), "localhost:4318");
  const auto secure = parse_http_url("HTTPS://example.org");
  ASSERT_TRUE(secure);
  EXPECT_TRUE(secure->tls);
  EXPECT_EQ(secure->port, 443);
  EXPECT_EQ(secure->target, "/");
  const auto v6 = parse_http_url("http://[::1]:80?q");
  ASSERT_TRUE(v6);
  EXPECT_EQ(v6->host, "::1");
  EXPECT_EQ(v6->authority(), "[::1]:80");
  EXPECT_EQ(v6->target, "/?q");
  for (const char* bad :
       {"", "localhost:80", "ftp://a", "http://", "http://:80", "http://a:", "http://a:x", "http://a:0",
        "http://a:70000", "http://user:pw@a", "http://a b", "http://[::1", "http://[::1]x"}) {
    EXPECT_FALSE(parse_http_url(bad)) << bad;
  }
}

TEST(HttpReply, ALengthChunksAndTheEnd) {
  const std::string length = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nRetry-After:  7 \r\n\r\nhello";
  const auto reply = parse_http_reply(length, false);
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->status, 200);
  EXPECT_EQ(reply->body, "hello");
  EXPECT_EQ(reply->header("retry-after"), "7");
  const std::string chunked =
      "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 404 No\r\nTransfer-Encoding: "
      "Chunked\r\n\r\n3;x=y\r\nhel\r\n2\r\nlo\r\n0\r\n";
  ASSERT_TRUE(parse_http_reply(chunked, false));
  EXPECT_EQ(parse_http_reply(chunked, false)->body, "hello");
  EXPECT_EQ(parse_http_reply(chunked, false)->status, 404);
  const std::string open = "HTTP/1.0 200 OK\r\n\r\nhello";
  EXPECT_FALSE(parse_http_reply(open, false));
  EXPECT_EQ(parse_http_reply(open, true)->body, "hello");
  EXPECT_EQ(parse_http_reply("HTTP/1.1 204 No\r\n\r\n", false)->body, "");
}

TEST(HttpReply, NothingOfAnAnswerIsNoAnswer) {
  for (const std::string& whole :
       {std::string("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"),
        std::string("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n")}) {
    ASSERT_TRUE(parse_http_reply(whole, true));
    for (size_t cut = 0; cut < whole.size(); ++cut) {
      EXPECT_FALSE(parse_http_reply(whole.substr(0, cut), true)) << whole.substr(0, cut);
    }
  }
}

TEST(HttpReply, WhatIsNoHttpIsAnError) {
  for (const char* bad : {"SSH-2.0\r\n\r\n", "HTTP/1.1 abc\r\n\r\n", "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
                          "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
                          "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n",
                          "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhello\r\n0\r\n",
                          "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n"}) {
    EXPECT_ERROR(parse_http_reply(bad, false), Code::bad_file, "not HTTP");
  }
  EXPECT_FALSE(parse_http_reply("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nx", false));
}

/// Takes one connection, answers once it has read `expected` bytes or more, and closes.
class Once {
 public:
  Once(std::string answer, size_t expected) : answer_(std::move(answer)) {
    listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    EXPECT_EQ(::bind(listener_, reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(::listen(listener_, 1), 0);
    EXPECT_EQ(::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size), 0);
    url = "http://127.0.0.1:" + std::to_string(ntohs(address.sin_port)) + "/x";
    thread_ = std::thread([this, expected] { serve(expected); });
  }
  ~Once() {
    thread_.join();
    ::close(listener_);
  }

  std::string url;
  std::string heard;

 private:
  void serve(size_t expected) {
    const int client = ::accept(listener_, nullptr, nullptr);
    char buffer[4096];
    while (heard.size() < expected) {
      const ssize_t got = ::recv(client, buffer, sizeof buffer, 0);
      if (got <= 0) break;
      heard.append(buffer, static_cast<size_t>(got));
    }
    if (!answer_.empty()) {
      EXPECT_GT(::send(client, answer_.data(), answer_.size(), MSG_NOSIGNAL), 0);
    } else {
      while (::recv(client, buffer, sizeof buffer, 0) > 0) {
      }
    }
    ::close(client);
  }

  std::string answer_;
  int listener_ = -1;
  std::thread thread_;
};

TEST(HttpCall, AsksAndHears) {
  const std::string body(100000, 'b');
  HttpReply reply;
  std::string heard;
  {
    Once server("HTTP/1.1 202 Fine\r\nContent-Length: 2\r\n\r\nok", body.size() + 100);
    reply = http_call({.method = "POST", .url = server.url, .headers = {{"X-Key", "value"}}, .body = body});
    heard = server.heard;
  }
  EXPECT_EQ(reply.status, 202);
  EXPECT_EQ(reply.body, "ok");
  EXPECT_TRUE(heard.starts_with("POST /x HTTP/1.1\r\nHost: 127.0.0.1:")) << heard.substr(0, 200);
  EXPECT_NE(heard.find("\r\nX-Key: value\r\n"), std::string::npos);
  EXPECT_TRUE(heard.ends_with("\r\n\r\n" + body));
}

HttpReply ask(const HttpCall& call) { return http_call(call); }

TEST(HttpCall, FailuresAreSaid) {
  EXPECT_ERROR(ask({.url = "localhost"}), Code::bad_flag, "'localhost'");
  EXPECT_ERROR(ask({.url = "http://a", .headers = {{"A", "b\r\nC: d"}}}), Code::bad_flag, "'A'");
  std::string gone;
  {
    Once server("SSH-2.0 hello\r\n\r\n", 10);
    gone = server.url;
    EXPECT_ERROR(ask({.url = server.url}), Code::work_failed, "not HTTP");
  }
  EXPECT_ERROR(ask({.url = gone}), Code::work_failed, "refused");
}

TEST(HttpCall, ASilentServerIsLeft) {
  Once server("", 10);
  EXPECT_ERROR(ask({.url = server.url, .seconds = 0.2}), Code::work_failed, "too slow");
}

TEST(HttpCall, GivesUpWhenTold) {
  Once server("", 10);
  EXPECT_ERROR(ask({.url = server.url, .given_up = [] { return true; }}), Code::work_failed, "no more time");
}

}  // namespace
}  // namespace autoglm
