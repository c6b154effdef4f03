#include "compress/sums.h"

#include <algorithm>
#include <cmath>

#include "format/types/iq4_nl.h"

namespace autoglm {
namespace {

constexpr int kLanes = 16;

// Adds the lanes as a tree: half on half.
float total(float* lanes) {
  for (int width = kLanes / 2; width > 0; width /= 2) {
    for (int i = 0; i < width; ++i) lanes[i] += lanes[i + width];
  }
  return lanes[0];
}

constexpr int64_t kPanelRows = 256;  // rows of x at a time
constexpr int64_t kTargetRows = 32;  // of y

// kTall rows of y and kWide columns stay in registers. Inlined, so that it is compiled for its caller's target.
template <int kTall, int kWide, typename Value>
[[gnu::always_inline]] inline void subtract_tile(Value* y, int64_t y_stride, const Value (*by)[kPanelRows],
                                                 const Value* x, int64_t x_stride, int64_t run) {
  Value kept[kTall][kWide];
  for (int r = 0; r < kTall; ++r) {
    for (int l = 0; l < kWide; ++l) kept[r][l] = y[r * y_stride + l];
  }
  for (int64_t k = 0; k < run; ++k) {
    for (int r = 0; r < kTall; ++r) {
      for (int l = 0; l < kWide; ++l) kept[r][l] -= by[r][k] * x[k * x_stride + l];
    }
  }
  for (int r = 0; r < kTall; ++r) {
    for (int l = 0; l < kWide; ++l) y[r * y_stride + l] = kept[r][l];
  }
}

// What several rows of y use is copied first: columns of a matrix whose rows are a power of two long would all fall
// into the same few places of the cache.
template <int kWide, typename Value>
[[gnu::always_inline]] inline void subtract_panels(const Target<Value>& y, const Factors<Value>& factors,
                                                   const Value* x, int64_t stride, int64_t count) {
  constexpr int kTall = 4;
  Value by[kTargetRows][kPanelRows];
  Value copied[kPanelRows * kWide];
  for (int64_t top = 0; top < y.rows; top += kTargetRows) {
    const int64_t rows = std::min(kTargetRows, y.rows - top);
    for (int64_t first = 0; first < count; first += kPanelRows) {
      const int64_t run = std::min(kPanelRows, count - first);
      for (int64_t r = 0; r < rows; ++r) {
        const Value* factor = factors.data + (top + r) * factors.row + first * factors.step;
        for (int64_t k = 0; k < run; ++k) by[r][k] = factor[k * factors.step];
      }
      int64_t i = 0;
      for (; i + kWide <= y.cols; i += kWide) {
        const Value* from = x + first * stride + i;
        int64_t from_stride = stride;
        if (rows >= kTall) {
          for (int64_t k = 0; k < run; ++k) std::copy_n(from + k * stride, kWide, copied + k * kWide);
          from = copied;
          from_stride = kWide;
        }
        Value* to = y.y + top * y.stride + i;
        int64_t r = 0;
        for (; r + kTall <= rows; r += kTall) {
          subtract_tile<kTall, kWide>(to + r * y.stride, y.stride, by + r, from, from_stride, run);
        }
        for (; r < rows; ++r) subtract_tile<1, kWide>(to + r * y.stride, y.stride, by + r, from, from_stride, run);
      }
      for (; i < y.cols; ++i) {
        for (int64_t r = 0; r < rows; ++r) {
          subtract_tile<1, 1>(y.y + (top + r) * y.stride + i, y.stride, by + r, x + first * stride + i, stride, run);
        }
      }
    }
  }
}

}  // namespace

// The comparisons are written so that a NaN becomes `low`: encoders must not fail on any input.
#define AUTOGLM_NEAREST(y, low, high)                    \
  const float rounded = std::floor((y) + 0.5f);          \
  const float above = rounded > (low) ? rounded : (low); \
  const float q = above < (high) ? above : (high);

#define AUTOGLM_TABLE_NEAREST(y)                                   \
  float q = types::kIq4Table[0];                                   \
  for (int t = 0; t < 15; ++t) {                                   \
    const auto low = static_cast<float>(types::kIq4Table[t]);      \
    const auto high = static_cast<float>(types::kIq4Table[t + 1]); \
    q = (y) > 0.5f * (low + high) ? high : q;                      \
  }

AUTOGLM_WIDEST void uniform_sums(const float* x, const float* h, int n, float inverse, float low, float high,
                                 CodeSums& out) {
  float qq[kLanes] = {};
  float xq[kLanes] = {};
  for (int i = 0; i < n; i += kLanes) {
    for (int l = 0; l < kLanes; ++l) {
      AUTOGLM_NEAREST(x[i + l] * inverse, low, high)
      const float hq = h[i + l] * q;
      qq[l] += hq * q;
      xq[l] += hq * x[i + l];
    }
  }
  out.qq = total(qq);
  out.xq = total(xq);
}

AUTOGLM_WIDEST void table_sums(const float* x, const float* h, int n, float inverse, CodeSums& out) {
  float qq[kLanes] = {};
  float xq[kLanes] = {};
  for (int i = 0; i < n; i += kLanes) {
    for (int l = 0; l < kLanes; ++l) {
      const float y = x[i + l] * inverse;
      AUTOGLM_TABLE_NEAREST(y)
      const float hq = h[i + l] * q;
      qq[l] += hq * q;
      xq[l] += hq * x[i + l];
    }
  }
  out.qq = total(qq);
  out.xq = total(xq);
}

AUTOGLM_WIDEST void affine_sums(const float* x, const float* h, int n, float inverse, float minimum, float top,
                                CodeSums& out) {
  float sums[5][kLanes] = {};
  for (int i = 0; i < n; i += kLanes) {
    for (int l = 0; l < kLanes; ++l) {
      AUTOGLM_NEAREST((x[i + l] + minimum) * inverse, 0.0f, top)
      const float hq = h[i + l] * q;
      sums[0][l] += h[i + l];
      sums[1][l] += hq;
      sums[2][l] += hq * q;
      sums[3][l] += h[i + l] * x[i + l];
      sums[4][l] += hq * x[i + l];
    }
  }
  out.h = total(sums[0]);
  out.q = total(sums[1]);
  out.qq = total(sums[2]);
  out.x = total(sums[3]);
  out.xq = total(sums[4]);
}

AUTOGLM_WIDEST float uniform_error(const float* x, const float* h, int n, float scale, float minimum, float low,
                                   float high) {
  const float inverse = scale == 0.0f ? 0.0f : 1.0f / scale;
  float sum[kLanes] = {};
  for (int i = 0; i < n; i += kLanes) {
    for (int l = 0; l < kLanes; ++l) {
      AUTOGLM_NEAREST((x[i + l] + minimum) * inverse, low, high)
      const float difference = x[i + l] - (scale * q - minimum);
      sum[l] += h[i + l] * difference * difference;
    }
  }
  return total(sum);
}

AUTOGLM_WIDEST float table_error(const float* x, const float* h, int n, float scale) {
  const float inverse = scale == 0.0f ? 0.0f : 1.0f / scale;
  float sum[kLanes] = {};
  for (int i = 0; i < n; i += kLanes) {
    for (int l = 0; l < kLanes; ++l) {
      const float y = x[i + l] * inverse;
      AUTOGLM_TABLE_NEAREST(y)
      const float difference = x[i + l] - scale * q;
      sum[l] += h[i + l] * difference * difference;
    }
  }
  return total(sum);
}

AUTOGLM_WIDEST float add_smooth_maximum(const float* x, const float* t, int n, float* to) {
  float tops[kLanes] = {};
  for (int i = 0; i < n; i += kLanes) {
    for (int l = 0; l < kLanes; ++l) {
      const float value = x[i + l] * x[i + l] * t[i + l];
      tops[l] = value > tops[l] ? value : tops[l];
    }
  }
  float top = 0.0f;
  for (const float value : tops) top = value > top ? value : top;
  if (!(top > 0.0f) || !std::isfinite(1.0f / top) || !std::isfinite(top)) return 0.0f;
  const float inverse = 1.0f / top;
  float sums[kLanes] = {};
  for (int i = 0; i < n; i += kLanes) {
    for (int l = 0; l < kLanes; ++l) {
      const float v1 = x[i + l] * x[i + l] * t[i + l] * inverse;
      const float v2 = v1 * v1;
      const float v4 = v2 * v2;
      sums[l] += v4 * v4;
    }
  }
  const float sum = total(sums);
  const float norm = top * std::sqrt(std::sqrt(std::sqrt(sum)));
  const float share = norm / sum;
  for (int i = 0; i < n; i += kLanes) {
    for (int l = 0; l < kLanes; ++l) {
      const float v1 = x[i + l] * x[i + l] * t[i + l] * inverse;
      const float v2 = v1 * v1;
      const float v4 = v2 * v2;
      to[i + l] += share * (v4 * v4);
    }
  }
  return norm;
}

AUTOGLM_WIDEST void subtract_scaled(float* y, const float* x, float factor, int64_t n) {
  for (int64_t i = 0; i < n; ++i) y[i] -= factor * x[i];
}

AUTOGLM_WIDEST void subtract_scaled(double* y, const double* x, double factor, int64_t n) {
  for (int64_t i = 0; i < n; ++i) y[i] -= factor * x[i];
}

AUTOGLM_WIDEST void subtract_product(const Target<float>& y, const Factors<float>& factors, const float* x,
                                     int64_t stride, int64_t count) {
  subtract_panels<32>(y, factors, x, stride, count);
}

AUTOGLM_WIDEST void subtract_product(const Target<double>& y, const Factors<double>& factors, const double* x,
                                     int64_t stride, int64_t count) {
  subtract_panels<16>(y, factors, x, stride, count);
}

// Lanes of doubles: logits are large beside the differences that are looked for.
AUTOGLM_WIDEST double dot(const float* x, const float* y, int64_t n) {
  double sum[kLanes] = {};
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    for (int l = 0; l < kLanes; ++l) sum[l] += static_cast<double>(x[i + l]) * static_cast<double>(y[i + l]);
  }
  for (; i < n; ++i) sum[0] += static_cast<double>(x[i]) * static_cast<double>(y[i]);
  double all = 0;
  for (const double lane : sum) all += lane;
  return all;
}

// e^x = 2^n 2^f with f in [-1/2, 1/2], the latter by its series to the sixth power. x <= 0; below -87 it is nothing.
#define AUTOGLM_EXP(x)                                                                                            \
  const float bounded = (x) > -87.0f ? (x) : -87.0f;                                                              \
  const float whole = std::floor(bounded * 1.44269504f + 0.5f);                                                   \
  const float f = bounded - whole * 0.693359375f + whole * 2.12194440e-4f;                                        \
  const float series =                                                                                            \
      1.0f +                                                                                                      \
      f * (1.0f + f * (0.5f + f * (0.16666667f + f * (0.041666668f + f * (0.0083333333f + f * 0.0013888889f))))); \
  const float power = series * __builtin_bit_cast(float, (static_cast<int32_t>(whole) + 127) << 23);

AUTOGLM_WIDEST double log_sum_exp(const float* x, int64_t n) {
  float most[kLanes];
  for (float& lane : most) lane = x[0];
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    for (int l = 0; l < kLanes; ++l) most[l] = x[i + l] > most[l] ? x[i + l] : most[l];
  }
  for (; i < n; ++i) most[0] = x[i] > most[0] ? x[i] : most[0];
  float top = most[0];
  for (const float lane : most) top = lane > top ? lane : top;
  float nothing[kLanes] = {};  // stays zero unless something is not finite
  for (int64_t j = 0; j < n; ++j) nothing[j % kLanes] += x[j] * 0.0f;
  double sum = 0;
  constexpr int64_t kRun = 64 * kLanes;  // floats add up to no more than this many
  for (int64_t first = 0; first < n; first += kRun) {
    const int64_t last = first + kRun < n ? first + kRun : n;
    float lanes[kLanes] = {};
    int64_t j = first;
    for (; j + kLanes <= last; j += kLanes) {
      for (int l = 0; l < kLanes; ++l) {
        const float distance = x[j + l] - top;
        AUTOGLM_EXP(distance)
        lanes[l] += power;
      }
    }
    for (; j < last; ++j) {
      const float distance = x[j] - top;
      AUTOGLM_EXP(distance)
      lanes[0] += power;
    }
    sum += static_cast<double>(total(lanes));
  }
  return static_cast<double>(top) + std::log(sum) + static_cast<double>(total(nothing));
}

AUTOGLM_WIDEST void add_moments(const float* x, int64_t rows, int64_t width, int64_t first_i, int rows_i,
                                int64_t first_j, int cols_j, float* to, int64_t stride) {
  constexpr int kRows = 4;
  constexpr int kCols = 64;
  for (int i = 0; i < rows_i; i += kRows) {
    const int count = rows_i - i < kRows ? rows_i - i : kRows;
    float sum[kRows][kCols] = {};
    for (int64_t r = 0; r < rows; ++r) {
      const float* row = x + r * width;
      if (count == kRows && cols_j == kCols) {
        for (int k = 0; k < kRows; ++k) {
          const float factor = row[first_i + i + k];
          for (int j = 0; j < kCols; ++j) sum[k][j] += factor * row[first_j + j];
        }
      } else {
        for (int k = 0; k < count; ++k) {
          for (int j = 0; j < cols_j; ++j) sum[k][j] += row[first_i + i + k] * row[first_j + j];
        }
      }
    }
    for (int k = 0; k < count; ++k) {
      for (int j = 0; j < cols_j; ++j) to[(i + k) * stride + j] += sum[k][j];
    }
  }
}

#undef AUTOGLM_EXP
#undef AUTOGLM_NEAREST
#undef AUTOGLM_TABLE_NEAREST

}  // namespace autoglm
