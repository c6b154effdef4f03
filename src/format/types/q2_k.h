// Q2_K: 256 values in groups of 16; 2-bit codes of 0..3. Value = d * scale * code - dmin * minimum.
#pragma once

#include "format/types/block.h"

namespace autoglm::types {

struct BlockQ2_K {
  static constexpr int kColumns = 256;
  static constexpr GroupInfo kInfo{
      .group = 16, .bits = 2, .code_min = 0, .code_max = 3, .has_minimum = true, .integer_scales = true};

  uint8_t scales_minima[16];  // group g: scale in the low half, minimum in the high half
  uint8_t low_bits[64];       // column 128h + 32j + l: bits 2j, 2j+1 of byte 32h + l
  Half d;
  Half dmin;

  void integers(int8_t* codes, int8_t* scales, int8_t* minima) const;
  void encode(const float* values);
  /// The inverse of integers(); d and dmin are for the caller to set.
  void pack(const int8_t* codes, const int8_t* scales, const int8_t* minima);
};
static_assert(sizeof(BlockQ2_K) == 84 && alignof(BlockQ2_K) == 1);

}  // namespace autoglm::types
