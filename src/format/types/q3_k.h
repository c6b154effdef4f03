// Q3_K: 256 values in groups of 16; 3-bit codes of -4..3. Value = d * scale * code, scale of -32..31.
#pragma once

#include "format/types/block.h"

namespace autoglm::types {

struct BlockQ3_K {
  static constexpr int kColumns = 256;
  static constexpr GroupInfo kInfo{
      .group = 16, .bits = 3, .code_min = -4, .code_max = 3, .has_minimum = false, .integer_scales = true};

  uint8_t high_bits[32];  // column 32r + l: bit r of byte l is bit 2 of code + 4
  uint8_t low_bits[64];   // column 128h + 32j + l: bits 2j, 2j+1 of byte 32h + l
  uint8_t packed[12];     // 16 scales + 32 of 6 bits: low four in bytes 0..7, high two in bytes 8..11
  Half d;

  void integers(int8_t* codes, int8_t* scales, int8_t* minima) const;
  void encode(const float* values);
  /// The inverse of integers(); d is for the caller to set.
  void pack(const int8_t* codes, const int8_t* scales, const int8_t* minima);
};
static_assert(sizeof(BlockQ3_K) == 110 && alignof(BlockQ3_K) == 1);

}  // namespace autoglm::types
