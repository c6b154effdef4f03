// The integer form of a quantized row, which every packed layout is made from.
//
// A quantized type is a decoder from its blocks to integer codes, scales and minima, written once in format/types/.
// For column c of group g = c / group:  value = scale[g] * code[c] - minimum[g].  Kernels pack these and never see a
// block.
#pragma once

#include <cstddef>
#include <cstdint>

#include "format/type.h"

namespace autoglm {

/// What the integer form of a type looks like.
struct GroupInfo {
  int group;     // columns that share a scale: 16 or 32
  int bits;      // bits that a code needs when stored unsigned: 2..8
  int code_min;  // codes lie in [code_min, code_max] (for example -8..7, 0..15, -128..127)
  int code_max;
  bool has_minimum;  // whether minimum[] can be non-zero
};

/// The integer form of `type`; only for quantized types (checked).
GroupInfo group_info(Type type);

/// Decodes `n` columns (a multiple of the block) into n codes and n / group scales and minima.
/// scale * code - minimum equals TypeInfo::decode within one rounding of float32 (tested over all types).
void decode_groups(Type type, const std::byte* blocks, int64_t n, int8_t* codes, float* scales, float* minima);

}  // namespace autoglm
