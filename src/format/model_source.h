// A model as it lies on disk, whatever its container: tensors by name, and its metadata.
//
// GGUF (one file or split) and Hugging Face folders (safetensors, one or sharded, with config.json) both become a
// ModelSource. Layers above ask `container` only to choose the naming column of the tensor table and the reader of the
// configuration. Everything was checked when it was opened: offsets, counts, sizes and overlaps.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <variant>
#include <vector>

#include "base/mmap.h"
#include "format/type.h"

namespace autoglm {

/// A tensor in a mapped file. `shape` is row-major, outermost first (a matrix is [rows, columns]; a stack of experts is
/// [experts, rows, columns]), also for GGUF, which stores it the other way round. `data` lives as long as the source,
/// holds exactly the shape's bytes and may begin at any address (safetensors does not align). No dimension is 0.
struct TensorEntry {
  std::string name;
  Type type = Type::f32;
  std::vector<int64_t> shape;
  std::span<const std::byte> data;

  int64_t elements() const;
  int64_t columns() const { return shape.empty() ? 1 : shape.back(); }
  int64_t rows() const { return elements() / columns(); }
};

/// A file that holds tensors, as it was when it was mapped.
struct WeightFile {
  std::filesystem::path path;
  FileStamp stamp;
  std::span<const std::byte> bytes;
};

enum class Container { gguf, safetensors };

/// A GGUF metadata value. Arrays are homogeneous; numbers keep the file's width class.
using MetaArray = std::variant<std::vector<int64_t>, std::vector<double>, std::vector<bool>, std::vector<std::string>>;
using MetaValue = std::variant<int64_t, double, bool, std::string, MetaArray>;  // uint64 above int64 is refused

/// GGUF metadata, in file order, with typed look-up. A wrong type is Error bad_model_file naming the key.
class Metadata {
 public:
  void set(std::string key, MetaValue value);
  const MetaValue* find(std::string_view key) const;
  bool has(std::string_view key) const { return find(key) != nullptr; }
  int64_t integer(std::string_view key) const;  // missing: Error
  int64_t integer(std::string_view key, int64_t fallback) const;
  double number(std::string_view key) const;  // accepts integers too
  double number(std::string_view key, double fallback) const;
  bool boolean(std::string_view key, bool fallback) const;
  std::string text(std::string_view key) const;
  std::string text(std::string_view key, std::string_view fallback) const;
  const std::vector<std::string>* strings(std::string_view key) const;  // null if missing
  const std::vector<int64_t>* integers(std::string_view key) const;
  const std::vector<double>* numbers(std::string_view key) const;
  const std::vector<std::pair<std::string, MetaValue>>& all() const { return items_; }

 private:
  std::vector<std::pair<std::string, MetaValue>> items_;
  std::unordered_map<std::string, size_t> index_;
};

class ModelSource {
 public:
  virtual ~ModelSource() = default;

  Container container() const { return container_; }
  const std::vector<TensorEntry>& tensors() const { return tensors_; }
  const TensorEntry* find(std::string_view name) const;  // null if there is none
  /// GGUF metadata (empty for a folder).
  const Metadata& metadata() const { return metadata_; }
  /// Text of a file of a Hugging Face folder ("config.json", "tokenizer.json", "generation_config.json",
  /// "chat_template.jinja", "tokenizer_config.json", "tokenizer.model"), or nothing. Empty optional for GGUF.
  std::optional<std::string> file(std::string_view name) const;
  /// The path that the user gave, for messages.
  const std::filesystem::path& path() const { return path_; }
  /// Whether tensors lie in mapped files, so that their pages may be dropped and read again.
  bool mapped() const { return is_mapped_; }
  /// Every file that belongs to the model (splits, shards), for hashing and for the store.
  const std::vector<std::filesystem::path>& files() const { return files_; }
  /// The mapped files that hold the tensors, in a fixed order. Empty where there are none (weights made in memory).
  const std::vector<WeightFile>& weight_files() const { return weight_files_; }

 protected:
  void add_weight_file(const std::filesystem::path& path, const MappedFile& file);
  void index_tensors();  // builds the name index; a duplicate name is Error bad_model_file
  Container container_ = Container::gguf;
  bool is_mapped_ = false;
  std::vector<TensorEntry> tensors_;
  Metadata metadata_;
  std::filesystem::path path_;
  std::vector<std::filesystem::path> files_;
  std::vector<WeightFile> weight_files_;

 private:
  std::unordered_map<std::string_view, size_t> names_;
};

/// Opens a GGUF file (known by its magic; the other parts of a split file are found beside it) or a folder.
/// Errors: model_not_found, bad_model_file, unsupported_model (FP8, GPTQ, AWQ, IQ1..IQ3, TQ, MXFP4, ... by name).
/// `need_weights` false also accepts a folder that has only a configuration or a tokenizer, a GGUF file of a
/// vocabulary, and weights of types that are not built; a folder's tensors are then not opened, and those of a GGUF
/// file are listed only if all its types are built.
std::unique_ptr<ModelSource> open_model(const std::filesystem::path& path, bool need_weights = true);

}  // namespace autoglm
