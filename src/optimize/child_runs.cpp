#include "optimize/child_runs.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cctype>
#include <chrono>
#include <cmath>
#include <cstdlib>

#include "base/error.h"
#include "base/settings.h"

namespace autoglm {
namespace {

double steady_now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// A line of the tuner: "0.953  --threads 1".
void add_trial(const std::string& line, std::vector<TrialRecord>& trials) {
  const size_t space = line.find("  ");
  if (space == std::string::npos || line.empty() || std::isdigit(static_cast<unsigned char>(line[0])) == 0) return;
  const std::string name = line.substr(space + 2);
  const double ratio = std::strtod(line.c_str(), nullptr);
  const auto known = std::ranges::find(trials, name, &TrialRecord::settings);
  if (known == trials.end()) {
    trials.push_back({name, ratio, 1, false});
    return;
  }
  // The geometric mean of all its measurements.
  const auto n = static_cast<double>(known->measurements);
  known->ratio = std::exp((std::log(known->ratio) * n + std::log(ratio)) / (n + 1));
  ++known->measurements;
}

}  // namespace

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

ChildRun ChildRuns::with(const RunSubject& subject) const {
  ChildRun run = base_;
  run.model = subject.model.string();
  const SettingWords words = setting_words(subject.settings);
  run.common.insert(run.common.end(), words.begin(), words.end());
  return run;
}

WorkloadFigures ChildRuns::run(const RunSubject& subject, int64_t requests) {
  return run_in_child(with(subject), {"--requests", std::to_string(requests)});
}

FoundSettings ChildRuns::search(const RunSubject& subject, OptimizeGoal, int64_t requests, double seconds) {
  FoundSettings out;
  if (fields_.empty()) return out;
  SettingsTuning tuning;
  tuning.run = with(subject);
  tuning.fields = fields_;
  tuning.requests = requests;
  tuning.budget = seconds;
  tuning.clock = steady_now;
  tuning.note = [&](const std::string& line) { add_trial(line, out.trials); };
  tuning.measure = [&](const ChildRun& run, const SettingWords& words) {
    WorkloadFigures figures = run_in_child(run, words);
    out.peak_rss_bytes = std::max(out.peak_rss_bytes, figures.peak_rss_bytes);
    return figures;
  };
  const TunedSettings tuned = tune_settings(tuning);
  SettingValues kept;
  for (const SettingChange& change : tuned.settings) {
    kept.emplace_back(change.key, change.value);
    const std::string ratio =
        fmt::format("{:.2f} ({:.2f} … {:.2f})", tuned.ratio.ratio, tuned.ratio.low, tuned.ratio.high);
    out.settings.push_back({change.key, change.value, change.usual,
                            fmt::format("measured: with all of these a request takes {} of the default's time", ratio),
                            fmt::format("实测：采用这些设置后，一个请求用时为默认值的 {}", ratio)});
  }
  const std::string name = fmt::format("{}", fmt::join(setting_words(kept), " "));
  for (TrialRecord& trial : out.trials) trial.kept = !kept.empty() && trial.settings == name;
  return out;
}

}  // namespace autoglm
