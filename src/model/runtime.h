// What several engines of one process share.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/ledger.h"
#include "base/pool.h"
#include "kernels/backend.h"

namespace autoglm {

/// Ledger, pool and devices. Outlives every Model and Engine made with it.
struct Runtime {
  std::unique_ptr<Ledger> ledger;
  std::unique_ptr<WorkerPool> pool;
  std::unique_ptr<Backend> backend;
};

struct RuntimeOptions {
  int threads = 0;           // 0: what affinity and quota allow
  int64_t memory_limit = 0;  // bytes; 0: what the machine or its cgroup has
  std::string isa = "auto";
  bool pin = true;
  std::vector<int> cpus;  // worker i is pinned to cpus[i]; empty: the machine's order
};

/// Errors: bad_flag (ISA, threads beyond what the machine can hold).
Runtime make_runtime(const RuntimeOptions& options);

}  // namespace autoglm
