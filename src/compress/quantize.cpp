#include "compress/quantize.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <optional>

#include "base/error.h"
#include "compress/gptq.h"
#include "compress/grid.h"
#include "compress/layer_walk.h"
#include "compress/tensor_store.h"
#include "model/convert.h"
#include "model/families/family.h"
#include "model/tensor_table.h"

namespace autoglm {
namespace {

bool is_matrix(const LocatedTensor& t) { return t.row->form == Form::matrix && t.row->role != Role::router; }

// llama.cpp's general.file_type of a file that is mostly of this type.
int64_t file_type(Type type) {
  switch (type) {
    case Type::f32:
      return 0;
    case Type::f16:
      return 1;
    case Type::q4_0:
      return 2;
    case Type::q4_1:
      return 3;
    case Type::q8_0:
      return 7;
    case Type::q5_0:
      return 8;
    case Type::q5_1:
      return 9;
    case Type::q2_k:
      return 10;
    case Type::q3_k:
      return 11;
    case Type::q4_k:
      return 14;
    case Type::q5_k:
      return 16;
    case Type::q6_k:
      return 18;
    case Type::iq4_nl:
      return 25;
    case Type::iq4_xs:
      return 30;
    case Type::q8_a:
      return info(type).ggml_id;  // llama.cpp has no number for it
    default:
      return 32;
  }
}

class Quantizer {
 public:
  Quantizer(const ModelSource& source, Runtime& runtime, const QuantizeOptions& options)
      : source_(source),
        runtime_(runtime),
        options_(options),
        spec_(read_spec(source)),
        tensors_(locate_tensors(spec_, source)) {
    if (!options.requantize) refuse_quantized(source);
  }

  QuantizeResult plan() const;
  QuantizeResult run(const std::filesystem::path& out);

 private:
  using Key = std::pair<Role, int>;
  static Key key(const LocatedTensor& t) { return {t.row->role, t.layer}; }

  std::string name_of(const LocatedTensor& t) const;
  Type type_of(const LocatedTensor& t) const {
    return type_for_columns(options_.recipe.type_of(name_of(t)), t.shape.cols);
  }
  const Grid* grid_for(const LocatedTensor& t) const {
    const Grid* row = options_.recipe.row_scaled(name_of(t)) ? row_grid_of(type_of(t)) : nullptr;
    return row ? row : grid_of(type_of(t));
  }
  static int64_t bytes_of(const LocatedTensor& t, Type type) {
    return t.shape.count * t.shape.rows * row_bytes(type, t.shape.cols);
  }
  void check() const {
    if (options_.check) options_.check();
  }
  void step(std::string_view stage, int64_t weights) {
    done_ += weights;
    if (options_.progress) options_.progress(stage, done_, total_);
  }
  std::string kept_name(const LocatedTensor& t) const { return name_of(t) + "." + std::string(t.row->word); }
  void keep(const LocatedTensor& t, Type type, std::span<const std::byte> bytes) {
    store_->write(kept_name(t), type, bytes);
    step("quantizing", t.shape.elements());
  }
  void count_resumed(const LocatedTensor& t) {
    ++resumed_;
    total_ -= t.shape.elements();
  }

  /// Calls body(values, rows, first_row) for pieces of at most `most` rows of the tensor.
  template <typename F>
  void for_rows(const LocatedTensor& t, int64_t most, F&& body);
  std::vector<std::byte> encode(const LocatedTensor& t, const std::vector<float>& importance);
  std::vector<std::byte> encode_gptq(const LocatedTensor& t, const GptqFactor& factor);
  std::string store_key() const;
  void collect_importance();
  void run_gptq();
  void quantize_group(const MapGroup& group, const Moments& moments);
  const EncodedTensor* finished(const LocatedTensor& t);
  std::vector<std::byte> encoded(const LocatedTensor& t);

  const ModelSource& source_;
  Runtime& runtime_;
  const QuantizeOptions& options_;
  ArchSpec spec_;
  std::vector<LocatedTensor> tensors_;
  Importance importance_;
  std::map<std::string, QuantizeMethod> methods_;
  std::optional<TensorStore> store_;
  std::map<Key, EncodedTensor> layer_;  // of the layer that is being worked on
  int64_t done_ = 0;
  int64_t total_ = 0;
  int64_t resumed_ = 0;
};

std::string Quantizer::name_of(const LocatedTensor& t) const {
  // gate and up share a tensor of some families, and so a type.
  const bool fused = spec_.gguf_fused_gate_up && t.row->role == Role::gate;
  return gguf_name(spec_, fused ? tensor_row(Role::up) : *t.row, t.layer);
}

QuantizeResult Quantizer::plan() const {
  QuantizeResult result;
  int64_t values = 0;
  for (const LocatedTensor& t : tensors_) {
    if (!is_matrix(t)) continue;
    QuantizedTensor row{.name = name_of(t), .wanted = options_.recipe.type_of(name_of(t)), .type = type_of(t)};
    row.values = t.shape.elements();
    row.bytes = bytes_of(t, row.type);
    values += row.values;
    result.bytes += row.bytes;
    result.tensors.push_back(row);
  }
  result.bits_per_weight = 8.0 * static_cast<double>(result.bytes) / static_cast<double>(values);
  return result;
}

template <typename F>
void Quantizer::for_rows(const LocatedTensor& t, int64_t most, F&& body) {
  const int64_t cols = t.shape.cols;
  const int64_t stride = row_bytes(t.type, cols);
  std::vector<std::byte> scratch;
  std::vector<float> values;
  int64_t first = 0;
  for (size_t piece = 0; piece < t.pieces.size(); ++piece) {
    const std::span<const std::byte> data = t.piece(piece, scratch);
    const int64_t rows = std::ssize(data) / stride;
    for (int64_t begin = 0; begin < rows; begin += most) {
      check();
      const int64_t count = std::min(most, rows - begin);
      values.resize(static_cast<size_t>(count * cols));
      runtime_.pool->parallel_for(count, 8, [&](int64_t from, int64_t to) {
        for (int64_t r = from; r < to; ++r) {
          info(t.type).decode(data.data() + (begin + r) * stride, values.data() + r * cols, cols);
        }
      });
      body(values.data(), count, first + begin);
    }
    first += rows;
  }
}

constexpr int64_t kValuesAtOnce = 8 << 20;  // 32 MiB of float32

std::vector<std::byte> Quantizer::encode(const LocatedTensor& t, const std::vector<float>& importance) {
  const Type type = type_of(t);
  const int64_t cols = t.shape.cols;
  const int64_t stride = row_bytes(type, cols);
  const Grid* grid = grid_for(t);
  std::vector<std::byte> out(static_cast<size_t>(bytes_of(t, type)));
  if (!importance.empty() && std::ssize(importance) != cols && std::ssize(importance) != t.shape.count * cols) {
    fail(Code::bad_file,
         fmt::format("the importance of {} has {} columns; its rows have {}", t.name, importance.size(), cols),
         "the importance file is of another model");
  }
  const bool by_expert = std::ssize(importance) == t.shape.count * cols && t.shape.count > 1;
  for_rows(t, std::max<int64_t>(1, kValuesAtOnce / cols), [&](const float* values, int64_t count, int64_t first) {
    runtime_.pool->parallel_for(count, 8, [&](int64_t from, int64_t to) {
      for (int64_t r = from; r < to; ++r) {
        std::byte* to_row = out.data() + (first + r) * stride;
        const float* weights = importance.empty() ? nullptr : importance.data();
        if (weights && by_expert) weights += (first + r) / t.shape.rows * cols;
        if (grid) {
          encode_row(*grid, values + r * cols, weights, cols, to_row);
        } else {
          info(type).encode(values + r * cols, to_row, cols);
        }
      }
    });
  });
  return out;
}

std::vector<std::byte> Quantizer::encode_gptq(const LocatedTensor& t, const GptqFactor& factor) {
  const Type type = type_of(t);
  const int64_t stride = row_bytes(type, t.shape.cols);
  std::vector<std::byte> out(static_cast<size_t>(bytes_of(t, type)));
  for_rows(t, std::max<int64_t>(8, kValuesAtOnce / t.shape.cols / 8 * 8),
           [&](const float* values, int64_t count, int64_t first) {
             gptq(*runtime_.pool, *grid_for(t), factor, values, count, out.data() + first * stride);
           });
  return out;
}

// Columns that no input ever reached count a little, so that they are rounded sensibly all the same.
std::vector<float> with_floor(std::vector<float> importance) {
  const double sum = std::accumulate(importance.begin(), importance.end(), 0.0);
  const auto floor = static_cast<float>(1e-6 * sum / static_cast<double>(std::max<size_t>(importance.size(), 1)));
  for (float& value : importance) value = std::max(value, floor);
  if (!(sum > 0)) importance.clear();
  return importance;
}

void Quantizer::collect_importance() {
  WalkOptions walk;
  walk.windows = options_.windows;
  walk.full = [](const MapGroup&) { return false; };
  walk.check = options_.check;
  walk.visit = [&](const MapGroup& group, const Moments& moments) {
    int64_t weights = 0;
    for (const LocatedTensor* t : group.tensors) {
      importance_[name_of(*t)] = moments.diagonal();
      weights += t->shape.elements();
    }
    step("calibrating", weights);
  };
  LayerWalk(source_, runtime_, walk).run();
}

std::string Quantizer::store_key() const {
  std::string key = fmt::format("{} 2\n{}\n{} {}\n", name(options_.method), options_.recipe.yaml(), options_.damping,
                                options_.ordered);
  for (const auto& [tensor, values] : options_.importance) {
    key +=
        tensor + " " + hex_hash({reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float)}) + "\n";
  }
  return key + source_key(source_, options_.windows);
}

const EncodedTensor* Quantizer::finished(const LocatedTensor& t) {
  if (const auto found = layer_.find(key(t)); found != layer_.end()) return &found->second;
  const Type type = type_of(t);
  auto bytes = store_->read(kept_name(t), type, bytes_of(t, type));
  if (!bytes) return nullptr;
  return &layer_.emplace(key(t), EncodedTensor{type, std::move(*bytes)}).first->second;
}

void Quantizer::quantize_group(const MapGroup& group, const Moments& moments) {
  std::optional<GptqFactor> factor;
  for (const LocatedTensor* t : group.tensors) {
    check();
    const Type type = type_of(*t);
    const Grid* grid = grid_for(*t);
    methods_[name_of(*t)] = QuantizeMethod::gptq;
    if (finished(*t)) {
      count_resumed(*t);
      continue;
    }
    EncodedTensor encoded{.type = type, .bytes = {}};
    if (moments.full() && grid && t->shape.count == 1) {
      if (!factor || !factor->fits(*grid))
        factor.emplace(*runtime_.pool, moments, *grid, options_.damping, options_.ordered);
      encoded.bytes = encode_gptq(*t, *factor);
    } else {
      methods_[name_of(*t)] = moments.rows() > 0 ? QuantizeMethod::importance : QuantizeMethod::rtn;
      encoded.bytes = encode(*t, moments.rows() > 0 ? with_floor(moments.diagonal()) : std::vector<float>{});
    }
    keep(*t, type, encoded.bytes);
    layer_[key(*t)] = std::move(encoded);
  }
}

void Quantizer::run_gptq() {
  WalkOptions walk;
  walk.windows = options_.windows;
  walk.replaces = true;
  walk.check = options_.check;
  walk.full = [&](const MapGroup& group) {
    return std::ranges::any_of(group.tensors, [&](const LocatedTensor* t) { return grid_of(type_of(*t)) != nullptr; });
  };
  walk.known = [&](const MapGroup& group) {
    return std::ranges::all_of(group.tensors, [&](const LocatedTensor* t) { return finished(*t) != nullptr; });
  };
  walk.begin_layer = [&](int) { layer_.clear(); };
  walk.visit = [&](const MapGroup& group, const Moments& moments) { quantize_group(group, moments); };
  walk.resumed = [&](const MapGroup& group) {
    for (const LocatedTensor* t : group.tensors) {
      methods_[name_of(*t)] = t->shape.count == 1 ? QuantizeMethod::gptq : QuantizeMethod::importance;
      count_resumed(*t);
    }
  };
  walk.unseen = [&](const std::vector<const LocatedTensor*>& tensors) {
    quantize_group({.layer = tensors.front()->layer, .tensors = tensors}, {});
  };
  walk.replacement = [&](const LocatedTensor& t) {
    return t.row->role == Role::token_embedding ? nullptr : finished(t);
  };
  LayerWalk(source_, runtime_, walk).run();
  layer_.clear();
  // Tables that are only looked up have no inputs.
  for (const LocatedTensor& t : tensors_) {
    if (is_matrix(t) && !methods_.contains(name_of(t))) quantize_group({.layer = -1, .tensors = {&t}}, {});
    if (t.layer < 0) layer_.clear();
  }
}

// A tensor for the file, from the work folder or made now.
std::vector<std::byte> Quantizer::encoded(const LocatedTensor& t) {
  check();
  const Type type = type_of(t);
  const bool gptq = options_.method == QuantizeMethod::gptq;
  const auto found = importance_.find(name_of(t));
  if (!gptq && found != importance_.end()) methods_[name_of(t)] = QuantizeMethod::importance;
  if (auto kept = store_->read(kept_name(t), type, bytes_of(t, type))) {
    if (!gptq) count_resumed(t);
    return std::move(*kept);
  }
  if (gptq) fail(Code::work_failed, "a finished tensor has gone from the work folder", "run the command again");
  std::vector<std::byte> bytes =
      encode(t, found == importance_.end() ? std::vector<float>{} : with_floor(found->second));
  keep(t, type, bytes);
  return bytes;
}

QuantizeResult Quantizer::run(const std::filesystem::path& out) {
  QuantizeResult result = plan();
  for (const QuantizedTensor& row : result.tensors) total_ += row.values;
  const bool needs_text = options_.method != QuantizeMethod::rtn;
  if (needs_text && options_.windows.empty() &&
      (options_.importance.empty() || options_.method == QuantizeMethod::gptq)) {
    fail(Code::bad_flag, fmt::format("{} needs a calibration text", name(options_.method)),
         "give one with --calib FILE");
  }
  const std::filesystem::path beside = out.string() + ".work";
  store_.emplace(options_.work.empty() ? beside : options_.work, store_key());
  importance_ = options_.importance;
  if (options_.method == QuantizeMethod::importance && importance_.empty()) {
    total_ *= 2;
    collect_importance();
  }
  if (options_.method == QuantizeMethod::gptq) run_gptq();
  std::vector<std::byte> bytes;
  ConvertOptions convert;
  convert.tokenizer = options_.tokenizer;
  convert.name = options_.model_name;
  convert.file_type = file_type(options_.recipe.matrix);
  convert.type_of = [&](const LocatedTensor& t) { return type_of(t); };
  convert.encoded = [&](const LocatedTensor& t) -> std::span<const std::byte> {
    bytes = {};  // before the next one is made
    bytes = encoded(t);
    return bytes;
  };
  result.bytes = convert_model(source_, out, convert);
  store_->remove();
  for (QuantizedTensor& row : result.tensors) {
    if (const auto found = methods_.find(row.name); found != methods_.end()) row.method = found->second;
  }
  result.resumed = resumed_;
  return result;
}

}  // namespace

std::string_view name(QuantizeMethod method) {
  switch (method) {
    case QuantizeMethod::rtn:
      return "rtn";
    case QuantizeMethod::importance:
      return "importance";
    case QuantizeMethod::gptq:
      return "gptq";
  }
  return "";
}

void refuse_quantized(const ModelSource& source) {
  for (const LocatedTensor& t : locate_tensors(read_spec(source), source)) {
    if (!is_matrix(t) || !info(t.type).quantized) continue;
    fail(
        Code::bad_flag, fmt::format("the model is already quantized: {} is {}", t.name, info(t.type).name),
        "start from a BF16, F16 or F32 model; --requantize takes it as it is, and the error of both roundings adds up");
  }
}

QuantizeResult plan_quantize(const ModelSource& source, const QuantizeOptions& options) {
  Runtime none;
  return Quantizer(source, none, options).plan();
}

QuantizeResult quantize_model(const ModelSource& source, Runtime& runtime, const std::filesystem::path& out,
                              const QuantizeOptions& options) {
  return Quantizer(source, runtime, options).run(out);
}

}  // namespace autoglm
