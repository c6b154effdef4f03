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

KvNibbles quantize_kv(const float* x) {
  KvNibbles out{};
  uint32_t largest = 0;
  for (int i = 0; i < kKvGroup; ++i) largest = std::max(largest, std::bit_cast<uint32_t>(x[i]) & 0x7fffffffu);
  const float amax = std::bit_cast<float>(largest);
  if (!std::isfinite(amax) || amax < kSmallestAmax) {
    out.scale = f32_to_bf16(std::isfinite(amax) ? 0.0f : std::numeric_limits<float>::quiet_NaN());
    return out;
  }
  const float inverse = 127.0f / 0.9f / amax;
  int codes[kKvGroup];
  float y[kKvGroup], products[4] = {}, squares[4] = {};  // four sums, so that none waits for the one before it
  for (int i = 0; i < kKvGroup; ++i) {
    y[i] = x[i] * inverse;
    int above = 0;
    for (int level = 8; level < 15; ++level)
      above += std::abs(y[i]) > 0.5f * static_cast<float>(kKvLevels[level] + kKvLevels[level + 1]) ? 1 : 0;
    // Not 0: whether denormals count as zero must not matter.
    codes[i] = x[i] < -kSmallestAmax ? 7 - above : 8 + above;
  }
  for (int i = 0; i < kKvGroup; ++i) {
    const auto level = static_cast<float>(kKvLevels[codes[i]]);
    products[i % 4] += y[i] * level;
    squares[i % 4] += level * level;
  }
  const float product = (products[0] + products[1]) + (products[2] + products[3]);
  const float square = (squares[0] + squares[1]) + (squares[2] + squares[3]);
  out.scale = f32_to_bf16(amax * (0.9f / 127.0f) * (product / square));
  for (int i = 0; i < kKvGroup / 2; ++i) out.codes[i] = static_cast<uint8_t>(codes[i] | codes[i + kKvGroup / 2] << 4);
  return out;
}

}  // namespace autoglm
