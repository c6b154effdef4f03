// Q6_K: 256 values in groups of 16; 6-bit codes of -32..31. Value = d * scale * code, scale a signed byte.
#pragma once

#include "format/types/block.h"

namespace autoglm::types {

struct BlockQ6_K {
  static constexpr int kColumns = 256;
  static constexpr GroupInfo kInfo{
      .group = 16, .bits = 6, .code_min = -32, .code_max = 31, .has_minimum = false, .integer_scales = true};

  uint8_t nibbles[128];   // column 128h + 32j + l (l < 32): byte 64h + 32 (j % 2) + l, low half for j < 2
  uint8_t high_bits[64];  // the same column: bits 2j, 2j+1 of byte 32h + l
  int8_t group_scales[16];
  Half d;

  void integers(int8_t* codes, int8_t* scales, int8_t* minima) const;
  void encode(const float* values);
  /// The inverse of integers(); d is for the caller to set.
  void pack(const int8_t* codes, const int8_t* scales, const int8_t* minima);
};
static_assert(sizeof(BlockQ6_K) == 210 && alignof(BlockQ6_K) == 1);

}  // namespace autoglm::types
