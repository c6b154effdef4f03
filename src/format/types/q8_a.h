// Q8_A: 32 values, a half scale, a half offset, signed bytes. Value = scale * code + offset: INT8 that need not be
// symmetric. A type of this program's own: llama.cpp has none like it that weights may have (its Q8_1 is for
// activations), so the number in a GGUF header is one that it does not use, and it refuses such files.
#pragma once

#include "format/types/block.h"

namespace autoglm::types {

struct BlockQ8_A {
  static constexpr int kColumns = 32;
  static constexpr GroupInfo kInfo{.group = 32, .bits = 8, .code_min = -128, .code_max = 127, .has_minimum = true};

  Half scale;
  Half offset;  // the value of code 0
  int8_t values[32];

  void groups(int8_t* codes, float* scales, float* minima) const;
  void encode(const float* input);
  /// Sets the codes that groups() gives; scale and offset are for the caller to set.
  void pack(const int8_t* codes);
};
static_assert(sizeof(BlockQ8_A) == 36 && alignof(BlockQ8_A) == 1);

}  // namespace autoglm::types
