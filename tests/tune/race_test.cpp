// The tuner's guarantees, on made-up costs: over 200 surfaces with 10 % noise on a machine that drifts.
#include "tune/race.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <map>
#include <random>

namespace autoglm {
namespace {

/// Costs of every choice of a space: what values do alone, what two do together, and what is a choice's own. Some
/// surfaces are nearly flat; in some the default is best.
class Surface {
 public:
  explicit Surface(uint32_t seed) : random_(seed) {
    const bool default_best = seed % 7 == 0;
    const double size = seed % 5 == 0 ? 0.03 : 0.2;
    const size_t fields = 3 + seed % 4;
    std::uniform_int_distribution<int> count(2, 4);
    for (size_t i = 0; i < fields; ++i) values_.push_back(count(random_));
    std::map<std::array<int, 2>, double> alone;
    std::map<std::array<int, 4>, double> together;
    const auto effect = [&](double scale) {
      const double value = scale * normal_(random_);
      return default_best ? std::abs(value) : value;
    };
    RaceChoice choice(fields, 0);
    do {
      double cost = 0;
      bool usual = true;
      for (int f = 0; f < static_cast<int>(fields); ++f) {
        const int v = choice[static_cast<size_t>(f)];
        if (v == 0) continue;
        usual = false;
        cost += alone.try_emplace({f, v}, effect(size)).first->second;
        for (int g = 0; g < f; ++g) {
          const int w = choice[static_cast<size_t>(g)];
          if (w != 0) cost += together.try_emplace({f, v, g, w}, effect(size / 4)).first->second;
        }
      }
      if (!usual) cost += effect(size / 10);
      costs_[choice] = 100 * std::exp(cost);
    } while (next(choice));
  }
  const std::vector<int>& values() const { return values_; }
  double cost(const RaceChoice& choice) const { return costs_.at(choice); }
  double usual() const { return cost(RaceChoice(values_.size(), 0)); }
  double best() const {
    return std::ranges::min_element(costs_, {}, [](const auto& entry) { return entry.second; })->second;
  }
  /// With 10 % noise, on a machine whose speed wanders.
  double measure(const RaceChoice& choice) {
    drift_ += 0.01 * normal_(random_);
    return cost(choice) * std::exp(0.1 * normal_(random_) + drift_);
  }

 private:
  bool next(RaceChoice& choice) const {
    for (size_t i = 0; i < choice.size(); ++i) {
      if (++choice[i] < values_[i]) return true;
      choice[i] = 0;
    }
    return false;
  }
  std::mt19937 random_;
  std::normal_distribution<double> normal_;
  std::vector<int> values_;
  std::map<RaceChoice, double> costs_;
  double drift_ = 0;
};

struct Tally {
  int near_best = 0, at_most_default = 0;
  double worst = 0;  // by the default
};

Tally race_all(int surfaces, int budget) {
  Tally tally;
  for (int seed = 1; seed <= surfaces; ++seed) {
    Surface surface(static_cast<uint32_t>(seed));
    int measured = 0;
    const RaceResult result = race({.values = surface.values(),
                                    .cost =
                                        [&](const RaceChoice& choice) {
                                          ++measured;
                                          return surface.measure(choice);
                                        },
                                    .spent = [&] { return static_cast<double>(measured) / budget; }});
    EXPECT_LE(measured, budget + 2);
    EXPECT_EQ(measured, result.measurements);
    const double cost = surface.cost(result.choice);
    tally.near_best += cost <= 1.05 * surface.best() ? 1 : 0;
    tally.at_most_default += cost <= surface.usual() ? 1 : 0;
    tally.worst = std::max(tally.worst, cost / surface.usual());
  }
  return tally;
}

TEST(RaceTest, FindsWhatIsBestAndNeverWhatIsWorse) {
  constexpr int kSurfaces = 200;
  const Tally tally = race_all(kSurfaces, 500);
  EXPECT_GE(tally.near_best, kSurfaces * 95 / 100);
  EXPECT_GE(tally.at_most_default, kSurfaces * 99 / 100);
  EXPECT_LE(tally.worst, 1.01);
}

TEST(RaceTest, IsNeverWorseWhateverTheBudget) {
  for (const int budget : {4, 20, 60}) {
    const Tally tally = race_all(100, budget);
    EXPECT_GE(tally.at_most_default, 99) << budget;
    EXPECT_LE(tally.worst, 1.01) << budget;
  }
}

// A tie is the default's: nothing here differs but by noise.
TEST(RaceTest, TheDefaultWinsTies) {
  int kept = 0;
  for (uint32_t seed = 1; seed <= 50; ++seed) {
    std::mt19937 random(seed);
    std::normal_distribution<double> normal;
    int measured = 0;
    const RaceResult result = race({.values = {4, 4, 4},
                                    .cost =
                                        [&](const RaceChoice&) {
                                          ++measured;
                                          return std::exp(0.1 * normal(random));
                                        },
                                    .spent = [&] { return measured / 300.0; }});
    kept += result.choice == RaceChoice{0, 0, 0} ? 1 : 0;
  }
  EXPECT_GE(kept, 49);
}

TEST(RaceTest, WhatCannotBeMeasuredIsOut) {
  int measured = 0;
  const RaceResult result = race({.values = {3, 3},
                                  .cost =
                                      [&](const RaceChoice& choice) {
                                        ++measured;
                                        if (choice[0] == 1) return std::numeric_limits<double>::infinity();
                                        return choice[1] == 2 ? 80.0 : 100.0 + choice[0];
                                      },
                                  .spent = [&] { return measured / 200.0; }});
  EXPECT_EQ(result.choice, (RaceChoice{0, 2}));
  EXPECT_NEAR(result.confirmed.ratio, 0.8, 1e-9);
}

TEST(RaceTest, ADefaultThatCannotBeMeasuredStays) {
  int measured = 0;
  const RaceResult result = race({.values = {2},
                                  .cost =
                                      [&](const RaceChoice& choice) {
                                        ++measured;
                                        return choice[0] == 0 ? std::numeric_limits<double>::infinity() : 1.0;
                                      },
                                  .spent = [&] { return measured / 50.0; }});
  EXPECT_EQ(result.choice, RaceChoice{0});
}

TEST(RaceTest, ASpaceOfOneNeedsNoMeasurement) {
  const RaceResult result =
      race({.values = {1, 1}, .cost = [](const RaceChoice&) { return 1.0; }, .spent = [] { return 0.0; }});
  EXPECT_EQ(result.choice, (RaceChoice{0, 0}));
  EXPECT_EQ(result.measurements, 0);
}

TEST(RaceTest, AHugeSpaceIsThinnedOut) {
  int measured = 0;
  const RaceResult result = race({.values = std::vector<int>(9, 5),  // two million choices
                                  .cost =
                                      [&](const RaceChoice& choice) {
                                        ++measured;
                                        double cost = 100;
                                        for (const int value : choice) cost *= value == 3 ? 0.93 : 1.0;
                                        return cost;
                                      },
                                  .spent = [&] { return measured / 120.0; }});
  EXPECT_LT(result.confirmed.ratio, 0.9);
}

}  // namespace
}  // namespace autoglm
