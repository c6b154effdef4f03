// safetensors from bytes in memory: one file, and the index of a sharded model.
// Format: https://github.com/huggingface/safetensors, "Format".
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "format/model_source.h"

namespace autoglm {

/// Reads and checks a whole file; the tensors' data points into the bytes. `where` names the file in messages.
/// Errors: bad_model_file, unsupported_model (FP8 and unsigned types, by name).
std::vector<TensorEntry> read_safetensors(std::span<const std::byte> bytes, const std::string& where);

/// model.safetensors.index.json: pairs of tensor and file name, in the order of the file. A file name that leads out of
/// the folder is refused.
std::vector<std::pair<std::string, std::string>> read_safetensors_index(std::string_view json,
                                                                        const std::string& where);

}  // namespace autoglm
