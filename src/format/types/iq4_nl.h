// IQ4_NL: 32 values, one half scale, 4-bit indices into a table of 16 signed bytes. Value = scale * table[index].
// The codes of its integer form are the table's values, so they need 8 bits; a kernel that keeps 4-bit storage packs
// the indices from the file's own block instead.
#pragma once

#include "format/types/block.h"

namespace autoglm::types {

/// The code book of IQ4_NL and IQ4_XS, ascending (fixed by the format).
inline constexpr int8_t kIq4Table[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};

/// Index of the table's value nearest to x; the lower of two equally near. NaN gives 0.
int iq4_index(float x);

/// The scale for 32 values. Each of the table's larger entries is tried as the place of the largest value (the table is
/// not symmetric), with the scale that fits best (least squares) for the indices which that gives; the smallest squared
/// error wins.
float iq4_step(const float* values);

struct BlockIQ4_NL {
  static constexpr int kColumns = 32;
  static constexpr GroupInfo kInfo{.group = 32, .bits = 8, .code_min = -127, .code_max = 113, .has_minimum = false};

  Half scale;
  uint8_t nibbles[16];  // column c in the low half of byte c, column c + 16 in its high half

  void groups(int8_t* codes, float* scales, float* minima) const;
  void encode(const float* values);
  /// Sets the codes that groups() gives; scale is for the caller to set.
  void pack(const int8_t* codes);
};
static_assert(sizeof(BlockIQ4_NL) == 18 && alignof(BlockIQ4_NL) == 1);

}  // namespace autoglm::types
