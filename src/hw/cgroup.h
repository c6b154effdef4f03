// The control groups of this process: CPU quota, memory limit, throttling.
//
// Both versions, alone or side by side (the "hybrid" layout), with or without a cgroup namespace. A limit of any parent
// binds its children, so each is read up to the mount point.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>

#include "hw/machine.h"

namespace autoglm::hw {

struct CgroupLimits {
  std::optional<double> cpu_quota;      // CPUs
  std::optional<int64_t> memory_limit;  // bytes
  int64_t memory_used = 0;              // bytes, of the group with the tightest limit, without page cache
};

CgroupLimits read_cgroup_limits(const std::filesystem::path& root);
Throttling read_cgroup_throttling(const std::filesystem::path& root);

}  // namespace autoglm::hw
