#include "hw/machine.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "base/ledger.h"
#include "hw/cgroup.h"
#include "hw/files.h"

namespace autoglm {
namespace {

namespace fs = std::filesystem;
using namespace hw;

std::string field(const std::string& text, std::string_view name) {
  for (const std::string& line : split_lines(text)) {
    if (!line.starts_with(name) || line.size() <= name.size() || line[name.size()] != ':') continue;
    const auto words = split_words(std::string_view(line).substr(name.size() + 1));
    return words.empty() ? "" : words.front();
  }
  return "";
}

int64_t meminfo(const std::string& text, std::string_view name) {
  return to_number(field(text, name)).value_or(0) * 1024;  // the file says kB and means KiB
}

fs::path cpu_folder(const fs::path& root, int cpu) {
  return root / "sys/devices/system/cpu" / ("cpu" + std::to_string(cpu));
}

void read_topology(const fs::path& root, Machine& machine) {
  std::vector<int> online = parse_cpu_list(read_line(root / "sys/devices/system/cpu/online"));
  std::vector<int> allowed = parse_cpu_list(field(read_text(root / "proc/self/status"), "Cpus_allowed_list"));
  if (online.empty()) online = allowed;
  if (online.empty()) online = {0};
  machine.logical_cpus = static_cast<int>(online.size());
  std::vector<int> usable;
  std::set_intersection(online.begin(), online.end(), allowed.begin(), allowed.end(), std::back_inserter(usable));
  if (usable.empty()) usable = online;

  std::map<int, int> cores;  // the first sibling's number -> our number
  for (const int cpu : usable) {
    const fs::path topology = cpu_folder(root, cpu) / "topology";
    std::vector<int> siblings = parse_cpu_list(read_line(topology / "core_cpus_list"));
    if (siblings.empty()) siblings = parse_cpu_list(read_line(topology / "thread_siblings_list"));
    const int first = siblings.empty() ? cpu : siblings.front();
    const int core = cores.emplace(first, static_cast<int>(cores.size())).first->second;
    const int64_t package = to_number(read_line(topology / "physical_package_id")).value_or(0);
    machine.allowed.push_back({cpu, core, static_cast<int>(package)});
  }
  machine.physical_cores = static_cast<int>(cores.size());
}

void read_caches(const fs::path& root, Machine& machine) {
  const fs::path folder = cpu_folder(root, machine.allowed.front().cpu) / "cache";
  for (int index = 0; index < 8; ++index) {
    const fs::path cache = folder / ("index" + std::to_string(index));
    if (read_line(cache / "type") == "Instruction") continue;
    std::string size = read_line(cache / "size");  // "2048K"
    if (!size.ends_with('K')) continue;
    size.pop_back();
    const int64_t bytes = to_number(size).value_or(0) * 1024;
    const std::string level = read_line(cache / "level");
    if (level == "2") machine.cache_l2_bytes = bytes;
    if (level == "3") machine.cache_l3_bytes = bytes;
  }
}

std::string bracketed(const std::string& text) {
  const size_t open = text.find('[');
  const size_t close = text.find(']');
  return open == std::string::npos || close == std::string::npos || close < open
             ? ""
             : text.substr(open + 1, close - open - 1);
}

}  // namespace

Machine read_machine(const fs::path& root) {
  Machine machine;
  machine.model = cpu_model();
  machine.features = cpu_features();
  read_topology(root, machine);
  read_caches(root, machine);
  const std::string memory = read_text(root / "proc/meminfo");
  machine.memory_total = meminfo(memory, "MemTotal");
  machine.memory_available = meminfo(memory, "MemAvailable");
  const CgroupLimits limits = read_cgroup_limits(root);
  machine.cpu_quota = limits.cpu_quota;
  // "No limit" is a huge number in cgroup v1, and a limit above what there is limits nothing.
  if (limits.memory_limit && *limits.memory_limit < machine.memory_total) {
    machine.memory_limit = limits.memory_limit;
    machine.memory_used = limits.memory_used;
  }
  machine.page_bytes = ::sysconf(_SC_PAGESIZE);
  machine.huge_pages = bracketed(read_line(root / "sys/kernel/mm/transparent_hugepage/enabled"));
  return machine;
}

Throttling read_throttling(const fs::path& root) { return read_cgroup_throttling(root); }

int Machine::threads() const {
  int count = std::min(static_cast<int>(allowed.size()), physical_cores);
  if (cpu_quota) count = static_cast<int>(std::min<double>(count, std::floor(*cpu_quota)));
  return std::max(1, count);
}

std::string Machine::threads_reason(Language language) const {
  if (language == Language::zh) {
    return fmt::format("{} 个允许的 CPU、{} 个物理核心和{}中的最小值", allowed.size(), physical_cores,
                       cpu_quota ? fmt::format("配额 {:.3g} 个 CPU", *cpu_quota) : "无配额");
  }
  return fmt::format("the least of {} allowed CPUs, {} physical cores and {}", allowed.size(), physical_cores,
                     cpu_quota ? fmt::format("a quota of {:.3g} CPUs", *cpu_quota) : "no quota");
}

std::vector<int> Machine::pin_order(int count) const {
  // Two processes that use part of a machine would both choose its first CPUs, and a quota says that the machine is
  // shared: only a pool that takes every core is pinned.
  if (cpu_quota || count < physical_cores || count > static_cast<int>(allowed.size())) return {};
  std::vector<int> order;
  std::set<int> used;
  for (const LogicalCpu& cpu : allowed) {
    if (used.insert(cpu.core).second) order.push_back(cpu.cpu);
  }
  for (const LogicalCpu& cpu : allowed) {
    if (std::find(order.begin(), order.end(), cpu.cpu) == order.end()) order.push_back(cpu.cpu);
  }
  order.resize(static_cast<size_t>(count));
  return order;
}

int64_t Machine::usable_memory() const {
  if (!memory_limit) return memory_available;
  return std::max<int64_t>(0, std::min(*memory_limit - memory_used, memory_available));
}

std::string Machine::usable_memory_reason(Language language) const {
  const bool zh = language == Language::zh;
  if (!memory_limit || *memory_limit - memory_used > memory_available) {
    return fmt::format(fmt::runtime(zh ? "当前可用，共 {}" : "available now, of {}"), format_bytes(memory_total));
  }
  return fmt::format(fmt::runtime(zh ? "cgroup 上限 {}，其中 {} 已占用" : "cgroup limit {}, of which {} is in use"),
                     format_bytes(*memory_limit), format_bytes(memory_used));
}

}  // namespace autoglm
