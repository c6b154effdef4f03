// Q8_0: 32 values, one half scale, signed bytes. Value = scale * code.
#pragma once

#include "format/types/block.h"

namespace autoglm::types {

struct BlockQ8_0 {
  static constexpr int kColumns = 32;
  static constexpr GroupInfo kInfo{.group = 32, .bits = 8, .code_min = -128, .code_max = 127, .has_minimum = false};

  Half scale;
  int8_t values[32];

  void groups(int8_t* codes, float* scales, float* minima) const;
  void encode(const float* input);
  /// Sets the codes that groups() gives; scale is for the caller to set.
  void pack(const int8_t* codes);
};
static_assert(sizeof(BlockQ8_0) == 34 && alignof(BlockQ8_0) == 1);

}  // namespace autoglm::types
