// Energy that the processor packages used, from the kernel's RAPL counters (powercap).
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <vector>

namespace autoglm {

/// Counts from its making on. The counters are of whole packages: all that runs on the machine is in them. Most systems
/// let only root read them, and virtual machines have none.
class EnergyMeter {
 public:
  explicit EnergyMeter(const std::filesystem::path& root = "/");
  /// Joules since; nothing where a counter cannot be read. A counter that began anew is counted right once.
  std::optional<double> joules() const;

 private:
  struct Counter {
    std::filesystem::path file;
    int64_t begin = 0;  // microjoules
    int64_t range = 0;  // where it begins anew
  };
  std::vector<Counter> counters_;
};

}  // namespace autoglm
