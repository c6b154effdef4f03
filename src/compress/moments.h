// Second moments of a linear layer's inputs: what calibration learns, and all that it keeps.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/pool.h"

namespace autoglm {

/// Sums over input rows x: of x_i^2 (the importance of column i), and where `full` of x_i x_j (the Hessian of the
/// squared error of the layer's outputs, up to a factor).
class Moments {
 public:
  Moments() = default;
  Moments(int64_t width, bool full);

  int64_t width() const { return width_; }
  int64_t rows() const { return rows_; }
  bool full() const { return !products_.empty(); }

  /// Adds rows of width() values each. Which worker adds what never changes the result.
  void add(WorkerPool& pool, std::span<const float> x);

  /// Mean of x_i^2, one a column. Zeros before the first row.
  std::vector<float> diagonal() const;
  /// The mean of x_i x_j; i, j in any order. Only where full().
  float product(int64_t i, int64_t j) const;

 private:
  int64_t width_ = 0;
  int64_t rows_ = 0;
  std::vector<float> squares_;
  std::vector<float> products_;  // [width, width]; tiles that touch or lie above the diagonal are filled
};

/// What rounding input rows [n][width] to int8 with a scale for 256 columns costs more than with a scale for 32: mean
/// squared error, one a column; empty where width is no multiple of 256. That is what llama.cpp does with the inputs of
/// types whose blocks have 256 columns (ggml's Q8_K beside Q8_0); a step s rounds with s^2 / 12, and s is a block's
/// largest value / 127.
std::vector<float> coarse_rounding(std::span<const float> x, int64_t width);

}  // namespace autoglm
