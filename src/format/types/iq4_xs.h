// IQ4_XS: 256 values in groups of 32; IQ4_NL's table with 6-bit group scales. Value = d * scale * table[index],
// scale of -32..31.
#pragma once

#include "format/types/iq4_nl.h"

namespace autoglm::types {

struct BlockIQ4_XS {
  static constexpr int kColumns = 256;
  static constexpr GroupInfo kInfo{
      .group = 32, .bits = 8, .code_min = -127, .code_max = 113, .has_minimum = false, .integer_scales = true};

  Half d;
  uint8_t scales_high[2];  // group g: bits 2g, 2g+1 (little endian) are the high bits of scale + 32
  uint8_t scales_low[4];   // group g: its low four bits, in half g % 2 of byte g / 2
  uint8_t nibbles[128];    // column 32g + l in the low half of byte 16g + l, column 32g + 16 + l in its high half

  void integers(int8_t* codes, int8_t* scales, int8_t* minima) const;
  void encode(const float* values);
  /// The inverse of integers(); d is for the caller to set.
  void pack(const int8_t* codes, const int8_t* scales, const int8_t* minima);
};
static_assert(sizeof(BlockIQ4_XS) == 136 && alignof(BlockIQ4_XS) == 1);

}  // namespace autoglm::types
