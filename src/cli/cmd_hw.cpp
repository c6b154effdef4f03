// `autoglm hw`: the machine as this program sees it.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/ledger.h"
#include "cli/commands.h"
#include "kernels/backend.h"

namespace autoglm {
namespace {

nlohmann::json facts(const Context& context) {
  const Machine& machine = context.machine();
  const Throttling throttling = read_throttling();
  std::vector<std::string_view> isas = usable_isas();
  nlohmann::json out = {
      {"cpu", machine.model},
      {"features", to_string(machine.features)},
      {"isa", isas.front()},
      {"isas", isas},
      {"threads", context.settings().integer("runtime.threads")},
      {"threads_reason", context.settings().reason("runtime.threads")},
      {"logical_cpus", machine.logical_cpus},
      {"allowed_cpus", machine.allowed.size()},
      {"physical_cores", machine.physical_cores},
      {"cpu_quota", machine.cpu_quota ? nlohmann::json(*machine.cpu_quota) : nlohmann::json()},
      {"memory_total_bytes", machine.memory_total},
      {"memory_available_bytes", machine.memory_available},
      {"memory_limit_bytes", machine.memory_limit.value_or(machine.memory_total)},
      {"l2_bytes", machine.cache_l2_bytes},
      {"l3_bytes", machine.cache_l3_bytes},
      {"huge_pages", machine.huge_pages},
      {"throttled_periods", throttling.throttled_periods},
      {"throttled_ms", throttling.throttled_us / 1000},
  };
  return out;
}

void print_facts(const Context& context) {
  const Machine& m = context.machine();
  const Throttling throttling = read_throttling();
  std::string out = fmt::format("CPU            {}\n", m.model);
  out += fmt::format("features       {}\n", to_string(m.features));
  out += fmt::format("kernels        {}\n", fmt::join(usable_isas(), " "));
  out += fmt::format("threads        {} ({})\n", context.settings().integer("runtime.threads"),
                     context.settings().reason("runtime.threads"));
  out += fmt::format("CPU quota      {}{}\n", m.cpu_quota ? fmt::format("{:.3g} CPUs", *m.cpu_quota) : "none",
                     throttling.throttled_periods > 0 ? fmt::format("; stopped in {} of {} periods",
                                                                    throttling.throttled_periods, throttling.periods)
                                                      : "");
  out += fmt::format("caches         L2 {}, L3 {}\n", format_bytes(m.cache_l2_bytes), format_bytes(m.cache_l3_bytes));
  out += fmt::format("memory         {}, {} available, limit {}\n", format_bytes(m.memory_total),
                     format_bytes(m.memory_available), m.memory_limit ? format_bytes(*m.memory_limit) : "none");
  out += fmt::format("huge pages     {}\n", m.huge_pages.empty() ? "none" : m.huge_pages);
  context.print(out);
}

int run(Context& context) {
  context.interrupt().check();
  if (context.json()) {
    context.print_json(facts(context));
  } else {
    print_facts(context);
  }
  return 0;
}

}  // namespace

const Command kHw = {
    .name = "hw",
    .summary = {"the machine: CPU, instruction sets, quota, memory limit, measured roofs",
                "机器信息：CPU、指令集、配额、内存上限、实测性能上限"},
    .examples = {{"autoglm hw", {"what this machine can do", "本机的能力"}}},
    .json_keys = "isa, threads, int8_gops, bf16_gops, read_gbps, memory_limit_bytes",
    .run = run,
};

}  // namespace autoglm
