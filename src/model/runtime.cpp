#include "model/runtime.h"

#include <algorithm>
#include <string>
#include <thread>

#include "base/error.h"

namespace autoglm {

Runtime make_runtime(const RuntimeOptions& options) {
  constexpr int kMostThreads = 1024;
  if (options.threads < 0 || options.threads > kMostThreads) {
    fail(Code::bad_flag, "cannot run " + std::to_string(options.threads) + " threads",
         "use 1 to " + std::to_string(kMostThreads) + ", or leave --threads out");
  }
  Runtime runtime;
  runtime.ledger = std::make_unique<Ledger>(options.memory_limit);
  PoolOptions pool;
  pool.threads =
      options.threads > 0 ? options.threads : std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
  runtime.pool = std::make_unique<WorkerPool>(pool);
  runtime.backend = make_backend(options.isa, *runtime.pool);
  return runtime;
}

}  // namespace autoglm
