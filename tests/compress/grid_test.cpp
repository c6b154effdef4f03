#include "compress/grid.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "compress/sums.h"

namespace autoglm {
namespace {

const std::vector<Type> kTypes = {Type::q4_0,   Type::q4_1,   Type::q5_0, Type::q5_1, Type::q8_0,
                                  Type::q2_k,   Type::q3_k,   Type::q4_k, Type::q5_k, Type::q6_k,
                                  Type::iq4_nl, Type::iq4_xs, Type::q8_a};

std::vector<float> normal(int64_t n, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> draw;
  std::vector<float> out(static_cast<size_t>(n));
  for (float& x : out) x = 0.1f * draw(random);
  return out;
}

double weighted_error(Type type, const std::vector<float>& x, const std::vector<std::byte>& blocks,
                      const std::vector<float>& h) {
  std::vector<float> back(x.size());
  info(type).decode(blocks.data(), back.data(), std::ssize(x));
  double sum = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    const double difference = static_cast<double>(x[i]) - static_cast<double>(back[i]);
    sum += static_cast<double>(h[i]) * difference * difference;
  }
  return sum;
}

std::vector<std::byte> encoded(Type type, const std::vector<float>& x, const float* h) {
  std::vector<std::byte> out(static_cast<size_t>(row_bytes(type, std::ssize(x))));
  encode_row(*grid_of(type), x.data(), h, std::ssize(x), out.data());
  return out;
}

TEST(Grid, ValuesAreThoseOfTheDecoder) {
  const std::vector<float> x = normal(1024, 1);
  const std::vector<float> h(1024, 1.0f);
  for (const Type type : kTypes) {
    const Grid& grid = *grid_of(type);
    std::vector<std::byte> block(static_cast<size_t>(info(type).block_bytes));
    std::vector<float> back(static_cast<size_t>(grid.columns));
    std::vector<int8_t> codes(static_cast<size_t>(grid.columns));
    BlockScales scales;
    grid.fit(x.data(), h.data(), scales);
    for (int c = 0; c < grid.columns; ++c) {
      codes[static_cast<size_t>(c)] = grid_code(grid, scales, c / grid.group, x[static_cast<size_t>(c)]);
    }
    grid.pack(scales, codes.data(), block.data());
    info(type).decode(block.data(), back.data(), grid.columns);
    for (int c = 0; c < grid.columns; ++c) {
      EXPECT_EQ(back[static_cast<size_t>(c)], grid_value(scales, c / grid.group, codes[static_cast<size_t>(c)]))
          << info(type).name << " column " << c;
    }
  }
}

TEST(Grid, SearchBeatsRoundingToTheRange) {
  const std::vector<float> x = normal(1 << 14, 2);
  const std::vector<float> equal(x.size(), 1.0f);
  for (const Type type : kTypes) {
    std::vector<std::byte> plain(static_cast<size_t>(row_bytes(type, std::ssize(x))));
    info(type).encode(x.data(), plain.data(), std::ssize(x));
    const double before = weighted_error(type, x, plain, equal);
    const double after = weighted_error(type, x, encoded(type, x, nullptr), equal);
    EXPECT_LT(after, type == Type::q8_0 ? 1.01 * before : 0.97 * before) << info(type).name;
  }
}

TEST(Grid, ImportanceMovesErrorsToWhereTheyWeighLittle) {
  const std::vector<float> x = normal(1 << 14, 3);
  std::vector<float> h = normal(1 << 14, 4);
  for (float& value : h) value = std::exp(20.0f * value);
  for (const Type type : kTypes) {
    if (type == Type::q8_0) continue;
    const double equal = weighted_error(type, x, encoded(type, x, nullptr), h);
    EXPECT_LT(weighted_error(type, x, encoded(type, x, h.data()), h), 0.9 * equal) << info(type).name;
  }
}

TEST(Grid, WhatABlockHoldsExactlyIsKept) {
  for (const Type type : kTypes) {
    const Grid& grid = *grid_of(type);
    std::vector<float> x(static_cast<size_t>(grid.columns), 0.0f);
    EXPECT_EQ(weighted_error(type, x, encoded(type, x, nullptr), std::vector<float>(x.size(), 1.0f)), 0.0);
  }
}

TEST(Grid, TakesAnyValues) {
  const float infinity = std::numeric_limits<float>::infinity();
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const float largest = std::numeric_limits<float>::max();
  for (const Type type : kTypes) {
    for (const float odd : {infinity, -infinity, nan, largest, -largest, 1e-40f}) {
      std::vector<float> x = normal(256, 5);
      x[7] = odd;
      EXPECT_EQ(encoded(type, x, nullptr).size(), static_cast<size_t>(row_bytes(type, 256)));
      x.assign(256, odd);
      EXPECT_EQ(encoded(type, x, x.data()).size(), static_cast<size_t>(row_bytes(type, 256)));
    }
  }
}

// The widest vectors of this machine give the bits that the definition gives.
TEST(Sums, LanesAreAddedInOneOrder) {
  const std::vector<float> x = normal(32, 6);
  std::vector<float> h = normal(32, 7);
  for (float& value : h) value = std::fabs(value);
  float lanes[16] = {};
  for (size_t i = 0; i < 32; ++i) {
    const float rounded = std::floor(x[i] * 30.0f + 0.5f);
    const float q = std::min(7.0f, std::max(-8.0f, rounded));
    lanes[i % 16] += h[i] * q * x[i];
  }
  for (size_t width = 8; width > 0; width /= 2) {
    for (size_t i = 0; i < width; ++i) lanes[i] += lanes[i + width];
  }
  CodeSums sums;
  uniform_sums(x.data(), h.data(), 32, 30.0f, -8.0f, 7.0f, sums);
  EXPECT_EQ(sums.xq, lanes[0]);
}

}  // namespace
}  // namespace autoglm
