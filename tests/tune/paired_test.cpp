#include "tune/paired.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>

namespace autoglm {
namespace {

TEST(PairedRatioTest, IsTheMedianOfMeansOfTwo) {
  const PairedRatio ratio = paired_ratio(std::vector{std::log(1.0), std::log(1.0), std::log(4.0)});
  EXPECT_NEAR(ratio.ratio, 1.4142135, 1e-6);  // of 1 1 1 2 2 4 the middle is between 1 and 2
  EXPECT_EQ(ratio.pairs, 3);
  EXPECT_EQ(ratio.low, 0);
  EXPECT_EQ(ratio.high, std::numeric_limits<double>::infinity());  // three pairs prove nothing
}

TEST(PairedRatioTest, TheIntervalHoldsTheTruthAsOftenAsItSays) {
  std::mt19937 random(3);
  std::normal_distribution<double> normal(std::log(0.9), 0.1);
  for (const int pairs : {8, 30}) {
    int inside = 0;
    constexpr int kTries = 2000;
    for (int i = 0; i < kTries; ++i) {
      std::vector<double> logs;
      for (int j = 0; j < pairs; ++j) logs.push_back(normal(random));
      const PairedRatio ratio = paired_ratio(logs);
      inside += ratio.low <= 0.9 && 0.9 <= ratio.high ? 1 : 0;
    }
    EXPECT_NEAR(static_cast<double>(inside) / kTries, 0.95, 0.02) << pairs;
  }
}

TEST(PairedRatioTest, AWildPairMovesItLittle) {
  std::vector<double> logs(20, std::log(0.9));
  for (size_t i = 0; i < logs.size(); ++i) logs[i] += 0.001 * static_cast<double>(i);
  const double before = paired_ratio(logs).ratio;
  logs[0] = std::log(50);
  EXPECT_NEAR(paired_ratio(logs).ratio, before, 0.01);
}

TEST(CompareInPairsTest, TurnsTheOrderSoThatADriftCancels) {
  // Each measurement is 3 % slower than the one before; B costs 20 % less.
  double speed = 1;
  int calls = 0;
  const PairedRatio ratio = compare_in_pairs(
      [&](int side) {
        ++calls;
        speed *= 1.03;
        return speed * (side == 0 ? 1.0 : 0.8);
      },
      12);
  EXPECT_EQ(calls, 2 + 24);
  EXPECT_NEAR(ratio.ratio, 0.8, 0.005);
  EXPECT_LT(ratio.high, 0.85);
}

}  // namespace
}  // namespace autoglm
