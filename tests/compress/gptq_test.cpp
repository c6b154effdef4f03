#include "compress/gptq.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>
#include <random>
#include <vector>

namespace autoglm {
namespace {

using Dense = std::vector<std::vector<double>>;

std::vector<float> correlated_inputs(int64_t rows, int64_t n, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> draw;
  std::vector<float> x(static_cast<size_t>(rows * n));
  for (int64_t r = 0; r < rows; ++r) {
    float shared = 0;
    for (int64_t i = 0; i < n; ++i) {
      shared = 0.8f * shared + draw(random);
      x[static_cast<size_t>(r * n + i)] = shared * (1.0f + static_cast<float>(i % 7));
    }
  }
  return x;
}

std::vector<float> weights_of(int64_t count, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> draw;
  std::vector<float> w(static_cast<size_t>(count));
  for (float& value : w) value = 0.05f * draw(random);
  return w;
}

Dense hessian(const std::vector<float>& x, int64_t n, double damping) {
  const auto width = static_cast<size_t>(n);
  Dense h(width, std::vector<double>(width));
  const size_t rows = x.size() / width;
  for (size_t r = 0; r < rows; ++r) {
    for (size_t i = 0; i < width; ++i) {
      for (size_t j = 0; j < width; ++j) {
        h[i][j] +=
            static_cast<double>(x[r * width + i]) * static_cast<double>(x[r * width + j]) / static_cast<double>(rows);
      }
    }
  }
  double mean = 0;
  for (size_t i = 0; i < width; ++i) mean += h[i][i] / static_cast<double>(n);
  for (size_t i = 0; i < width; ++i) h[i][i] += damping * mean;
  return h;
}

// By Gauss and Jordan: another way than the factor's.
Dense inverse(Dense a) {
  const size_t n = a.size();
  Dense out(n, std::vector<double>(n));
  for (size_t i = 0; i < n; ++i) out[i][i] = 1;
  for (size_t k = 0; k < n; ++k) {
    const double pivot = a[k][k];
    for (size_t j = 0; j < n; ++j) {
      a[k][j] /= pivot;
      out[k][j] /= pivot;
    }
    for (size_t i = 0; i < n; ++i) {
      if (i == k) continue;
      const double factor = a[i][k];
      for (size_t j = 0; j < n; ++j) {
        a[i][j] -= factor * a[k][j];
        out[i][j] -= factor * out[k][j];
      }
    }
  }
  return out;
}

Moments moments_of(WorkerPool& pool, const std::vector<float>& x, int64_t n) {
  Moments moments(n, true);
  moments.add(pool, x);
  return moments;
}

TEST(Moments, AreTheDenseProductsWhateverTheThreads) {
  const int64_t n = 100;  // no multiple of a tile
  const std::vector<float> x = correlated_inputs(300, n, 1);
  const Dense h = hessian(x, n, 0.0);
  WorkerPool one({.threads = 1});
  WorkerPool three({.threads = 3});
  const Moments a = moments_of(one, x, n);
  const Moments b = moments_of(three, x, n);
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t j = 0; j < n; ++j) {
      const double expected = h[static_cast<size_t>(i)][static_cast<size_t>(j)];
      EXPECT_NEAR(static_cast<double>(a.product(i, j)), expected, 1e-3 * (1.0 + std::fabs(expected)));
      EXPECT_EQ(a.product(i, j), b.product(i, j));
    }
    EXPECT_NEAR(a.diagonal()[static_cast<size_t>(i)], a.product(i, i), 1e-3f * a.product(i, i));
  }
  EXPECT_EQ(a.diagonal(), b.diagonal());
}

/// Squared error of rounding x to int8, one scale a block: what a quantized input loses, the plain way.
double int8_error(std::span<const float> x, size_t block, size_t begin, size_t end) {
  double sum = 0;
  for (size_t i = begin; i < end; ++i) {
    const auto of_block = x.subspan(i / block * block, block);
    double largest = 0;
    for (const float v : of_block) largest = std::max(largest, std::fabs(static_cast<double>(v)));
    const double step = largest / 127, value = static_cast<double>(x[i]);
    const double difference = value - step * std::nearbyint(value / step);
    sum += difference * difference;
  }
  return sum;
}

TEST(Moments, CoarseRoundingIsWhatInt8Loses) {
  constexpr int64_t kWidth = 512, kRows = 400;
  std::mt19937 random(5);
  std::normal_distribution<float> draw;
  std::vector<float> x(kWidth * kRows);
  for (float& v : x) v = draw(random);
  for (int64_t r = 0; r < kRows; ++r) x[static_cast<size_t>(r * kWidth + 70)] *= 50.0f;
  const std::vector<float> extra = coarse_rounding(x, kWidth);
  ASSERT_EQ(std::ssize(extra), kWidth);
  for (size_t begin = 0; begin < kWidth; begin += 32) {
    double expected = 0;
    for (int64_t r = 0; r < kRows; ++r) {
      const std::span row = std::span(x).subspan(static_cast<size_t>(r) * kWidth, kWidth);
      expected += int8_error(row, 256, begin, begin + 32) - int8_error(row, 32, begin, begin + 32);
    }
    expected /= 32.0 * kRows;
    // The block with the large column has that step either way. Rounding errors of 12,800 values: 2 % of their mean;
    // that they are uniform holds less where a step comes near the values themselves.
    EXPECT_NEAR(static_cast<double>(extra[begin]), expected, 0.1 * expected + 1e-6) << begin;
    EXPECT_EQ(extra[begin], extra[begin + 31]);
  }
  EXPECT_TRUE(coarse_rounding(x, 160).empty());
}

TEST(Gptq, FactorOfTheInverse) {
  WorkerPool pool({.threads = 2});
  const int64_t n = 96;
  const std::vector<float> x = correlated_inputs(400, n, 2);
  for (const bool ordered : {false, true}) {
    const GptqFactor factor(pool, moments_of(pool, x, n), *grid_of(Type::q4_0), 0.01, ordered);
    const Dense expected = inverse(hessian(x, n, 0.01));
    for (int64_t a = 0; a < n; ++a) {
      for (int64_t b = 0; b < n; ++b) {
        double sum = 0;
        for (int64_t k = 0; k < n; ++k)
          sum += static_cast<double>(factor.factor(k)[a]) * static_cast<double>(factor.factor(k)[b]);
        const auto i = static_cast<size_t>(factor.order()[static_cast<size_t>(a)]);
        const auto j = static_cast<size_t>(factor.order()[static_cast<size_t>(b)]);
        EXPECT_NEAR(sum, expected[i][j], 2e-4 * std::sqrt(expected[i][i] * expected[j][j])) << a << " " << b;
      }
    }
  }
}

// Dense GPTQ in doubles, straight from its definition: after each column the remaining ones move by
// -e [H^-1]_jk / [H^-1]_jj, and column j is taken out of H^-1.
std::vector<float> dense_gptq(const Grid& grid, const std::vector<float>& row, Dense h_inverse,
                              const std::vector<float>& importance, std::vector<std::byte>& out) {
  const size_t n = row.size();
  std::vector<double> w(row.begin(), row.end());
  std::vector<float> result(n);
  BlockScales scales;
  std::vector<int8_t> codes(n);
  for (size_t j = 0; j < n; ++j) {
    const auto columns = static_cast<size_t>(grid.columns);
    if (j % columns == 0) {
      const std::vector<float> block(w.begin() + static_cast<std::ptrdiff_t>(j),
                                     w.begin() + static_cast<std::ptrdiff_t>(j + columns));
      grid.fit(block.data(), importance.data() + j, scales);
    }
    codes[j] = grid_code(grid, scales, 0, static_cast<float>(w[j]));
    result[j] = grid_value(scales, 0, codes[j]);
    const double error = (w[j] - static_cast<double>(result[j])) / h_inverse[j][j];
    for (size_t k = j + 1; k < n; ++k) w[k] -= error * h_inverse[j][k];
    for (size_t a = j + 1; a < n; ++a) {
      for (size_t b = j + 1; b < n; ++b) h_inverse[a][b] -= h_inverse[a][j] * h_inverse[j][b] / h_inverse[j][j];
    }
    if (j % columns == columns - 1) {
      const auto block_bytes = static_cast<size_t>(info(grid.type).block_bytes);
      grid.pack(scales, codes.data() + j + 1 - columns, out.data() + j / columns * block_bytes);
    }
  }
  return result;
}

TEST(Gptq, EqualsTheDenseOracle) {
  WorkerPool pool({.threads = 2});
  const int64_t n = 128;
  const std::vector<float> x = correlated_inputs(500, n, 3);
  for (const Type type : {Type::q4_0, Type::iq4_nl, Type::q4_1, Type::q5_0}) {
    const Grid& grid = *grid_of(type);
    const GptqFactor factor(pool, moments_of(pool, x, n), grid, 0.01, false);
    const std::vector<float> w = weights_of(20 * n, 4);
    std::vector<std::byte> out(static_cast<size_t>(20 * row_bytes(type, n)));
    gptq(pool, grid, factor, w.data(), 20, out.data());
    const std::vector<float> importance(factor.importance().begin(), factor.importance().end());
    const Dense h_inverse = inverse(hessian(x, n, 0.01));
    int different = 0;
    for (int64_t r = 0; r < 20; ++r) {
      std::vector<float> got(static_cast<size_t>(n));
      info(type).decode(out.data() + r * row_bytes(type, n), got.data(), n);
      std::vector<std::byte> blocks(static_cast<size_t>(row_bytes(type, n)));
      const std::vector<float> row(w.begin() + r * n, w.begin() + (r + 1) * n);
      const std::vector<float> expected = dense_gptq(grid, row, h_inverse, importance, blocks);
      // Float32 against double: a value halfway between two codes may go either way, and what follows in its row too.
      different += got != expected;
    }
    EXPECT_LE(different, 6) << info(type).name;
  }
}

double output_error(Type type, const std::vector<float>& w, const std::vector<std::byte>& out, const Dense& h,
                    int64_t n) {
  std::vector<float> back(w.size());
  const int64_t rows = std::ssize(w) / n;
  for (int64_t r = 0; r < rows; ++r) info(type).decode(out.data() + r * row_bytes(type, n), back.data() + r * n, n);
  double sum = 0;
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t i = 0; i < n; ++i) {
      for (int64_t j = 0; j < n; ++j) {
        const auto a = static_cast<size_t>(r * n + i);
        const auto b = static_cast<size_t>(r * n + j);
        sum += (static_cast<double>(w[a]) - static_cast<double>(back[a])) *
               h[static_cast<size_t>(i)][static_cast<size_t>(j)] *
               (static_cast<double>(w[b]) - static_cast<double>(back[b]));
      }
    }
  }
  return sum;
}

TEST(Gptq, LowersTheErrorOfTheOutputsForEveryGrid) {
  WorkerPool pool({.threads = 2});
  const int64_t n = 512;
  const int64_t rows = 16;
  const std::vector<float> x = correlated_inputs(1500, n, 5);
  const Moments moments = moments_of(pool, x, n);
  const std::vector<float> h = moments.diagonal();
  const Dense dense = hessian(x, n, 0.0);
  const std::vector<float> w = weights_of(rows * n, 6);
  for (const Type type : {Type::q4_0, Type::q4_1, Type::q5_0, Type::q5_1, Type::q8_0, Type::q2_k, Type::q3_k,
                          Type::q4_k, Type::q5_k, Type::q6_k, Type::iq4_nl, Type::iq4_xs, Type::q8_a}) {
    const Grid& grid = *grid_of(type);
    std::vector<std::byte> out(static_cast<size_t>(rows * row_bytes(type, n)));
    for (int64_t r = 0; r < rows; ++r)
      encode_row(grid, w.data() + r * n, h.data(), n, out.data() + r * row_bytes(type, n));
    const double weighed = output_error(type, w, out, dense, n);
    for (const bool ordered : {false, true}) {
      const GptqFactor factor(pool, moments, grid, 0.001, ordered);
      const double told = gptq(pool, grid, factor, w.data(), rows, out.data());
      const double carried = output_error(type, w, out, dense, n);
      EXPECT_LT(carried, 0.6 * weighed) << info(type).name;
      EXPECT_NEAR(told, carried, 0.2 * carried) << info(type).name;  // told includes the damping
    }
  }
}

TEST(Gptq, SameBytesOnAnyNumberOfThreads) {
  const int64_t n = 256;
  const std::vector<float> x = correlated_inputs(300, n, 7);
  const std::vector<float> w = weights_of(50 * n, 8);
  std::vector<std::vector<std::byte>> outs;
  for (const int threads : {1, 2, 5}) {
    WorkerPool pool({.threads = threads});
    const GptqFactor factor(pool, moments_of(pool, x, n), *grid_of(Type::q4_k), 0.01, true);
    auto& out = outs.emplace_back(static_cast<size_t>(50 * row_bytes(Type::q4_k, n)));
    gptq(pool, *grid_of(Type::q4_k), factor, w.data(), 50, out.data());
  }
  EXPECT_EQ(outs[0], outs[1]);
  EXPECT_EQ(outs[0], outs[2]);
}

TEST(Gptq, InputsThatAreAlwaysZeroOrTheSameAreTaken) {
  WorkerPool pool({.threads = 1});
  const int64_t n = 64;
  std::vector<float> x(static_cast<size_t>(40 * n), 0.0f);
  const std::vector<float> w = weights_of(8 * n, 9);
  std::vector<std::byte> out(static_cast<size_t>(8 * row_bytes(Type::q4_0, n)));
  for (const float value : {0.0f, 3.0f}) {
    for (size_t i = 0; i < x.size(); i += 2) x[i] = value;
    const GptqFactor factor(pool, moments_of(pool, x, n), *grid_of(Type::q4_0), 0.01, true);
    EXPECT_TRUE(std::isfinite(gptq(pool, *grid_of(Type::q4_0), factor, w.data(), 8, out.data())));
  }
}

}  // namespace
}  // namespace autoglm
