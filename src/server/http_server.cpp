#include "server/http_server.h"

#include <fmt/format.h>
#include <pthread.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <chrono>
#include <tuple>
#include <utility>
#include <vector>

#include "base/log.h"
#include "server/http_core.h"

namespace autoglm {
namespace {

using boost::system::error_code;
constexpr auto kTuple = asio::as_tuple(asio::use_awaitable);

std::string address_text(const tcp::endpoint& endpoint, bool tls) {
  const std::string host = endpoint.address().to_string();
  return fmt::format("{}://{}:{}", tls ? "https" : "http",
                     endpoint.address().is_v6() ? fmt::format("[{}]", host) : host, endpoint.port());
}

tcp::endpoint resolve(asio::io_context& io, const std::string& host, int port) {
  error_code error;
  tcp::resolver resolver(io);
  const auto found = resolver.resolve(host, std::to_string(port), tcp::resolver::passive, error);
  if (error || found.empty()) {
    fail(Code::bad_flag, fmt::format("'{}' is not an address to listen on: {}", host, error.message()),
         "give an address of this machine to --host, such as 127.0.0.1 or 0.0.0.0");
  }
  return found.begin()->endpoint();
}

void listen(HttpServer::Core& core, const std::string& host, int port) {
  const tcp::endpoint endpoint = resolve(core.io, host, port);
  error_code error;
  std::ignore = core.acceptor.open(endpoint.protocol(), error);
  if (!error) std::ignore = core.acceptor.set_option(tcp::acceptor::reuse_address(true), error);
  if (!error) std::ignore = core.acceptor.bind(endpoint, error);
  if (!error) std::ignore = core.acceptor.listen(asio::socket_base::max_listen_connections, error);
  if (error == asio::error::address_in_use) {
    fail(Code::bad_flag, fmt::format("port {} is taken by another program", port),
         "stop it, or give another --port; 0 takes any that is free");
  }
  if (error) {
    fail(Code::bad_flag, fmt::format("cannot listen on {} port {}: {}", host, port, error.message()),
         "give an address of this machine to --host, and a port above 1023 unless you may use lower ones");
  }
  const tcp::endpoint bound = core.acceptor.local_endpoint();
  core.address = address_text(bound, core.tls != nullptr);
  core.loopback = bound.address().is_loopback();
}

// One client too many is told so and let go; through TLS only the latter, because that needs no answer of its own.
asio::awaitable<void> turn_away(HttpServer::Core& core, tcp::socket socket) {
  if (core.tls) co_return;
  const HttpResponse response = core.handler->refusal(503, "the server has as many connections as it may have");
  const std::string text = head_text({.status = response.status,
                                      .content_type = response.content_type,
                                      .request_id = {},
                                      .keep_alive = false,
                                      .length = std::ssize(response.body),
                                      .headers = &response.headers}) +
                           response.body;
  co_await asio::async_write(socket, asio::buffer(text), kTuple);  // a few bytes into an empty buffer: never waits
  error_code ignored;
  std::ignore = socket.shutdown(tcp::socket::shutdown_both, ignored);
}

asio::awaitable<void> accept_all(HttpServer::Core& core) {
  asio::steady_timer pause(core.io);
  while (core.acceptor.is_open()) {
    auto [error, socket] = co_await core.acceptor.async_accept(kTuple);
    if (error == asio::error::operation_aborted || core.draining) co_return;
    if (error) {  // out of descriptors, as a rule: others may be closed soon
      log(LogLevel::warn, fmt::format("a connection was not accepted: {}", error.message()));
      pause.expires_after(std::chrono::milliseconds(100));
      co_await pause.async_wait(kTuple);
      continue;
    }
    if (core.count.load() >= core.limits.connections) {
      asio::co_spawn(core.io, turn_away(core, std::move(socket)), asio::detached);
      continue;
    }
    start_connection(core, std::move(socket));
  }
}

asio::awaitable<void> answer_bell(HttpServer::Core& core, asio::posix::stream_descriptor bell) {
  uint64_t rings = 0;
  while (true) {
    auto [error, bytes] = co_await bell.async_read_some(asio::buffer(&rings, sizeof rings), kTuple);
    if (error) co_return;
    core.bell->answer();
  }
}

void wait_for_signal(HttpServer::Core& core, const std::shared_ptr<std::function<void(int)>>& then) {
  core.signals.async_wait([&core, then](const error_code& error, int number) {
    if (error) return;
    (*then)(number);
    wait_for_signal(core, then);
  });
}

}  // namespace

void HttpServer::Core::check_drained() {
  if (draining && connections.empty()) finish_drain();
}

void HttpServer::Core::finish_drain() {
  drain_timer.cancel();
  if (const auto then = std::exchange(drained, {})) then();
}

HttpServer::HttpServer(const std::string& host, int port, const HttpLimits& limits, const TlsFiles& tls,
                       HttpHandler& handler)
    : core_(std::make_shared<Core>(limits, tls, handler)) {
  listen(*core_, host, port);
  asio::posix::stream_descriptor bell(core_->io, core_->bell->descriptor());
  asio::co_spawn(core_->io, answer_bell(*core_, std::move(bell)), asio::detached);
  core_->thread = std::thread([core = core_.get()] {
    ::pthread_setname_np(::pthread_self(), "autoglm-net");
    const auto keep = asio::make_work_guard(core->io);
    const ZoneClockScope scope(*core->zones);
    const ZoneStamp zone(Zone::idle);  // in the kernel, or in Asio between two handlers
    core->io.run();
  });
}

HttpServer::~HttpServer() { close(); }

void HttpServer::close() {
  core_->io.stop();
  if (core_->thread.joinable()) core_->thread.join();
}

const std::string& HttpServer::address() const { return core_->address; }
bool HttpServer::loopback() const { return core_->loopback; }
void HttpServer::ring() { core_->bell->ring(); }
int64_t HttpServer::connections() const { return core_->count.load(); }
std::shared_ptr<const ZoneClock> HttpServer::zones() const { return core_->zones; }

void HttpServer::reload_tls() { core_->tls = make_tls_context(core_->tls_files); }

void HttpServer::open() { asio::co_spawn(core_->io, accept_all(*core_), asio::detached); }

void HttpServer::catch_signals(std::function<void(int)> then) {
  for (const int number : {SIGTERM, SIGINT, SIGHUP}) core_->signals.add(number);
  wait_for_signal(*core_, std::make_shared<std::function<void(int)>>(std::move(then)));
}

void HttpServer::drain(double seconds, std::function<void()> done) {
  asio::post(core_->io, [core = core_.get(), seconds, done = std::move(done)]() mutable {
    if (core->draining) return;
    core->draining = true;
    core->drained = std::move(done);
    error_code ignored;
    std::ignore = core->acceptor.close(ignored);
    const std::vector<Connection*> all(core->connections.begin(), core->connections.end());
    for (Connection* connection : all) {
      if (connection->waits()) connection->close();
    }
    core->drain_timer.expires_after(
        std::chrono::duration_cast<std::chrono::steady_clock::duration>(std::chrono::duration<double>(seconds)));
    core->drain_timer.async_wait([core](const error_code& error) {
      if (error) return;
      for (Connection* connection : std::vector(core->connections.begin(), core->connections.end())) {
        connection->close();
      }
      core->finish_drain();
    });
    core->check_drained();
  });
}

void HttpServer::hang_up_all() {
  asio::post(core_->io, [core = core_.get()] {
    for (Connection* connection : std::vector(core->connections.begin(), core->connections.end())) connection->close();
    if (core->draining) core->finish_drain();
  });
}

}  // namespace autoglm
