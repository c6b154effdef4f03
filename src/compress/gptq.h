// GPTQ (Frantar et al. 2022) onto the grids of real types: a row is rounded column by column, and what each rounding
// costs in the layer's outputs is made up for in the columns that are still to come.
//
// With H = X^T X of the layer's inputs and H^-1 = U^T U (U upper triangular), rounding column j by e adds
// (e / U_jj)^2 to the output's squared error once all later columns have been moved by -e / U_jj * U_j. So a column's
// weight in the search for a block's scales is 1 / U_jj^2: its importance given that later columns make up for it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/pool.h"
#include "compress/grid.h"
#include "compress/moments.h"

namespace autoglm {

/// What GPTQ needs of the inputs, for grids of one block and group size.
class GptqFactor {
 public:
  /// Adds damping * mean(diag H) to the diagonal; ten times as much, and so on, while H is not positive definite.
  /// `ordered`: columns of large second moment first, as far as blocks and groups stay together. Error numeric for
  /// inputs that are not finite.
  GptqFactor(WorkerPool& pool, const Moments& moments, const Grid& grid, double damping, bool ordered);

  int64_t width() const { return std::ssize(order_); }
  /// order()[k]: the column that is rounded as the k-th. The rows of factor() are in that order.
  std::span<const int32_t> order() const { return order_; }
  const float* factor(int64_t k) const { return factor_.data() + k * width(); }
  /// 1 / U_jj^2 of each column, by its place in the row.
  std::span<const float> importance() const { return importance_; }
  bool fits(const Grid& grid) const { return grid.columns == columns_ && grid.group == group_; }
  /// From now on of inputs that are divided by these factors, one a column, for weights that are multiplied by them.
  void scale(std::span<const float> columns);

 private:
  int columns_;
  int group_;
  std::vector<int32_t> order_;
  std::vector<float> factor_;  // U, [width, width]
  std::vector<float> importance_;
};

/// Rounds `rows` rows of factor.width() weights; out takes row_bytes() each. Returns the sum of (e / U_jj)^2: the mean
/// squared error of the layer's outputs, summed over these rows. On all workers, equal whatever their number.
double gptq(WorkerPool& pool, const Grid& grid, const GptqFactor& factor, const float* weights, int64_t rows,
            std::byte* out);

}  // namespace autoglm
