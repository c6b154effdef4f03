// Divergences of rows, quantiles and intervals against direct computation.
#include <algorithm>
#include <cmath>
#include <random>

#include "compress/quality_divergence.h"
#include "compress/quality_statistics.h"

namespace autoglm {
namespace {

std::vector<float> random_row(std::mt19937& random, size_t n, double spread) {
  std::normal_distribution<double> normal(0, spread);
  std::vector<float> row(n);
  for (float& value : row) value = static_cast<float>(normal(random));
  return row;
}

std::vector<long double> log_softmax(const std::vector<float>& row) {
  const long double top = *std::ranges::max_element(row);
  long double mass = 0;
  for (const float value : row) mass += std::exp(value - top);
  std::vector<long double> out;
  for (const float value : row) out.push_back(value - top - std::log(mass));
  return out;
}

TEST(QualityDivergence, IsTheSumOfTheDefinition) {
  std::mt19937 random(1);
  for (const double spread : {0.01, 1.0, 4.0, 30.0}) {
    const auto a = random_row(random, 1000, spread);
    auto b = a;
    for (float& value : b) value += 0.1f * random_row(random, 1, 1)[0];
    const auto p = log_softmax(a);
    const auto q = log_softmax(b);
    long double kld = 0;
    for (size_t i = 0; i < p.size(); ++i) kld += std::exp(p[i]) * (p[i] - q[i]);
    const RowDivergence got = compare_rows(a, b, 17);
    EXPECT_NEAR(got.kld, static_cast<double>(kld), 1e-12);
    EXPECT_NEAR(got.loss_a, static_cast<double>(-p[17]), 1e-12);
    EXPECT_NEAR(got.loss_b, static_cast<double>(-q[17]), 1e-12);
    EXPECT_NEAR(log_probability(a, 17), static_cast<double>(p[17]), 1e-12);
  }
}

TEST(QualityDivergence, EqualRowsAndShiftedRowsDoNotDiverge) {
  std::mt19937 random(2);
  const auto a = random_row(random, 500, 3);
  EXPECT_EQ(compare_rows(a, a, 0).kld, 0);
  auto shifted = a;
  for (float& value : shifted) value += 64;  // rounding of the sum itself stays
  EXPECT_LT(compare_rows(a, shifted, 0).kld, 1e-10);
}

TEST(QualityDivergence, TheFiveBestInOrderAndTheLowerIdAmongEquals) {
  const std::vector<float> a = {0, 3, 1, 3, 2, -1, 2.5f, 0.5f};
  const RowDivergence got = compare_rows(a, a, 0);
  EXPECT_THAT(got.best_a, testing::ElementsAre(1, 3, 6, 4, 2));
  const std::vector<float> few = {-5, -4, -6};
  EXPECT_THAT(compare_rows(few, few, 0).best_a, testing::ElementsAre(1, 0, 2, -1, -1));
}

TEST(QualityDivergence, WhatIsNoNumberIsSeen) {
  std::vector<float> a(64, 1.0f), b(64, 1.0f);
  b[40] = NAN;
  EXPECT_FALSE(compare_rows(a, b, 0).finite_b);
  EXPECT_TRUE(compare_rows(a, b, 0).finite_a);
  b[40] = -INFINITY;
  EXPECT_FALSE(compare_rows(b, a, 0).finite_a);
}

TEST(QualityStatistics, QuantilesAreExact) {
  const std::vector<float> values = {1, 2, 3, 4, 5};
  EXPECT_EQ(quantile(values, 0), 1);
  EXPECT_EQ(quantile(values, 0.5), 3);
  EXPECT_NEAR(quantile(values, 0.9), 4.6, 1e-12);
  EXPECT_EQ(quantile(values, 1), 5);
  EXPECT_EQ(quantile({}, 0.5), 0);
}

TEST(QualityStatistics, SummaryAddsUp) {
  const std::vector<TokenFigures> tokens = {{0.1f, 1, 1.5f, 0x80 | 5}, {0.3f, 2, 2.5f, 4}, {0.2f, 3, 3, 0x80 | 3}};
  const DivergenceSummary s = summarize(tokens, 1, 1, 100);
  EXPECT_EQ(s.tokens, 3);
  EXPECT_NEAR(s.kld_mean, 0.2, 1e-7);
  EXPECT_NEAR(s.kld_median, 0.2, 1e-7);
  EXPECT_NEAR(s.kld_max, 0.3, 1e-7);
  EXPECT_NEAR(s.top1_agreement, 2.0 / 3, 1e-12);
  EXPECT_NEAR(s.top5_agreement, 12.0 / 15, 1e-12);
  EXPECT_NEAR(s.ppl_a, std::exp(2.0), 1e-9);
  EXPECT_NEAR(s.ppl_b, std::exp(7.0 / 3), 1e-9);
  EXPECT_NEAR(s.ppl_ratio, std::exp(1.0 / 3), 1e-9);
  EXPECT_LE(s.ppl_ratio_ci.low, s.ppl_ratio);
  EXPECT_GE(s.ppl_ratio_ci.high, s.ppl_ratio);
  EXPECT_EQ(summarize({}, 1, 1, 100).tokens, 0);
}

TEST(QualityStatistics, TheSameSeedGivesTheSameInterval) {
  std::mt19937 random(3);
  std::vector<TokenFigures> tokens;
  for (int i = 0; i < 400; ++i) {
    const auto noise = random_row(random, 2, 1);
    tokens.push_back({std::abs(noise[0]), 3 + noise[0], 3 + noise[0] + 0.1f * noise[1], 0});
  }
  const DivergenceSummary one = summarize(tokens, 8, 42, 500);
  const DivergenceSummary two = summarize(tokens, 8, 42, 500);
  EXPECT_EQ(one.ppl_ratio_ci.low, two.ppl_ratio_ci.low);
  EXPECT_EQ(one.kld_mean_ci.high, two.kld_mean_ci.high);
  EXPECT_NE(one.ppl_ratio_ci.low, summarize(tokens, 8, 43, 500).ppl_ratio_ci.low);
}

TEST(QualityStatistics, IntervalsHoldTheTruthAboutAsOftenAsTheySay) {
  // Losses whose differences are alike within runs of 8: mean 0.05. An interval that took tokens one by one would be
  // far too narrow.
  std::mt19937 random(4);
  int held = 0, held_by_tokens = 0;
  constexpr int kTrials = 300;
  for (int trial = 0; trial < kTrials; ++trial) {
    std::vector<TokenFigures> tokens;
    for (int run = 0; run < 80; ++run) {
      const float common = random_row(random, 1, 0.2)[0];
      for (int i = 0; i < 8; ++i) {
        const auto noise = random_row(random, 2, 0.05);
        tokens.push_back({0, 3 + noise[0], 3 + noise[0] + 0.05f + common + noise[1], 0});
      }
    }
    const auto holds = [&](int64_t run) {
      const Interval ci = summarize(tokens, run, static_cast<uint64_t>(trial), 400).ppl_ratio_ci;
      return ci.low <= std::exp(0.05) && std::exp(0.05) <= ci.high;
    };
    held += holds(8) ? 1 : 0;
    held_by_tokens += holds(1) ? 1 : 0;
  }
  EXPECT_GE(held, kTrials * 90 / 100);
  EXPECT_LE(held, kTrials * 99 / 100);
  EXPECT_LT(held_by_tokens, kTrials * 70 / 100);
}

TEST(QualityStatistics, TheCurveRisesToTheLargest) {
  std::vector<TokenFigures> tokens;
  for (int i = 1; i <= 1000; ++i) tokens.push_back({static_cast<float>(i), 0, 0, 0});
  const auto curve = quantile_curve(tokens);
  ASSERT_EQ(curve.size(), 33u);
  EXPECT_EQ(curve.front().kld, 1);
  EXPECT_EQ(curve.back().kld, 1000);
  for (size_t i = 1; i < curve.size(); ++i) EXPECT_GE(curve[i].kld, curve[i - 1].kld);
}

}  // namespace
}  // namespace autoglm
