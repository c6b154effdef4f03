// Facts of the machine that settings are decided from: processors, quota, memory.
//
// Read once at start, before any thread is pinned. Every path is taken below a root folder, so that tests can show
// a machine that they do not have.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/language.h"
#include "hw/cpu.h"

namespace autoglm {

/// A processor that this process may run on.
struct LogicalCpu {
  int cpu = 0;   // the system's number
  int core = 0;  // physical core, counted from 0 over the machine
  int package = 0;
};

struct Machine {
  std::string model;  // of the CPU
  CpuFeatures features;
  std::vector<LogicalCpu> allowed;      // by the affinity mask (and cpuset), one entry a logical CPU
  int logical_cpus = 1;                 // of the machine
  int physical_cores = 1;               // among the allowed
  std::optional<double> cpu_quota;      // CPUs; none: no limit
  int64_t memory_total = 0;             // bytes, of the machine
  int64_t memory_available = 0;         // bytes that can be had without swapping, now
  std::optional<int64_t> memory_limit;  // the tightest of cgroup v1, v2 and their parents
  int64_t memory_used = 0;              // of that cgroup, without what the kernel can drop (page cache)
  int64_t cache_l2_bytes = 0;           // of one core; 0: unknown
  int64_t cache_l3_bytes = 0;           // of one package
  int64_t page_bytes = 4096;
  std::string huge_pages;  // "always", "madvise", "never" or empty

  /// max(1, min(allowed CPUs, floor(quota), physical cores)).
  int threads() const;
  std::string threads_reason(Language language = Language::en) const;
  /// CPUs to pin `count` workers to: one on each physical core first, then the siblings. Empty if count is larger than
  /// what is allowed (then nothing should be pinned) or if a quota makes pinning a disadvantage.
  std::vector<int> pin_order(int count) const;
  /// What this process may use: the cgroup's limit, or what is available now.
  int64_t usable_memory() const;
  std::string usable_memory_reason(Language language = Language::en) const;
};

/// How often the kernel has stopped us for the CPU quota since the cgroup was made.
struct Throttling {
  int64_t periods = 0;
  int64_t throttled_periods = 0;
  int64_t throttled_us = 0;
};

/// Reads the machine. Never fails: what cannot be read keeps a safe default.
Machine read_machine(const std::filesystem::path& root = "/");
Throttling read_throttling(const std::filesystem::path& root = "/");

}  // namespace autoglm
