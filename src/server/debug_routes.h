// GET /debug/pprof/profile and /debug/flamegraph: where the processor time goes, looked at for some seconds.
// GET /debug/trace: what each thread did in the last seconds, and the requests meanwhile.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "base/pprof.h"
#include "base/trace_events.h"
#include "server/exchange.h"

namespace autoglm {

class DebugRoutes {
 public:
  DebugRoutes() = default;
  ~DebugRoutes();  // ends what runs
  DebugRoutes(const DebugRoutes&) = delete;
  DebugRoutes& operator=(const DebugRoutes&) = delete;

  /// What happened in the last `seconds`. Called on the thread that answers; what it looks at outlives this object.
  using Tracks = std::function<std::vector<TraceTrack>(double seconds)>;

  static bool has(std::string_view path);
  /// Answers later, from a thread of its own; at once what is wrong, and 429 while another one is being made.
  void handle(const std::shared_ptr<Exchange>& exchange, Tracks tracks);

 private:
  HttpResponse made(const Exchange& exchange, double seconds, const Tracks& tracks);
  void run(const std::shared_ptr<Exchange>& exchange, double seconds, const Tracks& tracks);

  std::atomic<bool> stopping_{false};
  std::thread thread_;  // handle() alone, on the network thread
  std::atomic<bool> running_{false};
};

/// The value of a query's key, percent-decoded; empty: there is none.
std::string query_value(std::string_view query, std::string_view key);

/// A page of its own, without outside resources: the tree as boxes as wide as their share, to be clicked into.
std::string flame_graph_page(const CallTree& tree, const CpuProfile& profile);

}  // namespace autoglm
