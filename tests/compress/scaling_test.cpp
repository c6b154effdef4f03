// Scales of channels: found where they help, left alone where they do not.
#include "compress/scaling.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>
#include <random>

#include "compress/recipe.h"
#include "compress/scaled_row.h"
#include "compress/sums.h"
#include "format/type.h"

namespace autoglm {
namespace {

struct Planted {
  ScaledReader reader;
  std::vector<float> squares;
};

/// Rows of normal values that read inputs of mean square 1, but for `loud` channels of 900.
Planted planted(Type type, const Grid* grid, int loud, int64_t cols = 256, int64_t rows = 96) {
  std::mt19937 random(9);
  std::normal_distribution<float> normal;
  Planted out;
  out.reader.type = type;
  out.reader.grid = grid;
  out.reader.cols = cols;
  for (int64_t i = 0; i < rows * cols; ++i) out.reader.rows.push_back(normal(random));
  out.squares.assign(static_cast<size_t>(cols), 1.0f);
  for (int i = 0; i < loud; ++i) out.squares[static_cast<size_t>(i) * 37 % out.squares.size()] = 900.0f;
  out.reader.cost = out.squares;
  out.reader.channel.resize(static_cast<size_t>(cols));
  std::iota(out.reader.channel.begin(), out.reader.channel.end(), 0);
  return out;
}

/// Mean squared error of the outputs: sum of x_j^2 (w_j - stored_j / s_j)^2, all rows.
double output_error(const Planted& p, const std::vector<float>& scales) {
  const auto cols = static_cast<size_t>(p.reader.cols);
  std::vector<std::byte> blocks(static_cast<size_t>(row_bytes(p.reader.type, p.reader.cols)));
  std::vector<float> cost(cols);
  for (size_t j = 0; j < cols; ++j) cost[j] = p.squares[j] / (scales[j] * scales[j]);
  double sum = 0;
  for (size_t first = 0; first < p.reader.rows.size(); first += cols) {
    std::vector<float> row(p.reader.rows.begin() + static_cast<std::ptrdiff_t>(first),
                           p.reader.rows.begin() + static_cast<std::ptrdiff_t>(first + cols));
    for (size_t j = 0; j < cols; ++j) row[j] *= scales[j];
    encode_row(*p.reader.grid, row.data(), cost.data(), p.reader.cols, blocks.data());
    info(p.reader.type).decode(blocks.data(), row.data(), p.reader.cols);
    for (size_t j = 0; j < cols; ++j) {
      const double difference =
          static_cast<double>(row[j]) / static_cast<double>(scales[j]) - static_cast<double>(p.reader.rows[first + j]);
      sum += static_cast<double>(p.squares[j]) * difference * difference;
    }
  }
  return sum;
}

TEST(Scaling, LoudChannelsGetFinerSteps) {
  WorkerPool pool({.threads = 2});
  const std::pair<Type, const Grid*> kinds[] = {{Type::q8_0, row_grid_of(Type::q8_0)},
                                                {Type::q8_a, row_grid_of(Type::q8_a)},
                                                {Type::q4_0, grid_of(Type::q4_0)},
                                                {Type::iq4_nl, grid_of(Type::iq4_nl)},
                                                {Type::q4_k, grid_of(Type::q4_k)}};
  for (const auto& [type, grid] : kinds) {
    const Planted p = planted(type, grid, 6);
    const ChosenScales chosen = choose_scales(pool, {&p.reader, 1}, p.squares);
    ASSERT_EQ(chosen.scales.size(), p.squares.size()) << info(type).name;
    const double with = output_error(p, chosen.scales);
    const double without = output_error(p, std::vector<float>(p.squares.size(), 1.0f));
    EXPECT_LT(with, 0.93 * without) << info(type).name;
    EXPECT_NEAR(chosen.error, with / without, 1e-3) << info(type).name;
    EXPECT_GT(chosen.scales[0], 1.3f * chosen.scales[1]) << info(type).name;
    double logs = 0;
    for (const float scale : chosen.scales) logs += std::log(static_cast<double>(scale));
    EXPECT_NEAR(logs / static_cast<double>(chosen.scales.size()), 0, 1e-5);
  }
}

// With one scale a row, columns that hold large weights and hear little are made small.
TEST(Scaling, AColumnOfLargeWeightsDoesNotSpoilItsRows) {
  WorkerPool pool({.threads = 2});
  Planted p = planted(Type::q8_0, row_grid_of(Type::q8_0), 0);
  for (size_t i = 5; i < p.reader.rows.size(); i += static_cast<size_t>(p.reader.cols)) p.reader.rows[i] *= 40;
  const ChosenScales chosen = choose_scales(pool, {&p.reader, 1}, p.squares);
  ASSERT_FALSE(chosen.scales.empty());
  EXPECT_LT(output_error(p, chosen.scales), 0.25 * output_error(p, std::vector<float>(p.squares.size(), 1.0f)));
  EXPECT_LT(chosen.scales[5], 0.5f * chosen.scales[6]);
}

TEST(Scaling, NothingIsScaledWhereNothingIsGained) {
  WorkerPool pool({.threads = 2});
  // Stored exactly: any scale could only add an error.
  Planted p = planted(Type::f32, nullptr, 6);
  EXPECT_TRUE(choose_scales(pool, {&p.reader, 1}, p.squares).scales.empty());
  // All values on the grid already.
  p = planted(Type::q8_0, grid_of(Type::q8_0), 6);
  for (size_t i = 0; i < p.reader.rows.size(); ++i) p.reader.rows[i] = i % 32 == 0 ? 127.0f : static_cast<float>(i % 7);
  EXPECT_TRUE(choose_scales(pool, {&p.reader, 1}, p.squares).scales.empty());
  // No input was ever seen.
  p = planted(Type::q4_0, grid_of(Type::q4_0), 6);
  std::ranges::fill(p.squares, 0.0f);
  EXPECT_TRUE(choose_scales(pool, {&p.reader, 1}, p.squares).scales.empty());
}

// A reader in an exact type has a say: it must not lose what the other gains.
TEST(Scaling, WhatIsStoredExactlyStaysExact) {
  WorkerPool pool({.threads = 2});
  std::vector<ScaledReader> readers = {planted(Type::q4_0, grid_of(Type::q4_0), 6).reader,
                                       planted(Type::bf16, nullptr, 6).reader};
  for (float& value : readers[1].rows) value = bf16_to_f32(f32_to_bf16(value));
  EXPECT_TRUE(choose_scales(pool, readers, planted(Type::q4_0, nullptr, 6).squares).scales.empty());
}

TEST(Scaling, SharedChannelsGetOneScale) {
  WorkerPool pool({.threads = 1});
  Planted p = planted(Type::q4_0, grid_of(Type::q4_0), 6);
  const size_t half = p.squares.size() / 2;
  for (size_t j = half; j < p.squares.size(); ++j) {
    p.reader.channel[j] = static_cast<int32_t>(j - half);
    p.reader.cost[j] = p.reader.cost[j - half];
  }
  p.squares.resize(half);
  const ChosenScales chosen = choose_scales(pool, {&p.reader, 1}, p.squares);
  EXPECT_EQ(chosen.scales.size(), half);
  EXPECT_LT(chosen.error, 0.8);
}

TEST(Scaling, SameScalesOnAnyNumberOfThreads) {
  const Planted p = planted(Type::q8_0, row_grid_of(Type::q8_0), 6, 512, 200);
  std::vector<std::vector<float>> scales;
  for (const int threads : {1, 3}) {
    WorkerPool pool({.threads = threads});
    scales.push_back(choose_scales(pool, {&p.reader, 1}, p.squares).scales);
  }
  ASSERT_FALSE(scales[0].empty());
  EXPECT_EQ(scales[0], scales[1]);
}

TEST(Scaling, TheSmoothMaximumHasItsDerivatives) {
  std::mt19937 random(2);
  std::normal_distribution<float> normal;
  std::vector<float> x(32);
  std::vector<float> t(32);
  for (size_t i = 0; i < x.size(); ++i) {
    x[i] = normal(random);
    t[i] = std::exp(normal(random));
  }
  float most = 0;
  for (size_t i = 0; i < x.size(); ++i) most = std::max(most, x[i] * x[i] * t[i]);
  std::vector<float> slopes(32);
  const float norm = add_smooth_maximum(x.data(), t.data(), 32, slopes.data());
  EXPECT_GE(norm, most);
  EXPECT_LT(norm, 1.3f * most);
  for (size_t i = 0; i < x.size(); ++i) {
    std::vector<float> ignored(32);
    std::vector<float> moved(t);
    moved[i] = t[i] * std::exp(0.01f);
    const float higher = add_smooth_maximum(x.data(), moved.data(), 32, ignored.data());
    EXPECT_NEAR((higher - norm) / 0.01f, slopes[i], 0.05f * slopes[i] + 1e-3f * norm) << i;
  }
  const std::vector<float> zeros(32);
  EXPECT_EQ(add_smooth_maximum(zeros.data(), t.data(), 32, slopes.data()), 0);
}

// Codes stay, values are multiplied: to the precision of the halves that the blocks' scales are.
TEST(ScaledRow, EveryTypeIsMultiplied) {
  std::mt19937 random(4);
  std::normal_distribution<float> normal;
  std::vector<float> values(512);
  for (float& value : values) value = normal(random);
  for (const Type type :
       {Type::f32, Type::f16, Type::bf16, Type::q8_0, Type::q8_a, Type::q6_k, Type::q5_k, Type::q5_1, Type::q5_0,
        Type::q4_k, Type::q4_1, Type::q4_0, Type::iq4_nl, Type::iq4_xs, Type::q3_k, Type::q2_k}) {
    const auto n = static_cast<int64_t>(values.size());
    std::vector<std::byte> row(static_cast<size_t>(row_bytes(type, n)));
    info(type).encode(values.data(), row.data(), n);
    std::vector<float> before(values.size());
    std::vector<float> after(values.size());
    info(type).decode(row.data(), before.data(), n);
    scale_row(type, row.data(), n, 1.7f);
    info(type).decode(row.data(), after.data(), n);
    const float step = type == Type::f32 ? 1e-6f : type == Type::bf16 ? 4e-3f : 1e-3f;
    for (size_t i = 0; i < before.size(); ++i) {
      // A minimum beside a scale: each of them is off by that much.
      EXPECT_NEAR(after[i], 1.7f * before[i], step * 8) << info(type).name;
    }
  }
}

}  // namespace
}  // namespace autoglm
