// Q4_0: 32 values, one half scale, 4-bit codes of -8..7. Value = scale * code.
#pragma once

#include "format/types/block.h"

namespace autoglm::types {

struct BlockQ4_0 {
  static constexpr int kColumns = 32;
  static constexpr GroupInfo kInfo{.group = 32, .bits = 4, .code_min = -8, .code_max = 7, .has_minimum = false};

  Half scale;
  uint8_t nibbles[16];  // code + 8: column c in the low half of byte c, column c + 16 in its high half

  void groups(int8_t* codes, float* scales, float* minima) const;
  void encode(const float* values);
  /// Sets the codes that groups() gives; scale is for the caller to set.
  void pack(const int8_t* codes);
};
static_assert(sizeof(BlockQ4_0) == 18 && alignof(BlockQ4_0) == 1);

}  // namespace autoglm::types
