#include "compress/layer_runner.h"

#include <algorithm>
#include <array>

#include "base/error.h"
#include "model/channel_scales.h"
#include "model/families/family.h"
#include "model/forward.h"
#include "model/memory_plan.h"
#include "model/packed_weights.h"
#include "model/slice.h"

namespace autoglm {
namespace {

constexpr int64_t kBatchRows = 1024;  // or one window, if that is longer

// `scales`: see EncodedTensor::columns.
std::vector<std::byte> bytes_as_bf16(WorkerPool& pool, const LocatedTensor& tensor, Type type,
                                     std::span<const std::byte> data, const std::vector<float>& scales) {
  const int64_t cols = tensor.shape.cols;
  const int64_t stride = row_bytes(type, cols);
  std::vector<std::byte> out(static_cast<size_t>(tensor.shape.elements() * 2));
  TensorScales inverse;
  for (const float scale : scales) inverse.columns.push_back(1.0f / scale);
  pool.parallel_for(tensor.shape.elements() / cols, 16, [&](int64_t begin, int64_t end) {
    std::vector<float> values(static_cast<size_t>(cols));
    for (int64_t r = begin; r < end; ++r) {
      info(type).decode(data.data() + r * stride, values.data(), cols);
      inverse.apply(tensor, r, values);
      info(Type::bf16).encode(values.data(), out.data() + r * cols * 2, cols);
    }
  });
  return out;
}

}  // namespace

LayerRunner::LayerRunner(const ModelSource& source, Runtime& runtime, std::span<const std::vector<int32_t>> windows)
    : source_(source),
      runtime_(runtime),
      spec_(read_spec(source)),
      tensors_(locate_tensors(spec_, source)),
      observer_(*runtime.backend) {
  int64_t longest = 0;
  const auto add = [](Batch& batch, std::span<const int32_t> window) {
    const auto rows = std::ssize(window);
    int32_t block = batch.blocks.empty() ? 0 : batch.blocks.back().back() + 1;
    auto& blocks = batch.blocks.emplace_back(static_cast<size_t>((rows + kKvBlock - 1) / kKvBlock));
    for (int32_t& b : blocks) b = block++;
    batch.segments.push_back({.blocks = {}, .past = 0, .row_begin = std::ssize(batch.tokens), .rows = rows});
    batch.tokens.insert(batch.tokens.end(), window.begin(), window.end());
    for (int64_t i = 0; i < rows; ++i) batch.positions.push_back(static_cast<int32_t>(i));
  };
  for (const auto& window : windows) {
    if (window.empty()) continue;
    for (const int32_t token : window) {
      AUTOGLM_CHECK(token >= 0 && token < spec_.vocabulary, "token outside the vocabulary");
    }
    if (batches_.empty() || std::ssize(batches_.back().tokens) + std::ssize(window) > kBatchRows) {
      batches_.emplace_back();
    }
    add(batches_.back(), window);
    longest = std::max(longest, std::ssize(window));
  }
  AUTOGLM_CHECK(!batches_.empty(), "calibration needs text");
  add(trial_, std::array<int32_t, 1>{0});
  const auto finish = [&](Batch& batch) {
    for (size_t i = 0; i < batch.segments.size(); ++i) batch.segments[i].blocks = batch.blocks[i];
    most_rows_ = std::max(most_rows_, std::ssize(batch.tokens));
    most_blocks_ = std::max<int64_t>(most_blocks_, batch.blocks.back().back() + 1);
  };
  finish(trial_);
  std::ranges::for_each(batches_, finish);
  for (const RopeSpec& rope : spec_.ropes) ropes_.push_back(observer_.add_rope(rope));
  observer_.reserve(step_limits(spec_, most_rows_, longest));
}

const LocatedTensor* LayerRunner::find(Role role) const {
  const auto found = std::ranges::find(tensors_, role, [](const LocatedTensor& t) { return t.row->role; });
  return found != tensors_.end() ? &*found : nullptr;
}

std::vector<float> LayerRunner::embed(int batch, const EncodedTensor* table) const {
  const LocatedTensor* own = find(Role::token_embedding);
  AUTOGLM_CHECK(own && own->is_view(), "the embedding lies in one piece");
  const Type type = table ? table->type : own->type;
  const std::span<const std::byte> data = table ? std::span<const std::byte>(table->bytes) : own->view();
  const auto width = static_cast<size_t>(spec_.hidden);
  const auto stride = static_cast<size_t>(row_bytes(type, spec_.hidden));
  const std::vector<int32_t>& tokens = batches_[static_cast<size_t>(batch)].tokens;
  std::vector<float> rows(tokens.size() * width);
  for (size_t i = 0; i < tokens.size(); ++i) {
    info(type).decode(data.data() + static_cast<size_t>(tokens[i]) * stride, rows.data() + i * width, spec_.hidden);
  }
  for (float& value : rows) value *= spec_.embed_scale;
  return rows;
}

RunnableLayer LayerRunner::load(int index) {
  RunnableLayer layer;
  layer.index = index;
  layer.spec = slice_layer(spec_, index);
  std::vector<const LocatedTensor*> sources;
  std::vector<LocatedTensor> moved;  // the same, as tensors of layer 0
  for (const LocatedTensor& tensor : tensors_) {
    if (tensor.layer != index) continue;
    sources.push_back(&tensor);
    moved.push_back(tensor);
    moved.back().layer = 0;
  }
  LoadOptions options;
  options.precision = Precision::f32;  // matrices stay where they are mapped, until they are replaced below
  options.kv_type = KvType::f32;
  layer.weights = load_weights(layer.spec, source_, moved, runtime_, options);
  for (const LocatedTensor* tensor : sources) {
    Weight* slot = weight_slot(layer.weights.layers[0], tensor->row->role);
    if (!slot) continue;
    layer.tensors[slot] = tensor;
    if (tensor->row->role != Role::router) put(layer, *tensor, load_matrix(*tensor));
  }
  layer.activations = make_activations(layer.spec, observer_, most_rows_, 1);
  layer.kv = observer_.make_kv(kv_layers(layer.spec, KvType::f32), most_blocks_);
  return layer;
}

LoadedMatrix LayerRunner::load_matrix(const LocatedTensor& tensor) {
  if (tensor.is_view()) return load_matrix(tensor, tensor.type, tensor.view());
  std::vector<std::byte> whole(static_cast<size_t>(tensor.bytes()));
  tensor.copy_to(whole.data());
  LoadedMatrix out = load_matrix(tensor, tensor.type, whole);
  if (out.copy.empty() && observer_.weight_bytes(weight_source(tensor, {}), Precision::automatic) == 0) {
    out.copy = std::move(whole);
  }
  return out;
}

LoadedMatrix LayerRunner::load_matrix(const LocatedTensor& tensor, Type type, std::span<const std::byte> data,
                                      const std::vector<float>& columns) {
  LoadedMatrix out;
  const bool as_it_is = type == Type::bf16 && columns.empty();
  if (!as_it_is) out.copy = bytes_as_bf16(*runtime_.pool, tensor, type, data, columns);
  WeightSource source = weight_source(tensor, as_it_is ? data : out.copy);
  source.type = Type::bf16;
  out.weight = observer_.load(source, Precision::automatic);
  if (observer_.weight_bytes(source, Precision::automatic) > 0) out.copy = {};  // it has a form of its own
  return out;
}

void LayerRunner::put(RunnableLayer& layer, const LocatedTensor& tensor, LoadedMatrix matrix) {
  Weight* slot = weight_slot(layer.weights.layers[0], tensor.row->role);
  *slot = std::move(matrix.weight);
  layer.copies[slot] = std::move(matrix.copy);
}

void LayerRunner::replace(RunnableLayer& layer, const LocatedTensor& tensor, const EncodedTensor& encoded) {
  put(layer, tensor, load_matrix(tensor, encoded.type, encoded.bytes, encoded.columns));
}

void LayerRunner::run(RunnableLayer& layer, const Batch& batch) {
  const int64_t rows = std::ssize(batch.tokens);
  const KvView view{.store = layer.kv.get(), .layer = 0, .segments = batch.segments};
  forward_layers(layer.spec, layer.weights, observer_, layer.activations, ropes_, rows, view);
}

void LayerRunner::step(RunnableLayer& layer, int batch, std::span<float> rows, bool keep) {
  const Batch& input = batches_[static_cast<size_t>(batch)];
  observer_.begin_step(std::ssize(input.tokens), input.positions);
  observer_.write(layer.activations.x, 0, rows);
  run(layer, input);
  if (keep) observer_.read(layer.activations.x, 0, rows);
}

void LayerRunner::trial(RunnableLayer& layer) {
  observer_.begin_step(1, trial_.positions);
  observer_.write(layer.activations.x, 0, std::vector<float>(static_cast<size_t>(spec_.hidden)));
  run(layer, trial_);
}

}  // namespace autoglm
