#include "tune/settings_tuner.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/error.h"

namespace autoglm {
namespace {

constexpr double kRuns = 90;                    // measurements that a budget should have room for
constexpr double kLeastRun = 1, kMostRun = 30;  // seconds of one
constexpr int kCheckPairs = 6;
constexpr double kMostCheck = 60;  // seconds: a check is quick

SettingWords trial_size() {
  return {"--requests", std::to_string(kTrialRequests), "--scale", fmt::format("{}", kTrialScale)};
}

SettingWords words_of_changes(const std::vector<SettingChange>& settings) {
  SettingWords words;
  for (const SettingChange& change : settings) {
    const Setting* setting = find_setting(change.key);
    AUTOGLM_CHECK(setting != nullptr, "what was found is in the table");
    words.emplace_back(setting->flag);
    words.push_back(change.value);
  }
  return words;
}

// Whether a run that failed says something about its settings, and nothing about the rest.
bool is_refusal(const Error& error) {
  return error.code() == Code::out_of_memory || error.code() == Code::bad_flag ||
         error.code() == Code::context_exceeded || error.code() == Code::limit_exceeded;
}

class Tuner {
 public:
  explicit Tuner(const SettingsTuning& tuning) : tuning_(tuning), run_(tuning.run), begin_(tuning.clock()) {}

  // Runs the default as a trial, and chooses how much of the workload a measurement is.
  void choose_size(double budget, double runs) {
    SettingWords common = run_.common;
    const SettingWords trial = trial_size();
    run_.common.insert(run_.common.end(), trial.begin(), trial.end());
    tuning_.measure(run_, {});  // packs are made, files come into memory
    const double begin = tuning_.clock();
    const WorkloadFigures figures = tuning_.measure(run_, {});
    const double all = tuning_.clock() - begin;
    const double wanted = std::clamp((budget - spent_seconds()) / runs, kLeastRun, kMostRun);
    size_ = workload_size(tuning_.requests, figures.seconds, std::max(0.0, all - figures.seconds), wanted);
    common.insert(common.end(), size_.begin(), size_.end());
    run_.common = std::move(common);
  }

  TunedSettings tune() {
    choose_size(tuning_.budget, kRuns);
    RaceOptions options;
    for (const TunedField& field : tuning_.fields) options.values.push_back(static_cast<int>(field.values.size()));
    options.cost = [this](const RaceChoice& choice) { return cost(choice); };
    // What a pair more would take is as good as spent.
    options.spent = [this] { return (spent_seconds() + 2 * longest_) / tuning_.budget; };
    options.measured = [this](const RaceChoice& choice, double ratio) { say(choice, ratio); };
    const RaceResult result = race(options);
    TunedSettings out;
    for (size_t i = 0; i < result.choice.size(); ++i) {
      const TunedField& field = tuning_.fields[i];
      const auto value = static_cast<size_t>(result.choice[i]);
      if (value > 0) out.settings.push_back({std::string(field.setting->key), field.values[value], field.values[0]});
    }
    if (!out.settings.empty()) {
      // The race asked for more than 95 %; what is told is its interval at 3 standard deviations.
      out.ratio = result.confirmed;
      out.after = last_chosen_;
    } else {
      out.after = last_default_;
    }
    out.before = last_default_;
    out.measurements = result.measurements;
    out.seconds = spent_seconds();
    out.size = size_;
    return out;
  }

  bool check(const std::vector<SettingChange>& settings) {
    choose_size(std::min(tuning_.budget, kMostCheck), 2 * kCheckPairs + 2);
    const SettingWords words = words_of_changes(settings);
    const PairedRatio ratio = compare_in_pairs(
        [&](int side) { return cost_of(tuning_.measure(run_, side == 0 ? SettingWords{} : words), tuning_.goal); },
        kCheckPairs, false);
    if (tuning_.note) {
      tuning_.note(
          fmt::format("check: {:.3f} of the default's cost ({:.3f} to {:.3f})", ratio.ratio, ratio.low, ratio.high));
    }
    return ratio.ratio <= 1;
  }

 private:
  double spent_seconds() const { return tuning_.clock() - begin_; }

  double cost(const RaceChoice& choice) {
    const bool usual = std::ranges::all_of(choice, [](int value) { return value == 0; });
    try {
      const double begin = tuning_.clock();
      const WorkloadFigures figures = tuning_.measure(run_, words_of(tuning_.fields, choice));
      longest_ = std::max(longest_, tuning_.clock() - begin);
      (usual ? last_default_ : last_chosen_) = figures;
      return cost_of(figures, tuning_.goal);
    } catch (const Error& error) {
      if (usual || !is_refusal(error)) throw;
      if (tuning_.note) tuning_.note(fmt::format("out: {} ({})", name_of(choice), error.what()));
      return std::numeric_limits<double>::infinity();
    }
  }

  std::string name_of(const RaceChoice& choice) const {
    std::string text;
    for (size_t i = 0; i < choice.size(); ++i) {
      if (choice[i] == 0) continue;
      const TunedField& field = tuning_.fields[i];
      text += fmt::format("{}{} {}", text.empty() ? "" : " ", field.setting->flag,
                          field.values[static_cast<size_t>(choice[i])]);
    }
    return text;
  }

  void say(const RaceChoice& choice, double ratio) const {
    if (tuning_.note) tuning_.note(fmt::format("{:.3f}  {}", ratio, name_of(choice)));
  }

  const SettingsTuning& tuning_;
  ChildRun run_;
  double begin_;
  double longest_ = 0;  // seconds of a measurement
  SettingWords size_;
  WorkloadFigures last_default_, last_chosen_;
};

}  // namespace

SettingWords workload_size(int64_t requests, double run, double load, double wanted) {
  constexpr double kLeastScale = 0.1;
  // Time is taken to grow with requests times lengths.
  const double trial = static_cast<double>(kTrialRequests) * kTrialScale;
  const double work = trial * std::max(wanted - load, 0.25 * wanted) / std::max(run, 1e-3);
  const double part = std::clamp(work / static_cast<double>(requests), 0.0, 1.0);
  const auto some = std::clamp(static_cast<int64_t>(std::ceil(static_cast<double>(requests) * std::sqrt(part))),
                               std::min(kTrialRequests, requests), requests);
  const double scale = std::clamp(part * static_cast<double>(requests) / static_cast<double>(some), kLeastScale, 1.0);
  return {"--requests", std::to_string(some), "--scale", fmt::format("{:.3f}", scale)};
}

TunedSettings tune_settings(const SettingsTuning& tuning) { return Tuner(tuning).tune(); }

bool still_holds(const SettingsTuning& tuning, const std::vector<SettingChange>& settings) {
  return Tuner(tuning).check(settings);
}

}  // namespace autoglm
