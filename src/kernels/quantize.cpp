#include "kernels/quantize.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

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

}  // namespace autoglm
