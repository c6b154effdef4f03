// Finished tensors of a long quantization, on disk: they need no memory until the file is written, and a run that was
// interrupted goes on after them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "format/model_source.h"
#include "format/type.h"

namespace autoglm {

class TensorStore {
 public:
  /// `folder` is made where it is missing. `key`: what the tensors depend on; those of another key are not found.
  TensorStore(std::filesystem::path folder, const std::string& key);

  bool has(const std::string& name, Type type, int64_t bytes) const;
  /// Nothing where it is missing, of another size, or damaged.
  std::optional<std::vector<std::byte>> read(const std::string& name, Type type, int64_t bytes) const;
  void write(const std::string& name, Type type, std::span<const std::byte> bytes) const;
  /// Removes this key's tensors, and the folder if nothing else is in it.
  void remove() const;

 private:
  std::filesystem::path file(const std::string& name, Type type) const;
  std::filesystem::path folder_;
  std::string prefix_;
};

/// Tells whether what was kept of an earlier run is of the same model files and the same text.
std::string source_key(const ModelSource& source, std::span<const std::vector<int32_t>> windows);

/// 32 hexadecimal digits.
std::string hex_hash(std::string_view text);

}  // namespace autoglm
