#include "compress/quantize.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <optional>

#include "base/error.h"
#include "compress/gptq.h"
#include "compress/grid.h"
#include "compress/layer_walk.h"
#include "compress/scale_search.h"
#include "compress/scaled_row.h"
#include "compress/tensor_encoder.h"
#include "compress/tensor_store.h"
#include "model/convert.h"
#include "model/families/family.h"
#include "model/tensor_table.h"

namespace autoglm {
namespace {

bool is_matrix(const LocatedTensor& t) { return t.row->form == Form::matrix && t.row->role != Role::router; }

class Quantizer {
 public:
  Quantizer(const ModelSource& source, Runtime& runtime, const QuantizeOptions& options)
      : source_(source),
        runtime_(runtime),
        options_(options),
        spec_(read_spec(source)),
        tensors_(locate_tensors(spec_, source)),
        search_(spec_, tensors_, source.container(), [this](const LocatedTensor& t) { return type_of(t); }) {
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

  bool scaling() const { return options_.scaling != Scaling::none; }

  EncodeTarget target_of(const LocatedTensor& t) const {
    return {.type = type_of(t), .grid = grid_for(t), .columns = search_.scales().columns(t), .check = options_.check};
  }
  std::string store_key() const;
  void collect_importance();
  void scale_by_importance();
  void scale_group(const MapGroup& group, const Moments& moments, std::optional<GptqFactor>& factor);
  void run_gptq();
  void quantize_group(const MapGroup& group, const Moments& moments);
  const EncodedTensor* finished(const LocatedTensor& t);
  std::vector<std::byte> encoded(const LocatedTensor& t);
  std::vector<std::byte> for_file(const LocatedTensor& t);
  void require_text() const;

  const ModelSource& source_;
  Runtime& runtime_;
  const QuantizeOptions& options_;
  ArchSpec spec_;
  std::vector<LocatedTensor> tensors_;
  ScaleSearch search_;
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
    std::optional<GptqFactor> none;
    scale_group(group, moments, none);
    step("calibrating", weights);
  };
  LayerWalk(source_, runtime_, walk).run();
}

std::string Quantizer::store_key() const {
  std::string key = fmt::format("{} 3\n{}\n{} {} {}\n", name(options_.method), options_.recipe.yaml(), options_.damping,
                                options_.ordered, name(options_.scaling));
  for (const auto& [tensor, values] : options_.importance) {
    key +=
        tensor + " " + hex_hash({reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float)}) + "\n";
  }
  return key + source_key(source_, options_.windows);
}

const EncodedTensor* Quantizer::finished(const LocatedTensor& t) {
  if (const auto found = layer_.find(key(t)); found != layer_.end()) return &found->second;
  if (scaling() && !search_.known(t, *store_)) return nullptr;
  const Type type = type_of(t);
  auto bytes = store_->read(kept_name(t), type, bytes_of(t, type));
  if (!bytes) return nullptr;
  EncodedTensor encoded{.type = type, .bytes = std::move(*bytes), .columns = search_.scales().columns(t)};
  return &layer_.emplace(key(t), std::move(encoded)).first->second;
}

// The factor is made here where GPTQ will need it, and scaled.
void Quantizer::scale_group(const MapGroup& group, const Moments& moments, std::optional<GptqFactor>& factor) {
  if (!scaling()) return;
  if (moments.rows() == 0) {  // maps of several sites, whose inputs nobody saw
    for (const LocatedTensor* t : group.tensors) {
      if (!search_.known(*t, *store_)) search_.decide(*runtime_.pool, *t, {}, *store_);
    }
    return;
  }
  if (search_.known(*group.tensors.front(), *store_)) return;
  std::vector<ReaderPlan> readers;
  for (const LocatedTensor* t : group.tensors) {
    ReaderPlan& reader = readers.emplace_back();
    reader = {.tensor = t, .type = type_of(*t), .grid = grid_for(*t), .squares = moments.diagonal(), .cost = {}};
    reader.weighted = options_.method != QuantizeMethod::rtn;
    if (moments.full() && reader.grid && t->shape.count == 1) {
      if (!factor) factor.emplace(*runtime_.pool, moments, *reader.grid, options_.damping, options_.ordered);
      reader.cost.assign(factor->importance().begin(), factor->importance().end());
    } else {
      reader.cost = with_floor(moments.diagonal());
      if (reader.cost.empty()) reader.cost.assign(reader.squares.size(), 1.0f);
    }
  }
  search_.decide(*runtime_.pool, *group.tensors.front(), readers, *store_);
  const std::vector<float> columns = search_.scales().columns(*group.tensors.front());
  if (factor && !columns.empty()) factor->scale(columns);
}

// What a file says of inputs, for all sites whose readers it names.
void Quantizer::scale_by_importance() {
  std::map<std::string, std::vector<ReaderPlan>> readers;  // by site
  for (const LocatedTensor& t : tensors_) {
    const auto site = channels_read_by(spec_, t.row->role, t.layer);
    const auto found = importance_.find(name_of(t));
    if (!is_matrix(t) || !site || found == importance_.end()) continue;
    check_importance(t, found->second);
    ReaderPlan reader{.tensor = &t, .type = type_of(t), .grid = grid_for(t), .squares = found->second, .cost = {}};
    reader.cost = with_floor(found->second);
    reader.weighted = options_.method != QuantizeMethod::rtn;
    if (!reader.cost.empty()) readers[site->name()].push_back(std::move(reader));
  }
  for (const auto& [site, plans] : readers) {
    check();
    search_.decide(*runtime_.pool, *plans.front().tensor, plans, *store_);
  }
}

void Quantizer::quantize_group(const MapGroup& group, const Moments& moments) {
  std::optional<GptqFactor> factor;
  scale_group(group, moments, factor);
  for (const LocatedTensor* t : group.tensors) {
    check();
    const Type type = type_of(*t);
    const Grid* grid = grid_for(*t);
    methods_[name_of(*t)] = QuantizeMethod::gptq;
    if (finished(*t)) {
      count_resumed(*t);
      continue;
    }
    EncodedTensor encoded{.type = type, .bytes = {}, .columns = search_.scales().columns(*t)};
    if (moments.full() && grid && t->shape.count == 1) {
      if (!factor || !factor->fits(*grid)) {
        factor.emplace(*runtime_.pool, moments, *grid, options_.damping, options_.ordered);
        if (!encoded.columns.empty()) factor->scale(encoded.columns);
      }
      encoded.bytes = encode_tensor_gptq(*runtime_.pool, *t, target_of(*t), *factor);
    } else {
      methods_[name_of(*t)] = moments.rows() > 0 ? QuantizeMethod::importance : QuantizeMethod::rtn;
      std::vector<float> importance;
      if (moments.rows() > 0) importance = with_floor(moments.diagonal());
      encoded.bytes = encode_tensor(*runtime_.pool, *t, target_of(*t), std::move(importance));
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

// A tensor from the work folder, or made now.
std::vector<std::byte> Quantizer::encoded(const LocatedTensor& t) {
  check();
  const Type type = type_of(t);
  const bool gptq = options_.method == QuantizeMethod::gptq;
  const auto found = options_.method == QuantizeMethod::importance ? importance_.find(name_of(t)) : importance_.end();
  if (found != importance_.end()) methods_[name_of(t)] = QuantizeMethod::importance;
  if (auto kept = store_->read(kept_name(t), type, bytes_of(t, type))) {
    if (!gptq) count_resumed(t);
    return std::move(*kept);
  }
  if (gptq) fail(Code::work_failed, "a finished tensor has gone from the work folder", "run the command again");
  std::vector<float> importance;
  if (found != importance_.end()) importance = with_floor(found->second);
  std::vector<std::byte> bytes = encode_tensor(*runtime_.pool, t, target_of(t), std::move(importance));
  keep(t, type, bytes);
  return bytes;
}

// The same as it is written: what its rows write is divided by its scales.
std::vector<std::byte> Quantizer::for_file(const LocatedTensor& t) {
  std::vector<std::byte> bytes = encoded(t);
  const std::vector<float> rows = search_.scales().rows(t);
  const int64_t stride = row_bytes(type_of(t), t.shape.cols);
  runtime_.pool->parallel_for(std::ssize(rows), 64, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      scale_row(type_of(t), bytes.data() + r * stride, t.shape.cols, rows[static_cast<size_t>(r)]);
    }
  });
  return bytes;
}

void Quantizer::require_text() const {
  const bool importance = options_.method == QuantizeMethod::importance || scaling();
  const bool gptq = options_.method == QuantizeMethod::gptq;
  if (!options_.windows.empty() || (!gptq && !importance) || (!gptq && !options_.importance.empty())) return;
  const bool method = options_.method != QuantizeMethod::rtn;
  fail(Code::bad_flag, fmt::format("{} needs a calibration text", method ? name(options_.method) : "scaling"),
       "give one with --calib FILE");
}

QuantizeResult Quantizer::run(const std::filesystem::path& out) {
  QuantizeResult result = plan();
  for (const QuantizedTensor& row : result.tensors) total_ += row.values;
  require_text();
  const std::filesystem::path beside = out.string() + ".work";
  store_.emplace(options_.work.empty() ? beside : options_.work, store_key());
  importance_ = options_.importance;
  if (options_.method == QuantizeMethod::gptq) {
    run_gptq();
  } else if (!importance_.empty()) {
    if (scaling()) scale_by_importance();
  } else if (options_.method == QuantizeMethod::importance || scaling()) {
    total_ *= 2;
    collect_importance();
  }
  std::vector<std::byte> bytes;
  ConvertOptions convert;
  convert.tokenizer = options_.tokenizer;
  convert.name = options_.model_name;
  convert.file_type = gguf_file_type(options_.recipe.matrix);
  convert.type_of = [&](const LocatedTensor& t) { return type_of(t); };
  convert.encoded = [&](const LocatedTensor& t) -> std::span<const std::byte> {
    bytes = {};  // before the next one is made
    bytes = for_file(t);
    return bytes;
  };
  convert.adjust = [&](const LocatedTensor& t, int64_t row, std::span<float> values) {
    TensorScales(search_.scales(), t).apply(t, row, values);
  };
  if (search_.scaled() > 0) convert.metadata.set(std::string(kScalingKey), std::string(name(options_.scaling)));
  result.bytes = convert_model(source_, out, convert);
  store_->remove();
  for (QuantizedTensor& row : result.tensors) {
    if (const auto found = methods_.find(row.name); found != methods_.end()) row.method = found->second;
  }
  result.resumed = resumed_;
  result.scaled = search_.scaled();
  result.sites = search_.sites();
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
