#include "optimize/child_runs.h"

#include <fmt/format.h>

#include "base/error.h"
#include "base/settings.h"

namespace autoglm {

SettingWords setting_words(const SettingValues& settings) {
  SettingWords out;
  for (const auto& [key, value] : settings) {
    const Setting* setting = find_setting(key);
    AUTOGLM_CHECK(setting != nullptr, "a setting of the table");
    if (setting->type == SettingType::boolean) {
      const bool on = parse_setting(*setting, value).value.integer != 0;
      out.push_back(on ? std::string(setting->flag) : fmt::format("--no-{}", setting->flag.substr(2)));
    } else {
      out.emplace_back(setting->flag);
      out.push_back(value);
    }
  }
  return out;
}

WorkloadFigures ChildRuns::run(const RunSubject& subject, int64_t requests) {
  ChildRun run = base_;
  run.model = subject.model.string();
  run.common.insert(run.common.end(), {"--requests", std::to_string(requests)});
  return run_in_child(run, setting_words(subject.settings));
}

FoundSettings ChildRuns::search(const RunSubject& subject, OptimizeGoal goal, double seconds) {
  (void)subject;
  (void)goal;
  (void)seconds;
  return {};
}

}  // namespace autoglm
