#include "cli/machine_settings.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "base/ledger.h"
#include "cli/profile.h"
#include "hw/files.h"
#include "kernels/backend.h"

namespace autoglm {

void apply_machine(Settings& settings, const Machine& machine, std::string_view locale) {
  const auto suggest = [&](std::string_view key, const std::string& value, std::string reason) {
    settings.set(key, value, Origin::machine, std::move(reason));
  };
  suggest("lang", locale.starts_with("zh") ? "zh" : "en",
          locale.empty() ? "LANG is not set" : fmt::format("LANG is {}", locale));
  const Language language = settings.boolean("json") ? Language::en : settings.language();
  suggest("runtime.threads", std::to_string(machine.threads()), machine.threads_reason(language));
  for (const ProfileChoice& choice : choices_for_machine(settings, machine, language)) {
    settings.set(choice.key, choice.value, choice.origin, choice.reason);
  }
  // Whole steps of 16 MiB: the last bytes change from run to run and mean nothing.
  constexpr int64_t kStep = 16 << 20;
  const int64_t memory = std::max(kStep, machine.usable_memory() / kStep * kStep);
  suggest("runtime.memory_limit", fmt::format("{}MiB", memory >> 20), machine.usable_memory_reason(language));
  const std::vector<std::string_view> isas = usable_isas();
  suggest("runtime.isa", std::string(isas.front()),
          fmt::format(fmt::runtime(language == Language::zh ? "本机 CPU 和本程序都支持的最好的一种：{}"
                                                            : "the best of what this CPU and this binary have: {}"),
                      fmt::join(isas, ", ")));
  if (settings.text("precision.strategy") == "f32") {
    suggest("kv_cache.type", "f32",
            language == Language::zh ? "只有键值也精确时 --precision f32 才精确"
                                     : "--precision f32 is exact only with exact keys and values");
  }
  affinity_cpus(settings, machine);  // refuses a list that is wrong before any work begins
}

std::vector<int> affinity_cpus(const Settings& settings, const Machine& machine) {
  const std::string& affinity = settings.text("runtime.affinity");
  const auto threads = static_cast<int>(settings.integer_if("runtime.threads").value_or(machine.threads()));
  if (affinity == "none") return {};
  if (affinity == "auto") return machine.pin_order(threads);
  const bool form = affinity.find_first_not_of("0123456789,-") == std::string::npos;
  const std::vector<int> cpus = form ? hw::parse_cpu_list(affinity) : std::vector<int>{};
  if (cpus.empty()) {
    fail(Code::bad_flag, fmt::format("--affinity: '{}' is not a list of CPUs", affinity.substr(0, 80)),
         "write auto, none, or numbers such as 0,2-3");
  }
  for (const int cpu : cpus) {
    const bool allowed = std::any_of(machine.allowed.begin(), machine.allowed.end(),
                                     [&](const LogicalCpu& logical) { return logical.cpu == cpu; });
    if (!allowed) fail(Code::bad_flag, fmt::format("--affinity: this process may not run on CPU {}", cpu));
  }
  if (static_cast<int>(cpus.size()) < threads) {
    fail(Code::bad_flag, fmt::format("--affinity names {} CPUs for {} threads", cpus.size(), threads),
         fmt::format("name {} CPUs, or use --threads {}", threads, cpus.size()));
  }
  return cpus;
}

}  // namespace autoglm
