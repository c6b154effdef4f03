// What keys and values depend on beside tokens: the weights, and how they compute.
#pragma once

#include <string>

#include "format/model_source.h"
#include "kernels/backend.h"

namespace autoglm {

/// Bytes that are equal only for the same weights computed the same way, by the same build of this program. The files
/// are told by inode, size, time of change, header and samples of their content, so a file that was moved is the same
/// and one that was replaced is not. Empty for weights that come from no file.
std::string weights_identity(const ModelSource& source, const Backend& backend, Precision precision);

}  // namespace autoglm
