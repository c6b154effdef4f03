// Finding the table's tensors in a source.
#include <charconv>
#include <cstring>

#include "base/error.h"
#include "model/tensor_table.h"

namespace autoglm {
namespace {

std::string fill_in(std::string_view pattern, int layer, int64_t expert = 0) {
  std::string out;
  for (size_t i = 0; i < pattern.size(); ++i) {
    if (pattern.compare(i, 3, "{l}") == 0 || pattern.compare(i, 3, "{e}") == 0) {
      out += std::to_string(pattern[i + 1] == 'l' ? layer : expert);
      i += 2;
    } else {
      out += pattern[i];
    }
  }
  return out;
}

std::string shape_text(const std::vector<int64_t>& shape) {
  std::string out = "[";
  for (size_t i = 0; i < shape.size(); ++i) out += (i ? ", " : "") + std::to_string(shape[i]);
  return out + "]";
}

std::vector<int64_t> file_shape(const TensorRow& row, const TensorShape& shape) {
  if (row.form != Form::matrix) return {shape.cols};
  if (row.shard == Shard::experts) return {shape.count, shape.rows, shape.cols};
  return {shape.rows, shape.cols};
}

std::string_view renamed(const std::vector<Rename>& names, Role role, std::string_view otherwise) {
  for (const Rename& rename : names) {
    if (rename.role == role) return rename.name;
  }
  return otherwise;
}

[[noreturn]] void fail_shape(const TensorEntry& entry, const std::vector<int64_t>& wanted) {
  fail(Code::bad_model_file,
       "tensor '" + entry.name + "' has shape " + shape_text(entry.shape) + ", the configuration asks for " +
           shape_text(wanted),
       "the weights and the configuration are not of one model, or the file is damaged");
}

class Locator {
 public:
  Locator(const ArchSpec& spec, const ModelSource& source) : spec_(spec), source_(source) {}

  std::vector<LocatedTensor> run() {
    std::vector<LocatedTensor> found;
    for_each_tensor(spec_, [&](const TensorRow& row, int layer, const TensorShape& shape) {
      if (row.role == Role::rope_factors) return;  // the spec holds its values
      found.push_back(locate(row, layer, shape));
    });
    refuse_unknown_tensors();
    return found;
  }

 private:
  LocatedTensor locate(const TensorRow& row, int layer, const TensorShape& shape) {
    LocatedTensor out{.row = &row, .layer = layer, .shape = shape, .name = {}, .pieces = {}};
    const bool gguf = source_.container() == Container::gguf;
    const std::string_view name =
        gguf ? renamed(spec_.gguf_names, row.role, row.gguf) : renamed(spec_.hf_names, row.role, row.hf);
    const std::string_view fused = gguf ? row.gguf_fused : row.hf_fused;
    const bool ok =
        take_experts(out, name) || take(out, fill_in(name, layer), false) || take(out, fill_in(fused, layer), true);
    if (!ok) {
      fail(Code::bad_model_file,
           "the model has no tensor '" + fill_in(name.empty() ? fused : name, layer) + "' (" + std::string(row.word) +
               ")",
           "the file is incomplete, or its configuration is of another model");
    }
    check_type(out);
    return out;
  }

  // Checkpoints that were saved without their head (for embeddings) lack the prefix.
  const TensorEntry* find(const std::string& name) const {
    constexpr std::string_view kPrefix = "model.";
    const TensorEntry* entry = source_.find(name);
    return entry != nullptr || !name.starts_with(kPrefix) ? entry : source_.find(name.substr(kPrefix.size()));
  }

  // Experts that a Hugging Face folder stores one by one.
  bool take_experts(LocatedTensor& out, std::string_view pattern) {
    if (pattern.find("{e}") == std::string_view::npos) return false;
    for (int64_t e = 0; e < out.shape.count; ++e) {
      const TensorEntry* entry = find(fill_in(pattern, out.layer, e));
      if (!entry) {
        if (e == 0) return false;
        fail(Code::bad_model_file, "the model has no tensor '" + fill_in(pattern, out.layer, e) + "'");
      }
      const std::vector<int64_t> wanted{out.shape.rows, out.shape.cols};
      if (entry->shape != wanted) fail_shape(*entry, wanted);
      add(out, *entry, 0, out.shape.rows);
    }
    return true;
  }

  // A tensor of its own, or rows of a fused one: the number of rows says which.
  bool take(LocatedTensor& out, const std::string& name, bool fused_only) {
    const TensorEntry* entry = name.empty() ? nullptr : find(name);
    if (!entry) return false;
    const TensorRow& row = *out.row;
    const std::vector<int64_t> wanted = file_shape(row, out.shape);
    if (!fused_only && entry->shape == wanted) {
      add(out, *entry, 0, out.shape.count * out.shape.rows);
      return true;
    }
    if (!row.fused_rows) fail_shape(*entry, wanted);
    const int64_t total = row.fused_rows(spec_, out.layer);
    const int64_t first = row.fused_first(spec_, out.layer);
    if (row.form != Form::matrix) return take_fused_vector(out, *entry, first, total);
    if (row.shard == Shard::experts) return take_fused_stack(out, *entry, first, total);
    if (entry->shape != std::vector<int64_t>{total, out.shape.cols}) fail_shape(*entry, wanted);
    add(out, *entry, first, out.shape.rows);
    return true;
  }

  // A bias inside a fused one: counted in "rows" of one value.
  bool take_fused_vector(LocatedTensor& out, const TensorEntry& entry, int64_t first, int64_t total) {
    if (entry.shape != std::vector<int64_t>{total}) fail_shape(entry, {total});
    add(out, entry, first, out.shape.cols);
    return true;
  }

  // Stacks: [experts, 2 * ffn, hidden] holds gate and up; [heads * (nope + value), kv_rank] holds k_b^T and v_b.
  bool take_fused_stack(LocatedTensor& out, const TensorEntry& entry, int64_t first, int64_t total) {
    out.transposed = out.row->role == Role::k_b;
    const int64_t rows = out.transposed ? out.shape.cols : out.shape.rows;
    const int64_t cols = out.transposed ? out.shape.rows : out.shape.cols;
    const bool stacked = entry.shape == std::vector<int64_t>{out.shape.count, total, cols};
    const bool flat = entry.shape == std::vector<int64_t>{out.shape.count * total, cols};
    if (!stacked && !flat) fail_shape(entry, {out.shape.count, total, cols});
    for (int64_t i = 0; i < out.shape.count; ++i) add(out, entry, i * total + first, rows);
    return true;
  }

  void add(LocatedTensor& out, const TensorEntry& entry, int64_t first_row, int64_t rows) {
    if (out.pieces.empty()) {
      out.type = entry.type;
      out.name = entry.name;
    } else if (entry.type != out.type) {
      fail(Code::unsupported_model, "tensor '" + entry.name + "' is " + std::string(info(entry.type).name) +
                                        " where '" + out.name + "' is " + std::string(info(out.type).name));
    }
    used_.insert(entry.name);
    if (!out.transposed && !out.pieces.empty()) {
      TensorPiece& last = out.pieces.back();
      if (last.entry == &entry && last.first_row + last.rows == first_row) {
        last.rows += rows;
        return;
      }
    }
    out.pieces.push_back({&entry, first_row, rows});
  }

  void check_type(const LocatedTensor& tensor) const {
    const bool plain = tensor.type == Type::f32 || tensor.type == Type::f16 || tensor.type == Type::bf16;
    const bool ok = plain || (info(tensor.type).quantized && tensor.row->form == Form::matrix && !tensor.transposed);
    if (ok) return;
    fail(Code::unsupported_model,
         "tensor '" + tensor.name + "' (" + std::string(tensor.row->word) + ") is stored as " +
             std::string(info(tensor.type).name) + ", which is not supported for it",
         "convert the model again, with F16 or BF16 for this tensor");
  }

  // Buffers that old checkpoints saved, layers for multi-token prediction, and what the spec already took.
  bool harmless(std::string_view name) const {
    if (name.ends_with("rotary_emb.inv_freq") || name.ends_with("rotary_pos_emb.inv_freq")) return true;
    if (name == tensor_row(Role::rope_factors).gguf && !spec_.rope_origins.empty()) {
      return !spec_.rope_origins[0].divisors.empty();
    }
    if (spec_.tied_head && name == tensor_row(Role::output).hf) return true;  // a copy of the embedding
    for (std::string_view prefix : {"blk.", "model.layers."}) {
      if (!name.starts_with(prefix)) continue;
      int layer = -1;
      std::from_chars(name.data() + prefix.size(), name.data() + name.size(), layer);
      if (layer >= spec_.layers && layer < spec_.layers + spec_.mtp_layers) return true;
    }
    return false;
  }

  void refuse_unknown_tensors() const {
    for (const TensorEntry& entry : source_.tensors()) {
      if (used_.contains(entry.name) || harmless(entry.name)) continue;
      fail(Code::unsupported_model,
           "the model holds a tensor '" + entry.name + "' that architecture '" + spec_.architecture +
               "' is not known to have",
           "it may be a variant with other mathematics, or have adapters merged in; leaving it out would give wrong "
           "answers");
    }
  }

  const ArchSpec& spec_;
  const ModelSource& source_;
  std::unordered_set<std::string_view> used_;
};

// Bytes of a row of a piece: a bias counts single values.
int64_t piece_row_bytes(const LocatedTensor& t) {
  if (t.row->form != Form::matrix && t.pieces[0].rows == t.shape.cols) return row_bytes(t.type, 1);
  return row_bytes(t.type, t.transposed ? t.shape.rows : t.shape.cols);
}

template <typename T>
void transpose(const std::byte* in, std::byte* out, int64_t rows, int64_t cols) {
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = 0; c < cols; ++c) {
      std::memcpy(out + (c * rows + r) * static_cast<int64_t>(sizeof(T)),
                  in + (r * cols + c) * static_cast<int64_t>(sizeof(T)), sizeof(T));
    }
  }
}

}  // namespace

std::string gguf_name(const ArchSpec& spec, const TensorRow& row, int layer) {
  return fill_in(renamed(spec.gguf_names, row.role, row.gguf), layer);
}

int64_t LocatedTensor::bytes() const { return row_bytes(type, shape.cols) * shape.rows * shape.count; }

std::span<const std::byte> LocatedTensor::view() const {
  AUTOGLM_CHECK(is_view(), "the tensor is not one run of bytes");
  const int64_t stride = piece_row_bytes(*this);
  return pieces[0].entry->data.subspan(static_cast<size_t>(pieces[0].first_row * stride), static_cast<size_t>(bytes()));
}

std::span<const std::byte> LocatedTensor::piece(size_t index, std::vector<std::byte>& scratch) const {
  const int64_t stride = piece_row_bytes(*this);
  const TensorPiece& piece = pieces[index];
  const auto bytes = piece.entry->data.subspan(static_cast<size_t>(piece.first_row * stride),
                                               static_cast<size_t>(piece.rows * stride));
  if (!transposed) return bytes;
  scratch.resize(bytes.size());
  if (type == Type::f32) {
    transpose<uint32_t>(bytes.data(), scratch.data(), piece.rows, shape.rows);
  } else {
    transpose<uint16_t>(bytes.data(), scratch.data(), piece.rows, shape.rows);
  }
  return scratch;
}

void LocatedTensor::copy_to(std::byte* out) const {
  std::vector<std::byte> scratch;
  for (size_t i = 0; i < pieces.size(); ++i) {
    const std::span<const std::byte> bytes = piece(i, scratch);
    std::memcpy(out, bytes.data(), bytes.size());
    out += bytes.size();
  }
}

std::vector<LocatedTensor> locate_tensors(const ArchSpec& spec, const ModelSource& source) {
  return Locator(spec, source).run();
}

}  // namespace autoglm
