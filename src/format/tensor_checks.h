// Checks that both containers make before a tensor is believed.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "format/model_source.h"

namespace autoglm {

/// Bytes of a tensor of this type and shape. Error bad_model_file naming `tensor` (of file `where`) if a dimension is
/// not positive, the row is not a whole number of blocks, or the size overflows.
int64_t checked_tensor_bytes(Type type, std::span<const int64_t> shape, const std::string& tensor,
                             const std::string& where);

/// Error bad_model_file if two tensors of a file share bytes.
void check_overlaps(std::span<const TensorEntry> tensors, const std::string& where);

}  // namespace autoglm
