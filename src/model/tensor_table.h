// The one tensor table: what every tensor of a model is called in GGUF and in safetensors, its shape in terms of the
// ArchSpec, and how a tensor-parallel split would cut it. Loader, converter, memory estimate and random weights all
// read it; nothing else in the program knows a tensor's name.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "format/model_source.h"
#include "model/arch_spec.h"

namespace autoglm {

/// `count` matrices of rows x cols. A vector (norm, bias) is one row. count 0: this layer has no such tensor.
struct TensorShape {
  int64_t count = 0;
  int64_t rows = 0;
  int64_t cols = 0;
  bool none() const { return count == 0; }
  int64_t elements() const { return count * rows * cols; }
};

/// How N devices would share a tensor: all have it, or its rows (outputs, heads), or its columns (inputs; an all-reduce
/// follows), or whole experts.
enum class Shard : uint8_t { replicated, rows, columns, experts };

enum class Form : uint8_t { matrix, norm, bias };

/// One row of the table. In names, {l} is the layer and {e} the expert. A `fused` name is a tensor that holds this one
/// among others, as the rows [fused_first, fused_first + rows) of fused_rows (of each matrix of a stack).
struct TensorRow {
  Role role;
  std::string_view word;  // for messages
  Form form;
  Shard shard;
  TensorShape (*shape)(const ArchSpec&, int layer);
  std::string_view gguf;
  std::string_view hf;
  std::string_view gguf_fused = {};
  std::string_view hf_fused = {};
  int64_t (*fused_first)(const ArchSpec&, int layer) = nullptr;
  int64_t (*fused_rows)(const ArchSpec&, int layer) = nullptr;
};

std::span<const TensorRow> tensor_table();
const TensorRow& tensor_row(Role role);

/// Calls visit(row, layer, shape) for every tensor that the spec has: those outside the layers (layer -1) first.
void for_each_tensor(const ArchSpec& spec, const std::function<void(const TensorRow&, int, const TensorShape&)>& visit);

/// The name with the family's renames and the layer filled in.
std::string gguf_name(const ArchSpec& spec, const TensorRow& row, int layer);

/// Some rows of a tensor of the file.
struct TensorPiece {
  const TensorEntry* entry = nullptr;
  int64_t first_row = 0;
  int64_t rows = 0;
};

/// Where a tensor of the table lies in a source: one piece is a view of the file, several must be put together
/// (experts stored one by one, heads of a fused kv_b).
struct LocatedTensor {
  const TensorRow* row = nullptr;
  int layer = -1;
  TensorShape shape;
  Type type = Type::f32;
  std::string name;  // of the (first) entry, for messages
  std::vector<TensorPiece> pieces;
  bool transposed = false;  // each piece is the transpose of its matrix (k_b inside kv_b)

  bool is_view() const { return pieces.size() == 1 && !transposed; }
  int64_t bytes() const;
  /// The bytes of a view.
  std::span<const std::byte> view() const;
  /// The rows of one piece as the tensor wants them; `scratch` holds them if they must be transposed.
  std::span<const std::byte> piece(size_t index, std::vector<std::byte>& scratch) const;
  /// Copies all pieces, in order, into out (bytes() long). Transposes F32, F16 and BF16.
  void copy_to(std::byte* out) const;
};

/// Finds every tensor that the spec needs, in the order of for_each_tensor.
/// Errors: bad_model_file (missing, wrong shape: both shapes are named), unsupported_model (a type that is no weight,
/// or a tensor in the file that nothing here understands: ignoring one would change the mathematics).
std::vector<LocatedTensor> locate_tensors(const ArchSpec& spec, const ModelSource& source);

}  // namespace autoglm
