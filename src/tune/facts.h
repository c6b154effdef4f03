// What the doctor judges: numbers only, so that a test can state any machine and any fault.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/zone.h"

namespace autoglm {

/// What happened to this process and its machine in a stretch of time (counters.h measures it).
struct Interval {
  double seconds = 0;
  int64_t periods = 0;            // of the CPU quota
  int64_t throttled_periods = 0;  // in which the kernel stopped us
  double throttled_seconds = 0;   // summed over CPUs
  double steal_share = 0;         // of the time of the CPUs we may use: taken by the hypervisor
  double run_delay_seconds = 0;   // summed over our threads: runnable, but not running. Throttled time is in it
  int64_t major_faults = 0;       // pages that this process waited for the disk for
  int64_t swap_ins = 0;           // pages of the whole machine
};

/// A model's short run.
struct RunFacts {
  double prefill_tps = 0;
  double decode_tps = 0;
  double prefill_gops = 0;  // 1e9 operations a second that prefill made use of
  double decode_gbps = 0;   // 1e9 bytes a second that decoding had to read
  double weight_bits = 0;   // a weight, on average
  bool exact = false;       // --precision f32
  double load_ms = 0;
  std::optional<double> packing_ms;  // part of load_ms that went into packing weights; none: they were packed before
  bool cache_enabled = true;         // whether packed weights may be kept
  ZoneTotals decode_zones{};         // where the time of decoding went, on worker 0
};

/// What the requests of a server had in common, since it started or in a stretch of time.
struct ReuseFacts {
  int64_t requests = 0;
  int64_t prompt_tokens = 0;
  int64_t cached_tokens = 0;      // of them, that were not computed again
  int64_t same_start_tokens = 0;  // that a recent prompt began with, too
  int64_t repeated_tokens = 0;    // that stood in a recent prompt, wherever
  int64_t evicted_blocks = 0;     // that the cache in memory gave up
  bool prefix_cache = true;       // --prefix-cache
  bool persist = true;            // --kv-persist
};

/// What a server went through, since it started.
struct ServerFacts {
  int64_t requests = 0;        // answered
  double request_seconds = 0;  // all of theirs, from arrival to the last token
  double queue_seconds = 0;    // of that
  double prefill_seconds = 0;
  double decode_seconds = 0;
  double batch = 0;         // requests of a step, on average
  int64_t preemptions = 0;  // requests set back for lack of KV blocks
  int64_t refused = 0;      // with 429
  int64_t running = 0;      // now
  int64_t waiting = 0;
  double kv_share = 0;  // of the KV blocks, in use now
};

/// The request of a server's last ones that lost most time in one of its stages, beyond what that stage took others.
struct SlowRequest {
  std::string id;
  std::string route;
  std::string stage;  // network, prepare, queue, prefill, decode, serialization
  double seconds = 0;
  double stage_seconds = 0;
  double expected_seconds = 0;  // what others took there; for prefill and decode as many tokens
  int64_t computed_tokens = 0;  // of its prompt
  int64_t answer_tokens = 0;
  int64_t preemptions = 0;
  int64_t compared = 0;  // requests
};

struct Facts {
  int threads = 1;                  // in use
  int suggested_threads = 1;        // the least of affinity, quota and cores
  int allowed_cpus = 1;             // by the affinity mask and cpuset
  int logical_cpus = 1;             // of the machine
  int physical_cores = 1;           // among the allowed
  std::optional<double> cpu_quota;  // CPUs

  std::string isa;            // of the kernels in use
  std::string best_isa;       // that this CPU and this binary have
  double int8_gops = 0;       // roofs, on all threads; 0: not probed
  double best_int8_gops = 0;  // with the best ISA
  double read_gbps = 0;       // on the pages where weights lie: huge ones, where the system grants them

  std::string huge_pages;  // "always", "madvise", "never" or empty
  std::string governor;    // of the first CPU we may use; empty: unknown
  double clock_share = 1;  // the highest clock that is permitted, as a share of what the CPU can do

  Interval load;  // reading the model; zeros without one
  Interval work;  // the measured run, or the probing of the roofs
  std::optional<RunFacts> run;
  std::optional<ReuseFacts> reuse;    // none: no server was asked
  std::optional<ServerFacts> server;  // the same
  std::optional<SlowRequest> slow;    // none: nobody was slow
};

}  // namespace autoglm
