#include "tune/counters.h"

#include <algorithm>
#include <chrono>
#include <string>
#include <system_error>

#include "hw/files.h"

namespace autoglm {
namespace {

namespace fs = std::filesystem;

int64_t number(const std::vector<std::string>& words, size_t index) {
  return index < words.size() ? hw::to_number(words[index]).value_or(0) : 0;
}

// proc(5), /proc/stat: cpuN user nice system idle iowait irq softirq steal guest guest_nice, in ticks. Guest time is
// already in user and nice.
void read_ticks(const std::vector<LogicalCpu>& cpus, const fs::path& root, Counters& out) {
  constexpr size_t kSteal = 8;
  for (const std::string& line : hw::split_lines(hw::read_text(root / "proc/stat"))) {
    const std::vector<std::string> words = hw::split_words(line);
    if (words.empty() || !words.front().starts_with("cpu")) continue;
    const auto cpu = hw::to_number(words.front().substr(3));
    const bool ours = cpu && std::ranges::any_of(cpus, [&](const LogicalCpu& c) { return c.cpu == *cpu; });
    if (!ours) continue;
    out.steal_ticks += number(words, kSteal);
    for (size_t i = 1; i <= kSteal; ++i) out.total_ticks += number(words, i);
  }
}

// schedstat of a thread: nanoseconds run, nanoseconds waited for a CPU, times run (kernel: Documentation/scheduler/
// sched-stats.rst).
int64_t run_delay(const fs::path& root) {
  int64_t sum = 0;
  std::error_code error;
  fs::directory_iterator tasks(root / "proc/self/task", error);
  for (; !error && tasks != fs::directory_iterator(); tasks.increment(error)) {
    sum += number(hw::split_words(hw::read_line(tasks->path() / "schedstat")), 1);
  }
  return sum;
}

// /proc/self/stat: field 12 is majflt. The name in field 2 may hold spaces and brackets.
int64_t major_faults(const fs::path& root) {
  const std::string line = hw::read_line(root / "proc/self/stat");
  const size_t end_of_name = line.rfind(')');
  if (end_of_name == std::string::npos) return 0;
  return number(hw::split_words(std::string_view(line).substr(end_of_name + 1)), 12 - 3);
}

int64_t vmstat(const fs::path& root, std::string_view name) {
  for (const std::string& line : hw::split_lines(hw::read_text(root / "proc/vmstat"))) {
    const std::vector<std::string> words = hw::split_words(line);
    if (words.size() == 2 && words[0] == name) return hw::to_number(words[1]).value_or(0);
  }
  return 0;
}

}  // namespace

Counters read_counters(const std::vector<LogicalCpu>& cpus, const fs::path& root) {
  Counters out;
  out.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
  out.throttling = read_throttling(root);
  read_ticks(cpus, root, out);
  out.run_delay_ns = run_delay(root);
  out.major_faults = major_faults(root);
  out.swap_ins = vmstat(root, "pswpin");
  return out;
}

Interval between(const Counters& before, const Counters& after) {
  const auto grown = [](int64_t from, int64_t to) { return std::max<int64_t>(0, to - from); };
  const int64_t total = grown(before.total_ticks, after.total_ticks);
  const int64_t steal = grown(before.steal_ticks, after.steal_ticks);
  return {
      .seconds = std::max(0.0, after.seconds - before.seconds),
      .periods = grown(before.throttling.periods, after.throttling.periods),
      .throttled_periods = grown(before.throttling.throttled_periods, after.throttling.throttled_periods),
      .throttled_seconds =
          static_cast<double>(grown(before.throttling.throttled_us, after.throttling.throttled_us)) * 1e-6,
      .steal_share = total > 0 ? static_cast<double>(steal) / static_cast<double>(total) : 0.0,
      .run_delay_seconds = static_cast<double>(grown(before.run_delay_ns, after.run_delay_ns)) * 1e-9,
      .major_faults = grown(before.major_faults, after.major_faults),
      .swap_ins = grown(before.swap_ins, after.swap_ins),
  };
}

void read_machine_facts(Facts& facts, const Machine& machine, const fs::path& root) {
  facts.suggested_threads = machine.threads();
  facts.allowed_cpus = static_cast<int>(machine.allowed.size());
  facts.logical_cpus = machine.logical_cpus;
  facts.physical_cores = machine.physical_cores;
  facts.cpu_quota = machine.cpu_quota;
  facts.huge_pages = machine.huge_pages;
  if (machine.allowed.empty()) return;
  // Virtual machines mostly have no such folder: the clock is the host's affair.
  const fs::path clock =
      root / "sys/devices/system/cpu" / ("cpu" + std::to_string(machine.allowed.front().cpu)) / "cpufreq";
  facts.governor = hw::read_line(clock / "scaling_governor");
  const auto permitted = hw::to_number(hw::read_line(clock / "scaling_max_freq"));
  const auto possible = hw::to_number(hw::read_line(clock / "cpuinfo_max_freq"));
  if (permitted && possible && *possible > 0) {
    facts.clock_share = std::clamp(static_cast<double>(*permitted) / static_cast<double>(*possible), 0.0, 1.0);
  }
  // Of the drivers that choose the clock themselves "powersave" is only the name of the normal mode.
  const std::string driver = hw::read_line(clock / "scaling_driver");
  if (driver.find("pstate") != std::string::npos && driver != "intel_cpufreq") facts.governor.clear();
}

}  // namespace autoglm
