// Ticks of plots: at round numbers, three or more, their labels apart.
#include "compress/report_drawing.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>

namespace autoglm {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

std::vector<std::string> labels(const Axis& axis, Side side = Side::left) {
  std::vector<std::string> out;
  for (const Tick& tick : axis.ticks(side)) out.push_back(tick.label);
  return out;
}

/// 1, 2 or 5 x 10^n.
bool nice(double value) {
  const double times = value / std::pow(10.0, std::floor(std::log10(value) + 1e-9));
  return std::abs(times - 1) < 1e-6 || std::abs(times - 2) < 1e-6 || std::abs(times - 5) < 1e-6;
}

void expect_good(const Axis& axis, Side side) {
  const std::vector<Tick> ticks = axis.ticks(side);
  ASSERT_GE(ticks.size(), 3u) << axis.low << " to " << axis.high;
  EXPECT_TRUE(labels_apart(ticks, side)) << axis.low << " to " << axis.high;
  for (size_t i = 0; i < ticks.size(); ++i) {
    // A label says exactly where it stands.
    const double value = std::stod(ticks[i].label);
    EXPECT_NEAR(axis.place(value), ticks[i].at, 1e-6) << ticks[i].label;
    EXPECT_GE(ticks[i].at, -1e-9);
    EXPECT_LE(ticks[i].at, 1 + 1e-9);
    EXPECT_LE(ticks[i].label.size(), 7u) << ticks[i].label;
    EXPECT_TRUE(!axis.logarithmic || nice(value)) << ticks[i].label;
    if (i == 0) continue;
    const double before = std::stod(ticks[i - 1].label);
    EXPECT_TRUE(axis.logarithmic || nice(value - before)) << before << " to " << value;
  }
}

TEST(Ticks, StandAtRoundNumbers) {
  EXPECT_THAT(labels(axis_from_zero({271.3})), ElementsAre("0", "50", "100", "150", "200", "250"));
  EXPECT_THAT(labels(axis_from_zero({0.0187})), ElementsAre("0.000", "0.005", "0.010", "0.015"));
  EXPECT_THAT(labels(axis_from_zero({1.0})), ElementsAre("0.0", "0.2", "0.4", "0.6", "0.8", "1.0"));
  EXPECT_THAT(labels(axis_from_zero({3.1e7})), ElementsAre("0", "5e6", "1e7", "1.5e7", "2e7", "2.5e7", "3e7"));
  EXPECT_THAT(labels(axis_from_zero({2.9e-6})), ElementsAre("0", "5e-7", "1e-6", "1.5e-6", "2e-6", "2.5e-6", "3e-6"));
  EXPECT_THAT(labels({-7, 13, false}), ElementsAre("-5", "0", "5", "10"));
}

TEST(Ticks, OfALogarithmicAxisToo) {
  EXPECT_THAT(labels(log_axis({0.012, 0.07})), ElementsAre("0.01", "0.02", "0.05", "0.1"));
  EXPECT_THAT(labels(log_axis({3, 70})), ElementsAre("1", "2", "5", "10", "20", "50", "100"));
  EXPECT_THAT(labels(log_axis({3, 700})), ElementsAre("1", "10", "100", "1000"));
  EXPECT_THAT(labels(log_axis({2e-6, 0.5})), ElementsAre("1e-6", "1e-5", "0.0001", "0.001", "0.01", "0.1", "1"));
}

TEST(Ticks, AreNeverFewerThanThreeAndNeverTouch) {
  std::mt19937_64 random(1);
  std::uniform_real_distribution<double> power(-9, 9), part(0, 1);
  for (int i = 0; i < 3000; ++i) {
    const double most = std::pow(10.0, power(random));
    for (const Side side : {Side::left, Side::below}) {
      expect_good(axis_from_zero({most * part(random), most}), side);
      expect_good(log_axis({most * part(random), most}), side);
      expect_good(log_axis({most, std::pow(10.0, power(random))}), side);
    }
  }
}

TEST(Ticks, NothingToShowIsAnAxisToo) {
  constexpr double kInfinite = std::numeric_limits<double>::infinity();
  constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
  for (const std::vector<double>& values :
       {std::vector<double>{}, {0.0}, {kNan}, {kInfinite}, {-1.0}, {0.0, kNan, -kInfinite}}) {
    expect_good(axis_from_zero(values), Side::left);
    expect_good(log_axis(values), Side::below);
  }
  EXPECT_EQ(axis_from_zero({2.0, kInfinite}).high, 2.1);
}

TEST(Ticks, CountThingsInRoundSteps) {
  EXPECT_EQ(whole_step(1, 10), 1);
  EXPECT_EQ(whole_step(10, 10), 1);
  EXPECT_EQ(whole_step(11, 10), 2);
  EXPECT_EQ(whole_step(30, 10), 5);
  EXPECT_EQ(whole_step(512, 10), 100);
}

TEST(Plot, LabelsBelowThatWouldTouchAreLeftOut) {
  Drawing plot("p");
  plot.frame({{0.50, "first label"}, {0.52, "too near"}, {0.53, ""}, {0.9, "far"}}, {}, "", "");
  const std::string svg = plot.finish();
  EXPECT_THAT(svg, HasSubstr("first label"));
  EXPECT_THAT(svg, Not(HasSubstr("too near")));
  EXPECT_THAT(svg, HasSubstr("far"));
}

}  // namespace
}  // namespace autoglm
