#include "hw/cgroup.h"

#include <algorithm>
#include <string>
#include <system_error>
#include <vector>

#include "hw/files.h"

namespace autoglm::hw {
namespace {

namespace fs = std::filesystem;

struct Mount {
  std::string root;  // which folder of the hierarchy is mounted
  fs::path point;    // where
  bool v2 = false;
  std::string options;  // v1: names of controllers among them
};

// proc(5), /proc/pid/mountinfo: id parent dev ROOT POINT options [tags] - TYPE source SUPER_OPTIONS.
std::vector<Mount> cgroup_mounts(const fs::path& root) {
  std::vector<Mount> mounts;
  for (const std::string& line : split_lines(read_text(root / "proc/self/mountinfo"))) {
    const size_t dash = line.find(" - ");
    if (dash == std::string::npos) continue;
    const auto before = split_words(std::string_view(line).substr(0, dash));
    const auto after = split_words(std::string_view(line).substr(dash + 3));
    if (before.size() < 5 || after.size() < 3) continue;
    if (after[0] != "cgroup" && after[0] != "cgroup2") continue;
    mounts.push_back({before[3], root / fs::path(before[4]).relative_path(), after[0] == "cgroup2", after[2]});
  }
  return mounts;
}

bool has_item(const std::string& list, std::string_view item) {
  for (size_t at = 0; at <= list.size();) {
    const size_t end = std::min(list.find(',', at), list.size());
    if (std::string_view(list).substr(at, end - at) == item) return true;
    at = end + 1;
  }
  return false;
}

// The path of this process in the hierarchy of `controller` (empty: v2), by /proc/self/cgroup: "id:controllers:path".
std::optional<std::string> own_path(const fs::path& root, std::string_view controller) {
  for (const std::string& line : split_lines(read_text(root / "proc/self/cgroup"))) {
    const size_t first = line.find(':');
    const size_t second = first == std::string::npos ? first : line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    const bool match = controller.empty() ? controllers.empty() : has_item(controllers, controller);
    if (match) return line.substr(second + 1);
  }
  return std::nullopt;
}

// The group's folder and its parents up to the mount point, innermost first.
std::vector<fs::path> folders(const fs::path& root, const Mount& mount, std::string_view controller) {
  const auto path = own_path(root, controller);
  if (!path) return {};
  std::string below = *path;
  // Without a namespace a container's path has the part that was mounted; with one ("/../..") it may lie outside.
  if (mount.root != "/") {
    const bool inside = below == mount.root || below.starts_with(mount.root + "/");
    below = inside ? below.substr(mount.root.size()) : "/";
  }
  if (below.find("..") != std::string::npos) below = "/";
  std::vector<fs::path> out;
  std::error_code ignored;
  for (fs::path relative = fs::path(below).relative_path(); !relative.empty(); relative = relative.parent_path()) {
    if (fs::is_directory(mount.point / relative, ignored)) out.push_back(mount.point / relative);
  }
  out.push_back(mount.point);
  return out;
}

std::vector<fs::path> folders_of(const fs::path& root, std::string_view controller, bool v2) {
  for (const Mount& mount : cgroup_mounts(root)) {
    if (mount.v2 != v2) continue;
    if (v2) return folders(root, mount, "");
    if (has_item(mount.options, controller)) return folders(root, mount, controller);
  }
  return {};
}

template <typename T>
void tighten(std::optional<T>& limit, std::optional<T> other) {
  if (other && (!limit || *other < *limit)) limit = other;
}

std::optional<double> quota_of(const fs::path& group, bool v2) {
  std::optional<int64_t> quota;
  std::optional<int64_t> period;
  if (v2) {
    const auto words = split_words(read_line(group / "cpu.max"));  // "150000 100000" or "max 100000"
    if (words.size() != 2) return std::nullopt;
    quota = to_number(words[0]);
    period = to_number(words[1]);
  } else {
    quota = to_number(read_line(group / "cpu.cfs_quota_us"));  // -1: none
    period = to_number(read_line(group / "cpu.cfs_period_us"));
  }
  if (!quota || !period || *period == 0 || *quota == 0) return std::nullopt;
  return static_cast<double>(*quota) / static_cast<double>(*period);
}

int64_t stat_value(const std::string& text, std::string_view key) {
  for (const std::string& line : split_lines(text)) {
    const auto words = split_words(line);
    if (words.size() == 2 && words[0] == key) return to_number(words[1]).value_or(0);
  }
  return 0;
}

// Page cache is given back when memory is short: it is not in the way of anything.
int64_t used_of(const fs::path& group, bool v2) {
  const int64_t usage = to_number(read_line(group / (v2 ? "memory.current" : "memory.usage_in_bytes"))).value_or(0);
  const std::string stat = read_text(group / "memory.stat");
  const std::string prefix = v2 ? "" : "total_";
  return std::max<int64_t>(
      0, usage - stat_value(stat, prefix + "inactive_file") - stat_value(stat, prefix + "active_file"));
}

void read_memory(const std::vector<fs::path>& groups, bool v2, CgroupLimits& limits) {
  for (const fs::path& group : groups) {
    std::optional<int64_t> limit = to_number(read_line(group / (v2 ? "memory.max" : "memory.limit_in_bytes")));
    if (v2) tighten(limit, to_number(read_line(group / "memory.high")));  // beyond it the kernel slows us to a crawl
    if (!limit || (limits.memory_limit && *limit >= *limits.memory_limit)) continue;
    limits.memory_limit = limit;
    limits.memory_used = used_of(group, v2);
  }
}

}  // namespace

CgroupLimits read_cgroup_limits(const fs::path& root) {
  CgroupLimits limits;
  for (const bool v2 : {true, false}) {
    for (const fs::path& group : folders_of(root, "cpu", v2)) tighten(limits.cpu_quota, quota_of(group, v2));
    read_memory(folders_of(root, "memory", v2), v2, limits);
  }
  return limits;
}

Throttling read_cgroup_throttling(const fs::path& root) {
  Throttling out;
  for (const bool v2 : {true, false}) {
    for (const fs::path& group : folders_of(root, "cpu", v2)) {
      const std::string stat = read_text(group / "cpu.stat");
      const int64_t periods = stat_value(stat, "nr_periods");
      if (periods == 0) continue;
      out.periods += periods;
      out.throttled_periods += stat_value(stat, "nr_throttled");
      out.throttled_us += v2 ? stat_value(stat, "throttled_usec") : stat_value(stat, "throttled_time") / 1000;
    }
  }
  return out;
}

}  // namespace autoglm::hw
