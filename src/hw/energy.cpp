#include "hw/energy.h"

#include <algorithm>
#include <string>

#include "hw/files.h"

namespace autoglm {

namespace fs = std::filesystem;

EnergyMeter::EnergyMeter(const fs::path& root) {
  std::error_code ignored;
  // "intel-rapl:0" is a package (AMD's too), "intel-rapl:0:1" a part of it, "intel-rapl-mmio:0" the same again.
  for (const fs::directory_entry& entry : fs::directory_iterator(root / "sys/class/powercap", ignored)) {
    const std::string name = entry.path().filename().string();
    if (!name.starts_with("intel-rapl:") || std::ranges::count(name, ':') != 1) continue;
    if (!hw::read_line(entry.path() / "name").starts_with("package")) continue;
    const auto begin = hw::to_number(hw::read_line(entry.path() / "energy_uj"));
    if (!begin) continue;
    const int64_t range = hw::to_number(hw::read_line(entry.path() / "max_energy_range_uj")).value_or(0);
    counters_.push_back({entry.path() / "energy_uj", *begin, range});
  }
}

std::optional<double> EnergyMeter::joules() const {
  if (counters_.empty()) return std::nullopt;
  double sum = 0;
  for (const Counter& counter : counters_) {
    const auto now = hw::to_number(hw::read_line(counter.file));
    if (!now) return std::nullopt;
    const int64_t used = *now >= counter.begin ? *now - counter.begin : *now - counter.begin + counter.range;
    if (used < 0) return std::nullopt;
    sum += 1e-6 * static_cast<double>(used);
  }
  return sum;
}

}  // namespace autoglm
