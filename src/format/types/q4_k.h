// Q4_K: 256 values in groups of 32; 4-bit codes of 0..15. Value = d * scale * code - dmin * minimum.
#pragma once

#include "format/types/block.h"

namespace autoglm::types {

/// Eight pairs of a scale and a minimum of 6 bits each in 12 bytes; Q4_K and Q5_K share it. Groups 0..3 lie in the low
/// six bits of bytes 0..3 (scales) and 4..7 (minima); groups 4..7 have their low four bits in bytes 8..11 and their
/// high two in the top of bytes 0..7.
struct ScaleMinimum6 {
  uint8_t bytes[12];
  int scale(int g) const { return g < 4 ? bytes[g] & 63 : (bytes[g + 4] & 15) | (bytes[g - 4] >> 6) << 4; }
  int minimum(int g) const { return g < 4 ? bytes[g + 4] & 63 : bytes[g + 4] >> 4 | (bytes[g] >> 6) << 4; }
  // Eight of each, 0..63.
  void get(int8_t* scales, int8_t* minima) const;
  void set(const int8_t* scales, const int8_t* minima);
};

struct BlockQ4_K {
  static constexpr int kColumns = 256;
  static constexpr GroupInfo kInfo{
      .group = 32, .bits = 4, .code_min = 0, .code_max = 15, .has_minimum = true, .integer_scales = true};

  Half d;
  Half dmin;
  ScaleMinimum6 packed;
  uint8_t nibbles[128];  // column 64i + l in the low half of byte 32i + l, column 64i + 32 + l in its high half

  void integers(int8_t* codes, int8_t* scales, int8_t* minima) const;
  void encode(const float* values);
  /// The inverse of integers(); d and dmin are for the caller to set.
  void pack(const int8_t* codes, const int8_t* scales, const int8_t* minima);
};
static_assert(sizeof(BlockQ4_K) == 144 && alignof(BlockQ4_K) == 1);

}  // namespace autoglm::types
