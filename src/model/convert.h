// Any model to a GGUF of F32, F16 or BF16 that llama.cpp loads too.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>

#include "format/model_source.h"

namespace autoglm {

struct ConvertOptions {
  Type type = Type::bf16;  // of matrices; norms, biases and routers stay F32
  Metadata tokenizer;      // tokenizer.* keys, for a source that is a folder; a GGUF's own are kept
  std::string name;        // general.name; empty: the folder's name
  std::function<void(int64_t done, int64_t total)> progress;  // bytes written; may be empty
};

/// Returns the bytes of the file. Layers for multi-token prediction are left out. Errors: bad_flag (a type that is not
/// F32, F16 or BF16), those of reading a model, those of GgufWriter.
int64_t convert_model(const ModelSource& source, const std::filesystem::path& out, const ConvertOptions& options);

}  // namespace autoglm
