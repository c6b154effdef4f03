// The kernel tuner on measurements that a test makes up: it never keeps what does not win.
#include "tune/kernel_tuner.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <random>

namespace autoglm {
namespace {

/// Choices like those of a backend: other thresholds, other prefetch distances.
std::vector<TuningChoice> choices(const ShapeTuning& current) {
  std::vector<TuningChoice> list;
  for (const int32_t rows : {4, 8, 16, 24, 64}) {
    list.push_back({current, {std::min(rows, current.expand_rows), std::max(rows, current.expand_rows) - 1}});
    list.back().tuning.expand_rows = rows;
  }
  for (const int32_t bytes : {2048, 16384}) {
    list.push_back({current, {1, 2}});
    list.back().tuning.prefetch = bytes;
  }
  std::erase_if(list, [&](const TuningChoice& c) { return c.tuning == current; });
  return list;
}

/// A machine on which a row costs 1 straight from nibbles, and `decode` once plus `expanded` a row when decoded first.
struct FakeMachine {
  double decode = 28.0, expanded = 0.5;
  double far_prefetch = 1.0;  // factor on one or two rows with a prefetch of 16 KiB
  double noise = 0.0;         // standard deviation of each measurement
  double drift = 0.0;         // slower by this with every measurement
  std::mt19937 engine{1};
  int calls = 0;

  double operator()(const ShapeTuning& tuning, int64_t rows) {
    const auto n = static_cast<double>(rows);
    double time = rows >= tuning.expand_rows ? decode + expanded * n : n;
    if (rows <= 2 && tuning.prefetch == 16384) time *= far_prefetch;
    std::normal_distribution<double> around(0.0, noise);
    return time * std::max(0.1, 1.0 + around(engine)) * (1.0 + drift * ++calls);
  }
};

TuningResult tune(FakeMachine& machine) {
  return tune_shape(choices, [&](const ShapeTuning& tuning, int64_t rows) { return machine(tuning, rows); });
}

TEST(KernelTuner, FindsWhatIsFaster) {
  FakeMachine machine{.decode = 2.0, .expanded = 0.5};  // decoding pays from 4 rows on
  const TuningResult result = tune(machine);
  EXPECT_LT(result.tuning.expand_rows, ShapeTuning{}.expand_rows);
  EXPECT_EQ(result.tuning.prefetch, ShapeTuning{}.prefetch);
  EXPECT_GT(result.gain, 1.03);
}

TEST(KernelTuner, TunesEveryField) {
  FakeMachine machine{.decode = 11.0, .expanded = 0.5, .far_prefetch = 0.8};  // decoding pays from 22 rows on
  const TuningResult result = tune(machine);
  EXPECT_EQ(result.tuning.expand_rows, 24);
  EXPECT_EQ(result.tuning.prefetch, 16384);
}

TEST(KernelTuner, KeepsTheDefaultWhereNothingIsWorthIt) {
  FakeMachine machine{.far_prefetch = 0.98};  // 2 % is not worth remembering; 56 rows are right
  const TuningResult result = tune(machine);
  EXPECT_EQ(result.tuning, ShapeTuning{});
  EXPECT_EQ(result.gain, 1.0);
  for (const TuningTrial& trial : result.trials) EXPECT_FALSE(trial.kept);
}

TEST(KernelTuner, AChoiceThatLosesForSomeRowsIsNotKept) {
  const auto measure = [](const ShapeTuning& tuning, int64_t rows) {
    return tuning.prefetch == 16384 ? (rows == 1 ? 0.7 : 1.05) : 1.0;
  };
  EXPECT_EQ(tune_shape(choices, measure).tuning, ShapeTuning{});
}

TEST(KernelTuner, NeverKeepsALoserHoweverNoisyTheMachine) {
  for (uint32_t seed = 0; seed < 300; ++seed) {
    FakeMachine machine{.far_prefetch = 1.0, .noise = seed % 2 == 0 ? 0.3 : 0.02};
    machine.engine.seed(seed);
    const TuningResult result = tune(machine);
    FakeMachine quiet{.far_prefetch = 1.0};
    for (int64_t rows = 1; rows < 80; ++rows) {
      EXPECT_LE(quiet(result.tuning, rows), quiet(ShapeTuning{}, rows) * kNoWorse) << "seed " << seed;
    }
  }
}

TEST(KernelTuner, AMachineThatSlowsDownFavoursNobody) {
  FakeMachine machine{.drift = 0.02};
  EXPECT_EQ(tune(machine).tuning, ShapeTuning{});
}

TEST(KernelTuner, AnOutlierDoesNotWin) {
  int calls = 0;  // once in a while the default is interrupted
  const auto measure = [&](const ShapeTuning& tuning, int64_t) {
    return tuning == ShapeTuning{} && ++calls % 7 == 0 ? 100.0 : 1.0;
  };
  EXPECT_EQ(tune_shape(choices, measure).tuning, ShapeTuning{});
}

}  // namespace
}  // namespace autoglm
