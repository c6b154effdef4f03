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
  bool has_minimum;             // whether minimum[] can be non-zero
  bool integer_scales = false;  // scales and minima are small integers times a float16 by 256 columns
};

/// The integer form of `type`; only for quantized types (checked).
GroupInfo group_info(Type type);

/// Decodes `n` columns (a multiple of the block) into n codes and n / group scales and minima.
/// scale * code - minimum equals TypeInfo::decode within one rounding of float32 (tested over all types).
void decode_groups(Type type, const std::byte* blocks, int64_t n, int8_t* codes, float* scales, float* minima);

/// Where decode_integers() writes n columns: n codes, n / group scales and minima, n / 256 float16 factors of each.
/// scale[g] = d * scales[g], minimum[g] = dmin * minima[g].
struct IntegerForm {
  int8_t* codes;
  int8_t* scales;
  int8_t* minima;  // this and dmin are left alone where the type has no minimum
  uint16_t* d;
  uint16_t* dmin;
};

/// decode_groups() with nothing multiplied out; only for types with GroupInfo::integer_scales (checked).
void decode_integers(Type type, const std::byte* blocks, int64_t n, const IntegerForm& out);

}  // namespace autoglm
