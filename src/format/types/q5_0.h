// Q5_0: 32 values, one half scale, 5-bit codes of -16..15. Value = scale * code.
#pragma once

#include "format/types/block.h"

namespace autoglm::types {

struct BlockQ5_0 {
  static constexpr int kColumns = 32;
  static constexpr GroupInfo kInfo{.group = 32, .bits = 5, .code_min = -16, .code_max = 15, .has_minimum = false};

  Half scale;
  uint8_t high_bits[4];  // bit c (little endian) is bit 4 of column c's code + 16
  uint8_t nibbles[16];   // the low four bits: column c in the low half of byte c, column c + 16 in its high half

  void groups(int8_t* codes, float* scales, float* minima) const;
  void encode(const float* values);
  /// Sets the codes that groups() gives; scale is for the caller to set.
  void pack(const int8_t* codes);
};
static_assert(sizeof(BlockQ5_0) == 22 && alignof(BlockQ5_0) == 1);

}  // namespace autoglm::types
