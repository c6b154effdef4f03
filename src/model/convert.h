// Any model to a GGUF of F32, F16 or BF16 that llama.cpp loads too.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>

#include "format/model_source.h"
#include "model/tensor_table.h"

namespace autoglm {

struct ConvertOptions {
  Type type = Type::bf16;  // of matrices; norms, biases and routers stay F32
  Metadata tokenizer;      // tokenizer.* keys, for a source that is a folder; a GGUF's own are kept
  std::string name;        // general.name; empty: the folder's name
  std::function<void(int64_t done, int64_t total)> progress;  // bytes written; may be empty
  // For a quantizer, instead of `type`: the type of a matrix, its rows in that type (in the source's order, valid until
  // the next call), and general.file_type.
  std::function<Type(const LocatedTensor&)> type_of{};
  std::function<std::span<const std::byte>(const LocatedTensor&)> encoded{};
  int64_t file_type = 0;
  /// Changes the values of a row (as the source counts them; a vector is one) of a tensor that `encoded` does not give,
  /// before they are stored. May be empty.
  std::function<void(const LocatedTensor&, int64_t row, std::span<float> values)> adjust{};
  Metadata metadata{};  // further keys of the file
};

/// Returns the bytes of the file. Layers for multi-token prediction are left out. Errors: bad_flag (a type that is not
/// F32, F16 or BF16), those of reading a model, those of GgufWriter.
int64_t convert_model(const ModelSource& source, const std::filesystem::path& out, const ConvertOptions& options);

}  // namespace autoglm
