#include "model/runtime.h"

#include <string>

#include "base/error.h"
#include "hw/machine.h"

namespace autoglm {

namespace {

// A worker with a CPU of its own keeps it beyond a barrier that is late: going to sleep and being woken costs a step
// more (50 to 100 us on a virtual machine) than the spinning costs anybody. Long enough for the network thread and a
// client that take the other worker's core for a while; docs/PERFORMANCE.md has the figures.
constexpr int kSpinOnOwnCpu = 2000;  // us

}  // namespace

Runtime make_runtime(const RuntimeOptions& options) {
  constexpr int kMostThreads = 1024;
  if (options.threads < 0 || options.threads > kMostThreads) {
    fail(Code::bad_flag, "cannot run " + std::to_string(options.threads) + " threads",
         "use 1 to " + std::to_string(kMostThreads) + ", or leave --threads out");
  }
  const Machine machine = read_machine();
  Runtime runtime;
  runtime.ledger = std::make_unique<Ledger>(options.memory_limit > 0 ? options.memory_limit : machine.usable_memory());
  PoolOptions pool;
  pool.threads = options.threads > 0 ? options.threads : machine.threads();
  pool.cpus = options.cpus;
  if (options.pin && pool.cpus.empty()) pool.cpus = machine.pin_order(pool.threads);
  if (!pool.cpus.empty()) pool.spin_microseconds = kSpinOnOwnCpu;
  runtime.pool = std::make_unique<WorkerPool>(pool);
  runtime.backend = make_backend(options.isa, *runtime.pool);
  return runtime;
}

}  // namespace autoglm
