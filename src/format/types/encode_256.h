// Round-to-nearest encoders of the types with 256-value blocks. They share two steps: each group gets the scale (and
// minimum) that holds its values, then those become small codes times one half a block. Nothing here searches for the
// best scale as a quantizer would.
#pragma once

#include <algorithm>

#include "format/types/block.h"

namespace autoglm::types {

/// A finite half near `value` (scales of a block that holds infinities saturate; NaN gives 0).
inline void set_finite(Half& half, float value) {
  constexpr float kLargest = 65504.0f;
  half.set(value != value ? 0.0f : std::clamp(value, -kLargest, kLargest));
}

/// The nearest integer, ties up, within [low, high]; NaN gives 0.
inline int nearest_in(float value, int low, int high) {
  if (value != value) return 0;
  if (value <= static_cast<float>(low)) return low;
  return value >= static_cast<float>(high) ? high : static_cast<int>(std::floor(value + 0.5f));
}

/// For value = d * scale * code - dmin * minimum. scales and minima take kColumns / group codes of 0..limit, codes one
/// a column.
template <typename Block>
void encode_with_minima(const float* values, int limit, Half& d, Half& dmin, int8_t* scales, int8_t* minima,
                        int8_t* codes) {
  constexpr int kSize = Block::kInfo.group;
  constexpr int kGroups = Block::kColumns / kSize;
  constexpr int kTop = Block::kInfo.code_max;
  float scale[kGroups];
  float minimum[kGroups];
  float largest_scale = 0.0f;
  float largest_minimum = 0.0f;
  for (int g = 0; g < kGroups; ++g) {
    float low = 0.0f;
    float high = 0.0f;
    for (int i = 0; i < kSize; ++i) {
      const float x = values[g * kSize + i];
      if (x < low) low = x;
      if (x > high) high = x;
    }
    scale[g] = (high - low) / static_cast<float>(kTop);
    minimum[g] = -low;
    largest_scale = std::max(largest_scale, scale[g]);
    largest_minimum = std::max(largest_minimum, minimum[g]);
  }
  set_finite(d, largest_scale / static_cast<float>(limit));
  set_finite(dmin, largest_minimum / static_cast<float>(limit));
  for (int g = 0; g < kGroups; ++g) {
    scales[g] = static_cast<int8_t>(clamp_code(scale[g] * reciprocal(d.value()) + 0.5f, limit));
    minima[g] = static_cast<int8_t>(clamp_code(minimum[g] * reciprocal(dmin.value()) + 0.5f, limit));
    const float inverse = reciprocal(d.value() * static_cast<float>(scales[g]));
    const float offset = dmin.value() * static_cast<float>(minima[g]);
    for (int i = g * kSize; i < (g + 1) * kSize; ++i) {
      codes[i] = static_cast<int8_t>(clamp_code((values[i] + offset) * inverse + 0.5f, kTop));
    }
  }
}

/// The nibbles that Q4_K and Q5_K share.
template <typename Block>
void pack_nibbles(Block& block, const int8_t* codes) {
  for (int b = 0; b < 128; ++b) {
    const int first = 64 * (b / 32) + b % 32;
    block.nibbles[b] = static_cast<uint8_t>((codes[first] & 15) | (codes[first + 32] & 15) << 4);
  }
}

/// For value = d * scale * code with scales of scale_min..-scale_min - 1: the codes of the groups' `steps`, of which
/// the one of largest magnitude gets scale_min.
inline void encode_steps(const float* steps, int groups, int scale_min, Half& d, int8_t* scales) {
  set_finite(d, signed_extreme(steps, groups) / static_cast<float>(scale_min));
  for (int g = 0; g < groups; ++g) {
    scales[g] = static_cast<int8_t>(nearest_in(steps[g] * reciprocal(d.value()), scale_min, -scale_min - 1));
  }
}

/// The same with codes of code_min..code_max, the value of largest magnitude in a group at code_min.
template <typename Block>
void encode_signed(const float* values, int scale_min, Half& d, int8_t* scales, int8_t* codes) {
  constexpr int kSize = Block::kInfo.group;
  constexpr int kGroups = Block::kColumns / kSize;
  float steps[kGroups];
  for (int g = 0; g < kGroups; ++g) {
    steps[g] = signed_extreme(values + g * kSize, kSize) / static_cast<float>(Block::kInfo.code_min);
  }
  encode_steps(steps, kGroups, scale_min, d, scales);
  for (int g = 0; g < kGroups; ++g) {
    const float inverse = reciprocal(d.value() * static_cast<float>(scales[g]));
    for (int i = g * kSize; i < (g + 1) * kSize; ++i) {
      codes[i] = static_cast<int8_t>(nearest_in(values[i] * inverse, Block::kInfo.code_min, Block::kInfo.code_max));
    }
  }
}

}  // namespace autoglm::types
