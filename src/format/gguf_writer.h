// Writes GGUF version 3 files that llama.cpp loads: headers first, then tensor data as a stream.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/output_file.h"
#include "format/model_source.h"

namespace autoglm {

/// A tensor to be written. `shape` as in TensorEntry: row-major, outermost first, at most four dimensions.
struct GgufTensor {
  std::string name;
  Type type = Type::f32;
  std::vector<int64_t> shape;

  int64_t bytes() const;
};

/// Usage: construct, write() the data of all tensors in their order in pieces of any size, finish().
///
/// The file appears under its name only when it is whole (OutputFile).
///
/// Numbers take the widths that other readers of GGUF expect: integers u32 where they fit (i32 if negative, i32 in
/// lists), wider ones 64 bits, fractions f32. Padding between tensors follows general.alignment (32 if absent).
///
/// Errors: those of OutputFile; disk_full before anything is written if the space is known to be too small.
class GgufWriter {
 public:
  GgufWriter(const std::filesystem::path& path, const Metadata& metadata, std::vector<GgufTensor> tensors);

  /// The next bytes of tensor data. A piece may end one tensor and begin the next; padding is added between them.
  void write(std::span<const std::byte> data);
  /// Bytes of tensor data that are still to come, padding not counted.
  int64_t remaining() const;
  /// Brings the file to the disk and under its name. Every tensor must have been written.
  void finish();

 private:
  void put(std::span<const std::byte> data);
  void pad();

  std::vector<GgufTensor> tensors_;
  std::optional<OutputFile> file_;
  size_t tensor_ = 0;      // the one being written
  int64_t in_tensor_ = 0;  // bytes of it written so far
  int64_t position_ = 0;   // bytes of the file so far
  int64_t alignment_ = 32;
};

}  // namespace autoglm
