// Q5_1: 32 values, half scale and half offset, 5-bit codes of 0..31. Value = scale * code + offset.
#pragma once

#include "format/types/block.h"

namespace autoglm::types {

struct BlockQ5_1 {
  static constexpr int kColumns = 32;
  static constexpr GroupInfo kInfo{.group = 32, .bits = 5, .code_min = 0, .code_max = 31, .has_minimum = true};

  Half scale;
  Half offset;
  uint8_t high_bits[4];  // bit c (little endian) is bit 4 of column c's code
  uint8_t nibbles[16];   // the low four bits: column c in the low half of byte c, column c + 16 in its high half

  void groups(int8_t* codes, float* scales, float* minima) const;
  void encode(const float* values);
  /// Sets the codes that groups() gives; scale and offset are for the caller to set.
  void pack(const int8_t* codes);
};
static_assert(sizeof(BlockQ5_1) == 24 && alignof(BlockQ5_1) == 1);

}  // namespace autoglm::types
