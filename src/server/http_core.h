// What the listener and its connections share.
#pragma once

#include <atomic>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <memory>
#include <string>
#include <thread>
#include <unordered_set>

#include "server/http_server.h"
#include "server/http_stream.h"

namespace autoglm {

namespace asio = boost::asio;
using asio::ip::tcp;

/// A connection, as the listener knows it.
class Connection : public Listener {
 public:
  virtual bool waits() const = 0;  // for its next request
  virtual void close() = 0;
};

struct HttpServer::Core : std::enable_shared_from_this<HttpServer::Core> {
  Core(const HttpLimits& limits_in, const TlsFiles& tls_files_in, HttpHandler& handler_in)
      : limits(limits_in),
        tls_files(tls_files_in),
        handler(&handler_in),
        tls(make_tls_context(tls_files)),
        acceptor(io),
        signals(io),
        drain_timer(io) {}

  void check_drained();
  void finish_drain();

  const HttpLimits limits;
  const TlsFiles tls_files;
  HttpHandler* handler;
  std::shared_ptr<TlsContext> tls;  // of connections that come; null: plain
  std::string address;
  bool loopback = false;
  bool draining = false;
  std::function<void()> drained;
  std::unordered_set<Connection*> connections;
  std::atomic<int64_t> count{0};
  uint64_t requests = 0;
  const std::shared_ptr<Doorbell> bell = std::make_shared<Doorbell>();
  const std::shared_ptr<ZoneClock> zones = std::make_shared<ZoneClock>("network", 4096);
  asio::io_context io{1};  // connections end with it: after what they use
  tcp::acceptor acceptor;
  asio::signal_set signals;
  asio::steady_timer drain_timer;
  std::thread thread;
};

/// Serves one client to its end. `core` outlives it.
void start_connection(HttpServer::Core& core, tcp::socket socket);

}  // namespace autoglm
