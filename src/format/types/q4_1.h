// Q4_1: 32 values, half scale and half offset, 4-bit codes of 0..15. Value = scale * code + offset.
#pragma once

#include "format/types/block.h"

namespace autoglm::types {

struct BlockQ4_1 {
  static constexpr int kColumns = 32;
  static constexpr GroupInfo kInfo{.group = 32, .bits = 4, .code_min = 0, .code_max = 15, .has_minimum = true};

  Half scale;
  Half offset;
  uint8_t nibbles[16];  // column c in the low half of byte c, column c + 16 in its high half

  void groups(int8_t* codes, float* scales, float* minima) const;
  void encode(const float* values);
  /// Sets the codes that groups() gives; scale and offset are for the caller to set.
  void pack(const int8_t* codes);
};
static_assert(sizeof(BlockQ4_1) == 20 && alignof(BlockQ4_1) == 1);

}  // namespace autoglm::types
