#include "compress/gptq.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/error.h"
#include "compress/sums.h"

namespace autoglm {
namespace {

using Matrix = std::vector<double>;  // [n, n]

// Sorts runs of `size` columns by their mean second moment, largest first; ties keep their order.
void sort_runs(std::span<int32_t> columns, int size, const std::vector<float>& moments) {
  const auto runs = static_cast<int>(std::ssize(columns) / size);
  std::vector<double> mean(static_cast<size_t>(runs));
  for (int r = 0; r < runs; ++r) {
    for (int i = 0; i < size; ++i) {
      const int at = r * size + i;
      const int32_t column = columns[static_cast<size_t>(at)];
      mean[static_cast<size_t>(r)] += static_cast<double>(moments[static_cast<size_t>(column)]);
    }
  }
  std::vector<int> index(static_cast<size_t>(runs));
  std::iota(index.begin(), index.end(), 0);
  std::ranges::sort(index, [&](int a, int b) {
    const double left = mean[static_cast<size_t>(a)];
    const double right = mean[static_cast<size_t>(b)];
    return left != right ? left > right : a < b;
  });
  const std::vector<int32_t> before(columns.begin(), columns.end());
  for (int r = 0; r < runs; ++r) {
    const int from = index[static_cast<size_t>(r)];
    std::copy_n(before.begin() + from * size, size, columns.begin() + r * size);
  }
}

// Blocks, the groups in each, and the columns of each group.
std::vector<int32_t> column_order(const std::vector<float>& moments, int columns, int group, bool ordered) {
  std::vector<int32_t> order(moments.size());
  std::iota(order.begin(), order.end(), 0);
  if (!ordered) return order;
  const std::span<int32_t> all(order);
  sort_runs(all, columns, moments);
  for (size_t b = 0; b < all.size(); b += static_cast<size_t>(columns)) {
    sort_runs(all.subspan(b, static_cast<size_t>(columns)), group, moments);
  }
  for (size_t g = 0; g < all.size(); g += static_cast<size_t>(group)) {
    sort_runs(all.subspan(g, static_cast<size_t>(group)), 1, moments);
  }
  return order;
}

constexpr int64_t kPanel = 64;  // rows of a matrix that are worked on together

// A = V^T V with V upper triangular, in place of A's upper triangle. False if A is not positive definite.
bool cholesky(WorkerPool& pool, Matrix& a, int64_t n) {
  for (int64_t first = 0; first < n; first += kPanel) {
    const int64_t last = std::min(first + kPanel, n);
    for (int64_t k = first; k < last; ++k) {
      double* row = a.data() + k * n;
      if (!(row[k] > 0.0) || !std::isfinite(row[k])) return false;
      const double inverse = 1.0 / std::sqrt(row[k]);
      for (int64_t j = k; j < n; ++j) row[j] *= inverse;
      for (int64_t i = k + 1; i < last; ++i) subtract_scaled(a.data() + i * n + i, row + i, row[i], n - i);
    }
    // Some rows together, each from the first one's column on: what is written below the diagonal is never read.
    pool.parallel_for(n - last, kPanel, [&](int64_t begin, int64_t end) {
      const int64_t i = last + begin;
      const double* panel = a.data() + first * n + i;
      subtract_product({a.data() + i * n + i, n, end - begin, n - i}, {panel, 1, n}, panel, n, last - first);
    });
  }
  return true;
}

// W = V^-1, upper triangular too: row i is (e_i - sum over k > i of V_ik W_k) / V_ii. Columns are independent.
Matrix inverse_of(WorkerPool& pool, const Matrix& v, int64_t n) {
  Matrix w(v.size());
  constexpr int64_t kColumns = 64;
  pool.parallel_for((n + kColumns - 1) / kColumns, 1, [&](int64_t begin, int64_t end) {
    const int64_t first = begin * kColumns;
    const int64_t last = std::min(end * kColumns, n);
    // Rows from the last on, some together: first what the rows after them give to all, then one by one.
    for (int64_t below = last; below > 0;) {
      const int64_t top = std::max<int64_t>(0, (below - 1) / kPanel * kPanel);
      subtract_product({w.data() + top * n + first, n, below - top, last - first}, {v.data() + top * n + below, n, 1},
                       w.data() + below * n + first, n, last - below);
      for (int64_t i = below - 1; i >= top; --i) {
        double* row = w.data() + i * n;
        if (i >= first) row[i] += 1.0;
        // Below its diagonal W is zero.
        const int64_t from = std::max(i, first);
        subtract_product({row + from, n, 1, last - from}, {v.data() + i * n + i + 1, n, 1},
                         w.data() + (i + 1) * n + from, n, below - i - 1);
        const double scale = 1.0 / v[static_cast<size_t>(i * n + i)];
        for (int64_t j = from; j < last; ++j) row[j] *= scale;
      }
      below = top;
    }
  });
  return w;
}

}  // namespace

// H = R R^T with R upper is the Cholesky factor of H with rows and columns reversed, H' = V^T V: R_ab = V_b'a' with
// a' = n - 1 - a. So U = R^-1 is W = V^-1 read the same way, and H^-1 itself is never formed.
GptqFactor::GptqFactor(WorkerPool& pool, const Moments& moments, const Grid& grid, double damping, bool ordered)
    : columns_(grid.columns), group_(grid.group) {
  const std::vector<float> diagonal = moments.diagonal();
  const int64_t n = moments.width();
  AUTOGLM_CHECK(moments.full() && n % grid.columns == 0, "a Hessian of whole blocks");
  order_ = column_order(diagonal, grid.columns, grid.group, ordered);
  double mean = 0;
  for (const float value : diagonal) mean += static_cast<double>(value) / static_cast<double>(n);
  if (!std::isfinite(mean)) {
    fail(Code::numeric, "the inputs of a layer are not finite numbers", "the model may be damaged: check its hash");
  }
  if (mean == 0.0) mean = 1.0;  // a layer that never got an input: every column is as good as any other
  Matrix h;
  for (double extra = damping * mean;; extra *= 10.0) {
    h.resize(static_cast<size_t>(n * n));
    pool.parallel_for(n, 16, [&](int64_t begin, int64_t end) {
      for (int64_t a = begin; a < end; ++a) {
        const int32_t i = order_[static_cast<size_t>(n - 1 - a)];
        for (int64_t b = a; b < n; ++b) {
          h[static_cast<size_t>(a * n + b)] =
              static_cast<double>(moments.product(i, order_[static_cast<size_t>(n - 1 - b)]));
        }
        h[static_cast<size_t>(a * n + a)] += extra;
      }
    });
    if (cholesky(pool, h, n)) break;
    AUTOGLM_CHECK(extra < 1e6 * mean, "a matrix with a large diagonal is positive definite");
  }
  const Matrix w = inverse_of(pool, h, n);
  h = {};
  factor_.resize(static_cast<size_t>(n * n));
  importance_.resize(static_cast<size_t>(n));
  for (int64_t a = 0; a < n; ++a) {
    for (int64_t b = a; b < n; ++b) {
      factor_[static_cast<size_t>(a * n + b)] = static_cast<float>(w[static_cast<size_t>((n - 1 - b) * n + n - 1 - a)]);
    }
    const double u = w[static_cast<size_t>((n - 1 - a) * n + n - 1 - a)];
    importance_[static_cast<size_t>(order_[static_cast<size_t>(a)])] = static_cast<float>(1.0 / (u * u));
  }
}

// With S = diag(columns) the inputs' moments become S^-1 H S^-1, whose inverse is (U S)^T (U S).
void GptqFactor::scale(std::span<const float> columns) {
  const int64_t n = width();
  AUTOGLM_CHECK(std::ssize(columns) == n, "a factor a column");
  for (int64_t k = 0; k < n; ++k) {
    float* row = factor_.data() + k * n;
    for (int64_t j = k; j < n; ++j) row[j] *= columns[static_cast<size_t>(order_[static_cast<size_t>(j)])];
  }
  for (size_t j = 0; j < importance_.size(); ++j) importance_[j] /= columns[j] * columns[j];
}

namespace {

constexpr int64_t kRows = 16;  // rounded together: a row of U is read once for all of them

/// One row on its way. `x` is in the factor's order; a block's own arrays are in the row's.
class RowRounder {
 public:
  RowRounder(const Grid& grid, const GptqFactor& factor) : grid_(grid), factor_(factor) {}

  /// Rounds block `first .. first + columns` of x, carrying errors within it, and leaves e / U_jj in `errors`.
  /// `row`: scales of the whole row, or null.
  double round(float* x, int64_t first, const BlockScales* row, float* errors, std::byte* block) {
    const std::span<const int32_t> order = factor_.order();
    const int64_t start = order[static_cast<size_t>(first)] / grid_.columns * grid_.columns;  // in the row
    const float* importance = factor_.importance().data() + start;
    BlockScales scales;
    if (row) {
      scales = *row;
    } else {
      gather(x, first, grid_.columns, start);
      grid_.fit(values_, importance, scales);
    }
    int8_t codes[kMost];
    double sum = 0;
    const int64_t end = first + grid_.columns;
    for (int64_t k = first; k < end; ++k) {
      const auto column = static_cast<int>(order[static_cast<size_t>(k)] - start);
      const int g = column / grid_.group;
      if (grid_.refit && k > first && (k - first) % grid_.group == 0) {
        gather(x, k, grid_.group, start);
        grid_.refit(values_ + g * grid_.group, importance + g * grid_.group, g, scales);
      }
      codes[column] = grid_code(grid_, scales, g, x[k]);
      const float* u = factor_.factor(k);
      const float error = (x[k] - grid_value(scales, g, codes[column])) / u[k];
      errors[k - first] = error;
      sum += static_cast<double>(error) * static_cast<double>(error);
      for (int64_t j = k + 1; j < end; ++j) x[j] -= error * u[j];
    }
    grid_.pack(scales, codes, block + start / grid_.columns * info(grid_.type).block_bytes);
    return sum;
  }

 private:
  static constexpr int kMost = 256;

  void gather(const float* x, int64_t first, int count, int64_t start) {
    for (int64_t k = first; k < first + count; ++k) {
      values_[factor_.order()[static_cast<size_t>(k)] - start] = x[k];
    }
  }

  const Grid& grid_;
  const GptqFactor& factor_;
  float values_[kMost];
};

double round_rows(const Grid& grid, const GptqFactor& factor, const float* weights, int64_t rows, std::byte* out) {
  const int64_t n = factor.width();
  const int64_t stride = row_bytes(grid.type, n);
  std::vector<float> x(static_cast<size_t>(rows * n));
  std::vector<float> errors(static_cast<size_t>(rows * grid.columns));
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t k = 0; k < n; ++k) {
      x[static_cast<size_t>(r * n + k)] = weights[r * n + factor.order()[static_cast<size_t>(k)]];
    }
  }
  std::vector<BlockScales> of_row(grid.fit_row ? static_cast<size_t>(rows) : 0);
  for (size_t r = 0; r < of_row.size(); ++r) {
    grid.fit_row(weights + static_cast<int64_t>(r) * n, factor.importance().data(), n, of_row[r]);
  }
  RowRounder rounder(grid, factor);
  double sum = 0;
  for (int64_t first = 0; first < n; first += grid.columns) {
    for (int64_t r = 0; r < rows; ++r) {
      sum += rounder.round(x.data() + r * n, first, of_row.empty() ? nullptr : &of_row[static_cast<size_t>(r)],
                           errors.data() + r * grid.columns, out + r * stride);
    }
    const int64_t next = first + grid.columns;
    if (next == n) break;
    subtract_product({x.data() + next, n, rows, n - next}, {errors.data(), grid.columns, 1},
                     factor.factor(first) + next, n, grid.columns);
  }
  return sum;
}

}  // namespace

double gptq(WorkerPool& pool, const Grid& grid, const GptqFactor& factor, const float* weights, int64_t rows,
            std::byte* out) {
  AUTOGLM_CHECK(factor.fits(grid), "the factor was made for this grid");
  const int64_t stride = row_bytes(grid.type, factor.width());
  std::vector<double> sums(static_cast<size_t>((rows + kRows - 1) / kRows));
  pool.parallel_for(rows, kRows, [&](int64_t begin, int64_t end) {
    sums[static_cast<size_t>(begin / kRows)] =
        round_rows(grid, factor, weights + begin * factor.width(), end - begin, out + begin * stride);
  });
  return std::accumulate(sums.begin(), sums.end(), 0.0);
}

}  // namespace autoglm
