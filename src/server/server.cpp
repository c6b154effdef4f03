#include "server/server.h"

#include <fmt/format.h>

#include <atomic>
#include <csignal>

#include "base/log.h"
#include "server/helper.h"
#include "server/notify.h"

namespace autoglm {

// In the order in which they need each other: what is below ends first.
struct Server::State {
  explicit State(const ServerOptions& options_in)
      : options(options_in),
        metrics(options.model_name),
        loop(metrics),
        traces(options.traces),
        service(options.service, metrics, loop, helper, traces),
        http(options.host, options.port, options.http, options.tls, service) {}

  void reload() {
    service.reload();
    try {
      http.reload_tls();
    } catch (const Error& error) {
      log(LogLevel::error, fmt::format("the certificate stays as it was: {}", error.what()));
    }
  }

  const ServerOptions options;
  Metrics metrics;
  EngineLoop loop;
  Helper helper;
  TraceExporter traces;
  Service service;
  HttpServer http;
  std::atomic<int> stops{0};
  std::atomic<int> signal{0};
};

Server::Server(const ServerOptions& options) : state_(std::make_unique<State>(options)) {
  if (state_->http.loopback()) state_->service.set_local_only();
  state_->service.set_connections([http = &state_->http] { return http->connections(); });
  state_->service.set_network_zones(state_->http.zones());
}

Server::~Server() = default;

const std::string& Server::address() const { return state_->http.address(); }
bool Server::loopback() const { return state_->http.loopback(); }
bool Server::has_keys() const { return state_->service.has_keys(); }

int Server::run(Engine& engine, const Served& served, const std::function<void()>& ready) {
  State& s = *state_;
  s.service.serve(served);
  if (s.options.signals) {
    s.http.catch_signals([this](int number) {
      if (number == SIGHUP) {
        state_->reload();
      } else {
        stop(number);
      }
    });
  }
  s.http.open();
  ready();
  notify_service_manager("READY=1");
  const Watchdog watchdog([&s](double patience) { return s.loop.seconds_without_progress() < patience; });
  s.loop.when_said([&s] { s.http.ring(); });
  // Model and tokenizer go when this returns, however it does: no other thread may look at them any more, not even for
  // a client who has left.
  struct Silence {
    State& s;
    ~Silence() {
      s.http.close();
      s.helper.stop();
    }
  } const silence{s};
  s.loop.run(engine);
  return s.signal.load();
}

void Server::stop(int signal) {
  State& s = *state_;
  int none = 0;
  s.signal.compare_exchange_strong(none, signal);
  if (s.stops.fetch_add(1) > 0) {
    s.http.hang_up_all();
    return;
  }
  notify_service_manager("STOPPING=1");
  s.service.drain();
  s.http.drain(s.options.drain_seconds, [&s] { s.loop.stop(); });
}

}  // namespace autoglm
