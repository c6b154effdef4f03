// A row of stored weights times a number, without rounding its codes again.
#pragma once

#include <cstddef>
#include <cstdint>

#include "format/type.h"

namespace autoglm {

/// Multiplies a row of n stored values by `factor`. Block types keep their codes: only the scales of their blocks
/// change, which are halves, so that values are right to about 2^-11. F32, F16 and BF16 are rounded value by value.
void scale_row(Type type, std::byte* row, int64_t n, float factor);

}  // namespace autoglm
