// The whole server: a thread for sockets, a helper, and the caller's thread for the engine.
#pragma once

#include <memory>
#include <string>

#include "server/api/api.h"
#include "server/http_server.h"
#include "server/service.h"
#include "server/traces.h"

namespace autoglm {

struct ServerOptions {
  std::string host = "127.0.0.1";
  int port = 8080;
  HttpLimits http{};
  TlsFiles tls{};
  ServiceOptions service{};
  TraceOptions traces{};
  double drain_seconds = 30;
  std::string model_name = "default";  // in metrics
  bool signals = false;                // SIGTERM and SIGINT stop, SIGHUP reloads
};

class Server {
 public:
  /// Listens and starts its threads, before a pool pins the calling one. Nobody is served yet. Errors: bad_flag (port,
  /// address), those of ApiKeys, AccessLog and make_tls_context.
  explicit Server(const ServerOptions& options);
  ~Server();

  const std::string& address() const;
  bool loopback() const;
  bool has_keys() const;

  /// Serves until stop() or a signal. `ready` is called once requests are taken. Returns the signal that ended it, or
  /// 0.
  int run(Engine& engine, const Served& served, const std::function<void()>& ready);
  /// As SIGTERM: the first drains, the second ends at once. From any thread.
  void stop(int signal = 0);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace autoglm
