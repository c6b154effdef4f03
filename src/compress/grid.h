// The grid of a type: which values a block can hold, and the search for the scales that hold some given values best.
//
// A quantizer goes through a row block by block: fit() chooses the scales of a block from its values and the weight of
// each value's error, code() rounds a value to the nearest that those scales allow, pack() writes the block. Codes are
// those of the type's integer form (format/quant_groups.h).
#pragma once

#include <cstddef>
#include <cstdint>

#include "format/type.h"

namespace autoglm {

/// The scales of a block that is being made. value = scale * code - minimum, one of each a group.
struct BlockScales {
  static constexpr int kGroups = 16;
  uint16_t d = 0;  // halves as stored: the scale itself, or the factor of all integer scales
  uint16_t dmin = 0;
  int8_t scales[kGroups] = {};  // types with integer scales
  int8_t minima[kGroups] = {};
  float scale[kGroups] = {};
  float minimum[kGroups] = {};
  float inverse[kGroups] = {};  // of scale; 0 where that is 0
};

struct Grid {
  Type type;
  int columns;  // of a block
  int group;    // columns that share a scale
  int code_min;
  int code_max;
  bool table;  // codes are the entries of IQ4_NL's table
  /// Chooses all scales for `columns` values x, so that the sum of h (x - value)^2 is small. h is not negative. Any x
  /// is taken: what is not finite gives some block.
  void (*fit)(const float* x, const float* h, BlockScales& out);
  /// Chooses group g's scale anew for its `group` values, the block's halves staying as they are. Types without integer
  /// scales have one group a block and no refit: null.
  void (*refit)(const float* x, const float* h, int g, BlockScales& out);
  void (*pack)(const BlockScales& scales, const int8_t* codes, std::byte* block);
  /// One scale for a whole row of n values instead of fit() block by block; null where blocks have their own.
  void (*fit_row)(const float* x, const float* h, int64_t n, BlockScales& out) = nullptr;
};

/// Null for a type that is not quantized.
const Grid* grid_of(Type type);

/// The same with one scale along each row (INT8 by channel): of Q8_0, and of Q8_A with one offset. Null for all others.
const Grid* row_grid_of(Type type);

/// The code of x in group g.
int8_t grid_code(const Grid& grid, const BlockScales& scales, int g, float x);

inline float grid_value(const BlockScales& scales, int g, int8_t code) {
  return scales.scale[g] * static_cast<float>(code) - scales.minimum[g];
}

/// Rounds a row to the grid: each value to the nearest, after fit() of each block. `h`: one weight a column, or null
/// for equal weights. n is a multiple of the grid's columns.
void encode_row(const Grid& grid, const float* x, const float* h, int64_t n, std::byte* out);

}  // namespace autoglm
