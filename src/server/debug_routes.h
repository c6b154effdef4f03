// GET /debug/pprof/profile and /debug/flamegraph: where the processor time goes, looked at for some seconds.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <string_view>
#include <thread>

#include "base/pprof.h"
#include "server/exchange.h"

namespace autoglm {

class DebugRoutes {
 public:
  DebugRoutes() = default;
  ~DebugRoutes();  // ends what runs
  DebugRoutes(const DebugRoutes&) = delete;
  DebugRoutes& operator=(const DebugRoutes&) = delete;

  static bool has(std::string_view path);
  /// Answers later, from a thread of its own; at once what is wrong, and 429 while another profile is taken.
  void handle(const std::shared_ptr<Exchange>& exchange);

 private:
  void run(const std::shared_ptr<Exchange>& exchange, double seconds);

  std::atomic<bool> stopping_{false};
  std::thread thread_;  // handle() alone, on the network thread
  std::atomic<bool> running_{false};
};

/// The value of a query's key, percent-decoded; empty: there is none.
std::string query_value(std::string_view query, std::string_view key);

/// A page of its own, without outside resources: the tree as boxes as wide as their share, to be clicked into.
std::string flame_graph_page(const CallTree& tree, const CpuProfile& profile);

}  // namespace autoglm
