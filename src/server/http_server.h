// HTTP/1.1 on one thread that does nothing but sockets: keep-alive, limits, streams, hang-ups. Boost stays behind it.
//
// A connection is a coroutine: it reads a header, asks the handler whether the request is wanted, reads the body, hands
// the exchange over, and sends what comes. While an answer is being made the socket is watched: a client that closes it
// is gone. No client waits for another.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "base/zone.h"
#include "server/exchange.h"

namespace autoglm {

struct HttpLimits {
  size_t header_bytes = 32 << 10;
  size_t body_bytes = 16 << 20;
  int64_t connections = 1024;
  double idle_seconds = 30;             // a connection without a byte, an answer without progress
  double body_bytes_per_second = 1024;  // slower senders are cut, beyond idle_seconds
  size_t unsent_bytes = 1 << 20;        // of a stream that its client does not fetch
};

/// PEM files; both empty: no TLS.
struct TlsFiles {
  std::string certificate{};  // with the chain
  std::string key{};
};

/// Everything is called on the network thread, must return within a millisecond, and must not throw.
class HttpHandler {
 public:
  virtual ~HttpHandler() = default;
  /// The header is there: the answer, where none of the body is needed for it; nothing lets the body be read.
  virtual std::optional<HttpResponse> head(HttpRequest& request) = 0;
  /// The request is there. The answer may come from any thread, later.
  virtual void handle(const std::shared_ptr<Exchange>& exchange) = 0;
  /// What the HTTP layer itself refuses: too long, no HTTP, too slow.
  virtual HttpResponse refusal(int status, const std::string& why) = 0;
  virtual void ended(const HttpRequest& request, const HttpOutcome& outcome) = 0;
  /// Seconds since those who make answers last got on with one.
  virtual double seconds_without_progress() const = 0;
};

class HttpServer {
 public:
  struct Core;  // http_core.h
  /// Listens at once, accepts nobody before open(), and starts its thread: before a pool pins the calling one. Errors:
  /// bad_flag (an address that is none, a port that is taken or not allowed), those of make_tls_context.
  HttpServer(const std::string& host, int port, const HttpLimits& limits, const TlsFiles& tls, HttpHandler& handler);
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  const std::string& address() const;  // "http://127.0.0.1:8080"; https with TLS
  bool loopback() const;
  void open();
  /// Ends its thread, whatever it still had to send. Not from that thread.
  void close();
  /// SIGTERM, SIGINT and SIGHUP go to `then`, on the network thread, from here on.
  void catch_signals(std::function<void(int)> then);
  /// Reads certificate and key again, for connections from now on. On an Error they stay as they were. On the network
  /// thread.
  void reload_tls();
  /// Accepts nobody any more and closes connections that wait for a request. `done` is called on the network thread
  /// when every answer has been sent, or when `seconds` have passed and the rest was hung up on.
  void drain(double seconds, std::function<void()> done);
  /// Hangs up on everybody now; drain's `done` follows.
  void hang_up_all();
  int64_t connections() const;
  std::shared_ptr<const ZoneClock> zones() const;  // of the network thread
  /// Has what exchanges noted since the last ring sent. Any thread.
  void ring();

 private:
  std::shared_ptr<Core> core_;
};

}  // namespace autoglm
