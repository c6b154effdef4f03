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

}  // namespace autoglm
