// The settings' part of `tune`.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "cli/command.h"
#include "tune/settings_tuner.h"

namespace autoglm {

struct SettingsReport {
  std::string workload;
  std::string goal;
  bool reused = false;  // an earlier result still holds
  std::vector<SettingChange> settings;
  double gain = 1, gain_low = 1, gain_high = 1;  // of cost, the default's by theirs
  int64_t measurements = 0;
  double seconds = 0;
  SettingWords size;
  std::string path;  // where it is remembered; empty with --no-cache
  std::vector<TunedField> fields;
};

/// Measures settings with the workload, or checks that what was found before still holds; remembers what won.
/// `seconds`: of the budget that are left.
SettingsReport tune_settings_of(Context& context, double seconds);

nlohmann::json settings_json(const SettingsReport& report);
std::string settings_text(const SettingsReport& report, bool zh);

}  // namespace autoglm
