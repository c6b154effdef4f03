// GGUF version 2 and 3, little endian, from bytes in memory. Format: ggml's docs/gguf.md.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "format/model_source.h"

namespace autoglm {

struct GgufContents {
  Metadata metadata;
  std::vector<TensorEntry> tensors;  // their data points into the bytes
};

/// Reads and checks a whole file. `where` names it in messages. Errors: bad_model_file, unsupported_model. With
/// `need_weights` false, tensors of types that are not built are no error, and then no tensor is listed at all.
GgufContents read_gguf(std::span<const std::byte> bytes, const std::string& where, bool need_weights);

/// Whether the bytes begin as a GGUF file does.
bool is_gguf(std::span<const std::byte> bytes);

/// The parts of a split model: given any part (NAME-00002-of-00003.gguf), the names of all, in order. Empty if the name
/// has not this form.
std::vector<std::string> gguf_split_names(const std::string& file_name);

}  // namespace autoglm
