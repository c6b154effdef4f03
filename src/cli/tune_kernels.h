// The kernels' part of `tune`.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "cli/command.h"
#include "tune/kernel_tuner.h"

namespace autoglm {

struct KernelReport {
  struct Tuned {
    TunedShape shape;
    TuningResult result;
  };
  std::vector<Tuned> shapes;
  double gain = 1.0;
  std::string path;  // where it is remembered; empty with --no-cache
};

/// Measures the kernels' settings for MODEL's matrices and remembers what won.
KernelReport tune_kernels(Context& context);

/// Rows of `settings`: {key, shape, value, default, gain}.
nlohmann::json kernel_settings_json(const KernelReport& report);
/// Rows of `measured`: {shape, trials}.
nlohmann::json kernel_trials_json(const KernelReport& report);
std::string kernel_text(const KernelReport& report, bool zh);

}  // namespace autoglm
