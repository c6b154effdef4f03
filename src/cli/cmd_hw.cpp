// `autoglm hw`: the machine as this program sees it.
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/ledger.h"
#include "base/pool.h"
#include "cli/commands.h"
#include "cli/machine_settings.h"
#include "kernels/backend.h"
#include "kernels/probe.h"

namespace autoglm {
namespace {

nlohmann::json facts(const Context& context) {
  const Machine& machine = context.machine();
  const Throttling throttling = read_throttling();
  return {
      {"cpu", machine.model},
      {"features", to_string(machine.features)},
      {"isa", context.settings().text("runtime.isa")},
      {"isas", usable_isas()},
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

// Measured with the kernels, threads and pinning that a model would get.
std::optional<Roofs> measure(const Context& context) {
  const Settings& settings = context.settings();
  if (!settings.boolean("hw.probe")) return std::nullopt;
  WorkerPool pool({.threads = static_cast<int>(settings.integer("runtime.threads")),
                   .cpus = affinity_cpus(settings, context.machine())});
  return probe_roofs(pool, settings.text("runtime.isa"), [&] { context.interrupt().check(); });
}

int run(Context& context) {
  context.interrupt().check();
  if (!context.json()) print_facts(context);
  const std::optional<Roofs> roofs = measure(context);
  context.interrupt().check();
  if (context.json()) {
    nlohmann::json out = facts(context);
    if (roofs) {
      out["int8_gops"] = roofs->int8_gops;
      out["bf16_gops"] = roofs->bf16_gops;
      out["read_gbps"] = std::max(roofs->read_gbps_small, roofs->read_gbps_huge);
      out["read_gbps_small_pages"] = roofs->read_gbps_small;
      out["read_gbps_huge_pages"] = roofs->read_gbps_huge;
      out["read_bytes"] = roofs->read_bytes;
    }
    context.print_json(out);
  } else if (roofs) {
    context.print(
        fmt::format("roofs          int8 {:.0f} Gop/s, bf16 {:.0f} Gop/s ({} kernels); reads {:.1f} GB/s on small "
                    "pages, {:.1f} GB/s on "
                    "huge pages ({} at a time)\n",
                    roofs->int8_gops, roofs->bf16_gops, context.settings().text("runtime.isa"), roofs->read_gbps_small,
                    roofs->read_gbps_huge, format_bytes(roofs->read_bytes)));
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
