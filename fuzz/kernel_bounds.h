// How far a kernel's result may lie from the reference, derived from the inputs alone: no constant here was fitted to
// what the kernels do. u = 2^-24 is the rounding of one float32 operation; the generic table rounds a product and its
// sum apart, hence twice u. Denormals count as zero (FlushDenormals), which the terms with kTiny allow.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <span>
#include <vector>

#include "format/quant_groups.h"
#include "kernels/cpu_scenarios.h"

namespace autoglm::fuzz {

inline constexpr double kRounding = 0x1p-24;
inline constexpr double kTiny = std::numeric_limits<float>::min();
inline constexpr double kHuge = std::numeric_limits<float>::max();

/// What one output may be. `damaged`: an input that it depends on is NaN or infinite, so it must not be finite.
/// `may_overflow`: a partial sum may exceed float32, so infinity and NaN are right too.
struct Bound {
  double error = 0.0;
  bool damaged = false;
  bool may_overflow = false;
};

/// A weight's row against a row of activations.
class ProductBounds {
 public:
  ProductBounds(const test::ProductShape& shape, std::span<const std::byte> bytes) : shape_(shape) {
    const auto cols = static_cast<size_t>(shape.cols), rows = static_cast<size_t>(shape.rows);
    codes_ = shape.precision == Precision::automatic && info(shape.type).quantized;
    if (!codes_) {
      values_ = std::vector<float>(rows * cols);
      info(shape.type).decode(bytes.data(), values_.data(), shape.rows * shape.cols);
      return;
    }
    group_ = group_info(shape.type).group;
    const size_t groups = cols / static_cast<size_t>(group_);
    std::vector<int8_t> codes(rows * cols);
    scales_.resize(rows * groups), minima_.resize(rows * groups), sums_.resize(rows * groups);
    decode_groups(shape.type, bytes.data(), shape.rows * shape.cols, codes.data(), scales_.data(), minima_.data());
    for (size_t i = 0; i < codes.size(); ++i) sums_[i / static_cast<size_t>(group_)] += std::abs(int{codes[i]});
  }

  Bound of(int64_t row, const float* x) const { return codes_ ? of_codes(row, x) : of_values(row, x); }

  /// The head's: against codes it is the sum of two products, of x rounded and of what that leaves over. The latter is
  /// rounded to float32 in one step or in two, which may move it over a border between two of its codes, 1 / 254 / 127
  /// of the largest value apart, or over the 1e-30 below which a group counts as 0.
  Bound of_head(int64_t row, const float* x) const {
    Bound bound = of(row, x);
    if (!codes_) return bound;
    double borders = 0.0;
    for (int64_t g = 0; g < shape_.cols / group_; ++g) {
      const auto i = static_cast<size_t>(row * (shape_.cols / group_) + g);
      double amax = 0.0;
      for (int64_t c = g * group_ / 32 * 32; c < g * group_ / 32 * 32 + 32; ++c)
        amax = std::max(amax, static_cast<double>(std::abs(x[c])));
      borders += (amax / 254.0 / 126.0 + 1e-30) * (std::abs(scales_[i]) * sums_[i] + std::abs(minima_[i]) * group_);
    }
    bound.error = 2.1 * bound.error + borders;
    return bound;
  }

 private:
  /// f32 and bf16: a block of 256 columns in order, then the blocks.
  Bound of_values(int64_t row, const float* x) const {
    const bool bf16 = shape_.precision == Precision::automatic && shape_.type != Type::f32;
    Bound bound;
    double sum = 0.0, w_sum = 0.0, x_sum = 0.0;
    for (int64_t c = 0; c < shape_.cols; ++c) {
      const double w = std::abs(values_[static_cast<size_t>(row * shape_.cols + c)]);
      const double v = std::abs(bf16 ? bf16_to_f32(f32_to_bf16(x[c])) : x[c]);
      bound.damaged = bound.damaged || !std::isfinite(w) || !std::isfinite(v);
      sum += w * v, w_sum += w, x_sum += v;
    }
    const auto cols = static_cast<double>(shape_.cols);
    bound.error = 2.0 * kRounding * (std::min(cols, 256.0) + cols / 256.0 + 4.0) * sum +
                  kTiny * (w_sum + x_sum + 2.0 * cols + 1.0);
    bound.may_overflow = sum > kHuge / 2.0;
    return bound;
  }

  /// Integer sums are exact, and so are the file's scales.
  Bound of_codes(int64_t row, const float* x) const {
    const int64_t groups = shape_.cols / group_;
    Bound bound;
    double largest = 0.0, sum = 0.0, codes = 0.0, x_max = 0.0;
    for (int64_t g = 0; g < groups; ++g) {
      const auto i = static_cast<size_t>(row * groups + g);
      const double scale = std::abs(scales_[i]), minimum = std::abs(minima_[i]);
      double amax = 0.0;  // of the 32 columns that share an activation scale
      for (int64_t c = g * group_ / 32 * 32; c < g * group_ / 32 * 32 + 32; ++c) {
        bound.damaged = bound.damaged || !std::isfinite(x[c]);
        amax = std::max(amax, static_cast<double>(std::abs(x[c])));
      }
      bound.damaged = bound.damaged || !std::isfinite(scale) || !std::isfinite(minimum);
      largest = std::max({largest, scale, minimum});
      sum += amax * (scale * sums_[i] + minimum * group_);
      codes += sums_[i] + group_;
      x_max = std::max(x_max, amax);
    }
    // A scale times an activation's may fall below kTiny, and counts as 0 for all that it multiplies.
    bound.error = sum * 2.0 * kRounding * (static_cast<double>(2 * groups) + 8.0) + kTiny * (127.0 * codes + 1.0);
    bound.may_overflow = std::max({sum, 4096.0 * x_max, 127.0 * largest}) > kHuge / 4.0;
    return bound;
  }

  test::ProductShape shape_;
  bool codes_ = false;
  int group_ = 32;
  std::vector<float> values_;
  std::vector<float> scales_, minima_;
  std::vector<int> sums_;  // of |code|
};

/// act(gate) * up, both products known with their bounds. The slope of either function is at most 1.13; silu has a
/// relative error of a few roundings and is 0 below -88, where it is 6e-37; the tanh of gelu errs by 1e-7.
inline Bound gated_bound(float gate, const Bound& of_gate, float up, const Bound& of_up) {
  Bound bound;
  bound.damaged = of_gate.damaged || of_up.damaged;
  const double g = std::abs(static_cast<double>(gate)), u = std::abs(static_cast<double>(up));
  const double act_error = 1.13 * of_gate.error + 4e-7 * g + 1e-36;
  bound.error = act_error * (u + of_up.error) + g * of_up.error + 4.0 * kRounding * g * u + kTiny * (g + u + 2.0);
  bound.may_overflow = of_gate.may_overflow || of_up.may_overflow ||
                       !((g + of_gate.error + 1.0) * (u + of_up.error + 1.0) < kHuge / 4.0);
  return bound;
}

/// One head's output at one position. With an error of e in every score, a weight p_i changes by at most a factor of
/// exp(2 e), and the mean of the values by at most that times their spread; it never leaves their hull.
class AttentionBounds {
 public:
  /// `tiles`: queries, keys, values and weights are rounded to bf16 (isa_avx512/amx_attention.cpp).
  AttentionBounds(const test::AttentionShape& shape, const test::AttentionInput& input, bool tiles)
      : s_(shape),
        input_(input),
        tiles_(tiles),
        tokens_(std::ssize(input.q) / (shape.heads * shape.key_dim)),
        groups_((shape.value_dim + 31) / 32),
        value_max_(static_cast<size_t>(tokens_ * shape.kv_heads * groups_)) {
    for (int64_t row = 0; row < tokens_ * s_.kv_heads; ++row) {
      for (int d = 0; d < s_.value_dim; ++d) {
        double& most = value_max_[static_cast<size_t>(row * groups_ + d / 32)];
        const double v = std::abs(input_.v[static_cast<size_t>(row * s_.value_dim + d)]);
        most = std::isnan(v) ? HUGE_VAL : std::max(most, v);
      }
    }
  }

  int64_t tokens() const { return tokens_; }

  /// Fills bounds[value_dim] for a head at a position.
  void of(int64_t position, int head, std::span<Bound> bounds) const {
    const int64_t first = s_.window > 0 ? std::max<int64_t>(0, position - s_.window + 1) : 0;
    const int kv_head = head / (s_.heads / s_.kv_heads);
    const float* q = input_.q.data() + (position * s_.heads + head) * s_.key_dim;
    double score_error = 0.0;
    Bound all;
    for (int64_t p = first; p <= position; ++p) {
      const float* k = input_.k.data() + (p * s_.kv_heads + kv_head) * s_.key_dim;
      score_error = std::max(score_error, score(q, k, all));
    }
    // tanh has an absolute error of 1e-7; exp a relative one of 2e-7, and its argument is rounded: up to 88 matters.
    // In tiles a power of 2 has a relative error of 7.5e-5, and is then rounded to bf16.
    const double weight = tiles_ ? 7.5e-5 + kBf16Rounding : 5e-7;
    const double weights = 2.0 * (score_error + 4e-7 * s_.softcap) + 4.0 * 88.0 * kRounding + 2.0 * weight;
    const double change = std::min(1.0, std::expm1(std::min(weights, 1.0)));
    const auto n = static_cast<double>(position - first + 1);
    for (int d = 0; d < s_.value_dim; ++d) {
      Bound& bound = bounds[static_cast<size_t>(d)];
      bound = all;
      double low = HUGE_VAL, high = -HUGE_VAL, shared = 0.0;
      for (int64_t p = first; p <= position; ++p) {
        const double v = input_.v[static_cast<size_t>((p * s_.kv_heads + kv_head) * s_.value_dim + d)];
        bound.damaged = bound.damaged || !std::isfinite(v);
        low = std::min(low, v), high = std::max(high, v);
        shared = std::max(shared, value_max_[static_cast<size_t>((p * s_.kv_heads + kv_head) * groups_ + d / 32)]);
      }
      if (rotated()) low = -43.0 * shared, high = 43.0 * shared;
      // In q8 a value is stored as rounded by its group's scale.
      const double stored = s_.type == KvType::q8 ? shared / 127.0 : 0.0;
      const double most = std::max(std::abs(low), std::abs(high)) * (1.0 + 0x1p-8) + stored + smallest();
      // A weight below e^-87.3 counts as e^-87.3, about kTiny; a weight times a scale below kTiny as 0, and so do up to
      // 127 such steps.
      bound.error = (high - low + 2.0 * stored + most * 0x1p-7) * change + most * 2.0 * kRounding * (n + 8.0) +
                    n * kTiny * (most + 130.0) + (tiles_ ? most * kBf16Rounding : 0.0);
      bound.may_overflow = bound.may_overflow || !(shared < largest()) || n * most > kHuge / 4.0;
    }
  }

 private:
  /// What is above becomes infinite in bf16 or f16.
  double largest() const { return s_.type == KvType::f16 ? 65504.0 : rotated() ? 1e36 : 3.38e38; }
  /// q4: a rotated value is at most sqrt(32) = 5.7 times the largest of its 32, 7.5 times as stored; rotated back, 43.
  bool rotated() const { return s_.type == KvType::q4; }
  /// f16 rounds to multiples of 2^-24 where its exponents end.
  double smallest() const { return s_.type == KvType::f16 ? 0x1p-24 : 0.0; }
  static constexpr double kBf16Rounding = 0x1p-8;

  /// The error of a score: a query against q8 keys is the sum of two int8 roundings, of 1/254 and of 1/254 of that.
  double score(const float* q, const float* k, Bound& all) const {
    double error = 0.0, reach = 0.0;
    for (int g = 0; g < s_.key_dim; g += 32) {
      double q_max = 0.0, k_max = 0.0, k_sum = 0.0, product = 0.0;
      for (int d = g; d < std::min(g + 32, s_.key_dim); ++d) {
        const double a = std::abs(static_cast<double>(q[d])), b = std::abs(static_cast<double>(k[d]));
        all.damaged = all.damaged || std::isnan(a) || std::isnan(b);
        all.may_overflow = all.may_overflow || !(a < 3.38e38) || !(b < largest());
        q_max = std::max(q_max, a), k_max = std::max(k_max, b);
        k_sum += b, product += a * b;
      }
      if (rotated()) q_max *= 5.7, k_max *= 7.5, k_sum = 32.0 * k_max, product = q_max * k_sum;
      const double n = s_.key_dim,
                   step = k_max * (s_.type == KvType::f32 ? 0.0 : 1.0 / 127.0) + smallest();  // keys as stored
      k_sum += 32.0 * step, product += q_max * 32.0 * step;
      const bool codes = (s_.type == KvType::q8 && !tiles_) || rotated();
      const double rounded = codes ? q_max * (1.01 / 254.0 / 254.0 + 8.0 * kRounding) + 1e-30 : 0.0;
      const double factors = tiles_ ? kBf16Rounding * (2.0 + kBf16Rounding) : 0.0;
      error += s_.scale * (rounded * k_sum + product * (factors + 2.0 * kRounding * (n + 8.0))) +
               kTiny * (s_.scale + 1.0) * (k_sum + 32.0 * q_max + 64.0);
      reach += std::max(1.0, static_cast<double>(s_.scale)) * 32.0 * std::max({q_max * k_max, q_max * 128.0, k_max});
    }
    all.may_overflow = all.may_overflow || reach > kHuge / 4.0;
    return error;
  }

  const test::AttentionShape& s_;
  const test::AttentionInput& input_;
  bool tiles_;
  int64_t tokens_;
  int64_t groups_;
  std::vector<double> value_max_;  // [tokens][kv_heads][groups]
};

}  // namespace autoglm::fuzz
