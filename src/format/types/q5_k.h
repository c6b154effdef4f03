// Q5_K: 256 values in groups of 32; 5-bit codes of 0..31. Value = d * scale * code - dmin * minimum.
#pragma once

#include "format/types/q4_k.h"

namespace autoglm::types {

struct BlockQ5_K {
  static constexpr int kColumns = 256;
  static constexpr GroupInfo kInfo{
      .group = 32, .bits = 5, .code_min = 0, .code_max = 31, .has_minimum = true, .integer_scales = true};

  Half d;
  Half dmin;
  ScaleMinimum6 packed;
  uint8_t high_bits[32];  // column 32g + l: bit g of byte l is bit 4 of its code
  uint8_t nibbles[128];   // as Q4_K

  void integers(int8_t* codes, int8_t* scales, int8_t* minima) const;
  void encode(const float* values);
  /// The inverse of integers(); d and dmin are for the caller to set.
  void pack(const int8_t* codes, const int8_t* scales, const int8_t* minima);
};
static_assert(sizeof(BlockQ5_K) == 176 && alignof(BlockQ5_K) == 1);

}  // namespace autoglm::types
