#include "kernels/quantize.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "format/type.h"

namespace autoglm {

float quantize_row(const float* x, int64_t n, int8_t* codes) {
  // Without their sign, floats order as their bits do, and NaN above infinity: one maximum finds both.
  uint32_t largest = 0;
  for (int64_t i = 0; i < n; ++i) largest = std::max(largest, std::bit_cast<uint32_t>(x[i]) & 0x7fffffffu);
  const float amax = std::bit_cast<float>(largest);
  if (!std::isfinite(amax) || amax < kSmallestAmax) {
    std::fill(codes, codes + n, int8_t{0});
    return std::isfinite(amax) ? 0.0f : std::numeric_limits<float>::quiet_NaN();
  }
  const float inverse = 127.0f / amax;
  for (int64_t i = 0; i < n; ++i) codes[i] = static_cast<int8_t>(std::nearbyint(x[i] * inverse));
  return amax / 127.0f;
}

void rotate_kv(float* x, int64_t n) {
  constexpr float kNorm = 0.17677669529663687f;  // 1 / sqrt(kKvGroup)
  for (int64_t group = 0; group < n; group += kKvGroup, x += kKvGroup) {
    float from[kKvGroup], to[kKvGroup];
    for (int i = 0; i < kKvGroup; ++i) from[i] = x[i] * kNorm;
    // Sums of neighbours to the lower half, differences to the upper one: five times, the matrix in its natural order.
    for (int step = 1; step < kKvGroup; step *= 2) {
      for (int i = 0; i < kKvGroup / 2; ++i) {
        to[i] = from[2 * i] + from[2 * i + 1];
        to[i + kKvGroup / 2] = from[2 * i] - from[2 * i + 1];
      }
      std::copy_n(to, kKvGroup, from);
    }
    std::copy_n(from, kKvGroup, x);
  }
}

namespace {

/// The largest size of a group; 0 where it counts as 0, NaN where a value is not finite.
float usable_amax(const float* x) {
  uint32_t largest = 0;
  for (int i = 0; i < kKvGroup; ++i) largest = std::max(largest, std::bit_cast<uint32_t>(x[i]) & 0x7fffffffu);
  const float amax = std::bit_cast<float>(largest);
  return !std::isfinite(amax) ? std::numeric_limits<float>::quiet_NaN() : amax < kSmallestAmax ? 0.0f : amax;
}

/// The factor on levels that leaves the least squared error against y.
float best_factor(const float* y, const float* levels) {
  float products[4] = {}, squares[4] = {};  // four sums, so that none waits for the one before it
  for (int i = 0; i < kKvGroup; ++i) {
    products[i % 4] += y[i] * levels[i];
    squares[i % 4] += levels[i] * levels[i];
  }
  return ((products[0] + products[1]) + (products[2] + products[3])) /
         ((squares[0] + squares[1]) + (squares[2] + squares[3]));
}

/// Codes of a group by code_of(x, y), where y is x in units of which `share` of the largest size has `outermost`; all 0
/// where nothing is to be rounded (usable_amax). Returns the scale, of least squared error for the levels of the codes.
template <typename CodeOf, typename LevelOf>
uint16_t round_group(const float* x, float share, float outermost, CodeOf code_of, LevelOf level_of,
                     int (&codes)[kKvGroup]) {
  const float amax = usable_amax(x);
  if (!(amax > 0.0f)) {
    std::fill_n(codes, kKvGroup, 0);
    return f32_to_bf16(amax);
  }
  const float step = amax * (share / outermost), inverse = outermost / share / amax;
  float y[kKvGroup], levels[kKvGroup];
  for (int i = 0; i < kKvGroup; ++i) {
    y[i] = x[i] * inverse;
    codes[i] = code_of(x[i], y[i]);
    levels[i] = static_cast<float>(level_of(codes[i]));
  }
  return f32_to_bf16(step * best_factor(y, levels));
}

int level_code(float x, float y) {
  int above = 0;
  for (int level = 8; level < 15; ++level)
    above += std::abs(y) > 0.5f * static_cast<float>(kKvLevels[level] + kKvLevels[level + 1]) ? 1 : 0;
  // Not 0: whether denormals count as zero must not matter.
  return x < -kSmallestAmax ? 7 - above : 8 + above;
}

// The nearest of -124, -116...; y is less than 128 in size.
int even_code(float, float y) { return static_cast<int>((y + 128.0f) * 0.125f); }

}  // namespace

KvNibbles quantize_kv(const float* x) {
  KvNibbles out{};
  int codes[kKvGroup];
  out.scale = round_group(x, 0.9f, 127.0f, level_code, [](int code) { return kKvLevels[code]; }, codes);
  for (int i = 0; i < kKvGroup / 2; ++i) out.codes[i] = static_cast<uint8_t>(codes[i] | codes[i + kKvGroup / 2] << 4);
  return out;
}

KvKeyGroup quantize_kv_key(const float* x) {
  KvKeyGroup out{};
  int codes[kKvGroup];
  out.scale = round_group(x, 0.97f, 124.0f, even_code, [](int code) { return 8 * code - 124; }, codes);
  for (int i = 0; i < kKvGroup; ++i) {
    out.codes[i % 16] = static_cast<uint8_t>(out.codes[i % 16] | (codes[i] & 15) << i / 16 * 4);
    out.high[i % 4] = static_cast<uint8_t>(out.high[i % 4] | codes[i] >> 4 << i / 4);
  }
  return out;
}

}  // namespace autoglm
