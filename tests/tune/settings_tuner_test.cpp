// The settings' tuner with made-up runs and a clock of its own.
#include "tune/settings_tuner.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "support/errors.h"

namespace autoglm {
namespace {

/// What runs would show: seconds pass with each.
struct World {
  double time = 0;
  int runs = 0;
  std::mt19937 random{5};
  std::normal_distribution<double> normal;
  std::function<double(const SettingWords&)> cost = [](const SettingWords&) { return 1.0; };  // seconds of a request

  WorkloadFigures run(const ChildRun& child, const SettingWords& words) {
    ++runs;
    const auto at = std::ranges::find(child.common, "--requests");
    const auto scale = std::ranges::find(child.common, "--scale");
    const double part = std::stod(*(at + 1)) * std::stod(*(scale + 1));
    const double seconds = part * cost(words) * std::exp(0.03 * normal(random));
    time += 0.5 + seconds;  // and the start
    WorkloadFigures figures;
    figures.seconds = seconds;
    figures.end_to_end_ms.p50 = 1e3 * seconds / part;
    figures.throughput_tps = part * 100 / seconds;
    return figures;
  }
};

bool has(const SettingWords& words, const std::string& flag, const std::string& value) {
  for (size_t i = 0; i + 1 < words.size(); ++i) {
    if (words[i] == flag && words[i + 1] == value) return true;
  }
  return false;
}

std::string value_of(const TunedSettings& found, std::string_view key) {
  for (const SettingChange& change : found.settings) {
    if (change.key == key) return change.value;
  }
  return "";
}

Machine four_cores() {
  Machine machine;
  for (int cpu = 0; cpu < 8; ++cpu) machine.allowed.push_back({cpu, cpu / 2, 0});
  machine.physical_cores = 4;
  return machine;
}

Settings settings_of(const Machine& machine) {
  Settings settings;
  settings.set("runtime.threads", std::to_string(machine.threads()), Origin::machine, "");
  return settings;
}

SettingsTuning tuning_of(World& world, double budget) {
  SettingsTuning tuning;
  tuning.fields = search_space(settings_of(four_cores()), four_cores(), 2);
  tuning.requests = 16;
  tuning.budget = budget;
  tuning.clock = [&world] { return world.time; };
  tuning.measure = [&world](const ChildRun& child, const SettingWords& words) { return world.run(child, words); };
  return tuning;
}

TEST(SearchSpaceTest, ComesFromTheTable) {
  const auto fields = search_space(settings_of(four_cores()), four_cores(), 2);
  const auto values = [&](std::string_view key) {
    for (const TunedField& field : fields) {
      if (field.setting->key == key) return field.values;
    }
    return std::vector<std::string>{};
  };
  EXPECT_EQ(values("runtime.threads"), (std::vector<std::string>{"4", "1", "2", "8"}));
  EXPECT_EQ(values("speculation"), (std::vector<std::string>{"auto", "off"}));
  EXPECT_EQ(values("kv_cache.type").front(), "q8");
  EXPECT_EQ(values("batching.max_batch_size"), (std::vector<std::string>{}));  // two users: more places do nothing
  for (const TunedField& field : fields) {
    for (const std::string& value : field.values) EXPECT_EQ(parse_setting(*field.setting, value).error, "");
  }
  EXPECT_EQ(search_space(settings_of(four_cores()), four_cores(), 0).size(), fields.size() + 1);
}

TEST(SearchSpaceTest, WhatAPersonHasSetIsFixedAndGoesToTheChildren) {
  Settings settings = settings_of(four_cores());
  settings.set("runtime.threads", "3", Origin::flag, "");
  settings.set("kv_cache.prefix_cache", "false", Origin::flag, "");
  settings.set("tune.goal", "latency", Origin::flag, "");
  for (const TunedField& field : search_space(settings, four_cores(), 0))
    EXPECT_NE(field.setting->key, "runtime.threads");
  EXPECT_EQ(given_words(settings), (SettingWords{"--threads", "3", "--no-prefix-cache"}));
}

TEST(SettingsTunerTest, FindsWhatIsFasterWithinItsBudget) {
  World world;
  world.cost = [](const SettingWords& words) {
    return (has(words, "--threads", "8") ? 0.8 : 1.0) * (has(words, "--affinity", "none") ? 0.9 : 1.0) *
           (has(words, "--kv-type", "bf16") ? 1.1 : 1.0);
  };
  const SettingsTuning tuning = tuning_of(world, 600);
  const TunedSettings found = tune_settings(tuning);
  EXPECT_LE(world.time, 600);
  EXPECT_GT(world.runs, 60);
  EXPECT_EQ(value_of(found, "runtime.threads"), "8");
  EXPECT_EQ(value_of(found, "runtime.affinity"), "none");
  EXPECT_EQ(value_of(found, "kv_cache.type"), "");
  EXPECT_EQ(found.settings[0].usual, "4");
  EXPECT_NEAR(found.ratio.ratio, 0.72, 0.04);
  EXPECT_TRUE(still_holds(tuning_of(world, 60), found.settings));
  world.cost = [](const SettingWords& words) { return has(words, "--threads", "8") ? 1.5 : 1.0; };
  EXPECT_FALSE(still_holds(tuning_of(world, 60), found.settings));
}

TEST(SettingsTunerTest, StaysWithTheDefaultWhereNothingIsBetter) {
  World world;
  const TunedSettings found = tune_settings(tuning_of(world, 300));
  EXPECT_TRUE(found.settings.empty());
  EXPECT_LE(world.time, 300);
}

TEST(SettingsTunerTest, WhatDoesNotFitIsOutAndADefaultThatFailsIsAnError) {
  World world;
  world.cost = [](const SettingWords& words) {
    if (has(words, "--kv-type", "bf16")) fail(Code::out_of_memory, "too much");
    return has(words, "--speculation", "off") ? 0.7 : 1.0;
  };
  const TunedSettings found = tune_settings(tuning_of(world, 300));
  EXPECT_EQ(value_of(found, "speculation"), "off");
  EXPECT_EQ(value_of(found, "kv_cache.type"), "");
  world.cost = [](const SettingWords&) -> double { fail(Code::out_of_memory, "too much"); };
  EXPECT_ERROR(tune_settings(tuning_of(world, 300)), Code::out_of_memory, "too much");
}

TEST(SettingsTunerTest, ARunIsAsMuchOfTheWorkloadAsTheBudgetAllows) {
  // Half a request's worth took 5 s: two seconds are a fifth of one of 16.
  EXPECT_EQ(workload_size(16, 5, 0.5, 2.5), (SettingWords{"--requests", "2", "--scale", "0.100"}));
  EXPECT_EQ(workload_size(16, 0.01, 0.5, 30), (SettingWords{"--requests", "16", "--scale", "1.000"}));
  EXPECT_EQ(workload_size(1, 0.1, 0.5, 2), (SettingWords{"--requests", "1", "--scale", "1.000"}));
}

}  // namespace
}  // namespace autoglm
