#include "compress/layer_walk.h"

#include <algorithm>
#include <numeric>
#include <set>

#include "base/error.h"
#include "model/families/family.h"
#include "model/forward.h"
#include "model/memory_plan.h"
#include "model/packed_weights.h"
#include "model/slice.h"

namespace autoglm {

struct LayerWalk::Layer {
  int index = 0;
  ArchSpec spec;
  ModelWeights weights;
  Activations activations;
  std::unique_ptr<KvStore> kv;
  std::vector<int32_t> blocks;
  std::map<const Weight*, const LocatedTensor*> tensors;
  std::vector<MapGroup> groups;  // by phase
};

LayerWalk::LayerWalk(const ModelSource& source, Runtime& runtime, const WalkOptions& options)
    : source_(source),
      runtime_(runtime),
      options_(options),
      spec_(read_spec(source)),
      tensors_(locate_tensors(spec_, source)),
      observer_(*runtime.backend) {
  for (const auto& window : options.windows) longest_ = std::max(longest_, std::ssize(window));
  AUTOGLM_CHECK(longest_ > 0, "a walk needs text");
  for (const RopeSpec& rope : spec_.ropes) ropes_.push_back(observer_.add_rope(rope));
  observer_.reserve(step_limits(spec_, longest_, longest_));
}

LayerWalk::~LayerWalk() = default;

void LayerWalk::embed() {
  const auto found = std::ranges::find(tensors_, Role::token_embedding, [](const auto& t) { return t.row->role; });
  AUTOGLM_CHECK(found != tensors_.end() && found->is_view(), "the embedding lies in one piece");
  const EncodedTensor* replaced = options_.replaces && options_.replacement ? options_.replacement(*found) : nullptr;
  const Type type = replaced ? replaced->type : found->type;
  const std::span<const std::byte> data = replaced ? std::span<const std::byte>(replaced->bytes) : found->view();
  const auto width = static_cast<size_t>(spec_.hidden);
  const auto stride = static_cast<size_t>(row_bytes(type, spec_.hidden));
  for (const auto& window : options_.windows) {
    std::vector<float>& rows = residuals_.emplace_back(window.size() * width);
    for (size_t i = 0; i < window.size(); ++i) {
      AUTOGLM_CHECK(window[i] >= 0 && window[i] < spec_.vocabulary, "token outside the vocabulary");
      info(type).decode(data.data() + static_cast<size_t>(window[i]) * stride, rows.data() + i * width, spec_.hidden);
    }
    for (float& value : rows) value *= spec_.embed_scale;
  }
}

void LayerWalk::run() {
  embed();
  for (int layer = 0; layer < spec_.layers; ++layer) {
    if (options_.begin_layer) options_.begin_layer(layer);
    run_layer(layer);
  }
  run_head();
}

void LayerWalk::run_layer(int index) {
  Layer layer;
  layer.index = index;
  load(layer);
  find_groups(layer);
  const auto phases = static_cast<int>(std::ssize(layer.groups));
  if (options_.replaces) {
    for (int phase = 0; phase < phases; ++phase) {
      const MapGroup& group = layer.groups[static_cast<size_t>(phase)];
      if (options_.known && options_.known(group)) {
        options_.resumed(group);
        replace(layer, group.tensors);
      } else {
        collect(layer, phase);
      }
    }
    observer_.observe({}, -1, false);
    for (size_t window = 0; window < residuals_.size(); ++window) step(layer, window, true);
  } else {
    collect(layer, -1);
  }
}

void LayerWalk::load(Layer& layer) {
  layer.spec = slice_layer(spec_, layer.index);
  std::vector<const LocatedTensor*> sources;
  std::vector<LocatedTensor> moved;  // the same, as tensors of layer 0
  for (const LocatedTensor& tensor : tensors_) {
    if (tensor.layer != layer.index) continue;
    sources.push_back(&tensor);
    moved.push_back(tensor);
    moved.back().layer = 0;
  }
  LoadOptions options;
  options.precision = Precision::f32;
  options.kv_type = KvType::f32;
  layer.weights = load_weights(layer.spec, source_, moved, runtime_, options);
  for (const LocatedTensor* tensor : sources) {
    if (const Weight* slot = weight_slot(layer.weights.layers[0], tensor->row->role)) layer.tensors[slot] = tensor;
  }
  layer.activations = make_activations(layer.spec, observer_, longest_, 1);
  layer.blocks.resize(static_cast<size_t>((longest_ + kKvBlock - 1) / kKvBlock));
  std::iota(layer.blocks.begin(), layer.blocks.end(), 0);
  layer.kv = observer_.make_kv(kv_layers(layer.spec, KvType::f32), std::ssize(layer.blocks));
}

// The first window says which maps read what.
void LayerWalk::find_groups(Layer& layer) {
  std::set<const LocatedTensor*> seen;
  observer_.observe(
      [&](int, std::span<const Weight* const> weights, std::span<const float>) {
        MapGroup& group = layer.groups.emplace_back();
        group.layer = layer.index;
        for (const Weight* weight : weights) {
          group.tensors.push_back(layer.tensors.at(weight));
          seen.insert(group.tensors.back());
        }
      },
      -1, false);
  step(layer, 0, false);
  std::vector<const LocatedTensor*> unseen;
  for (const LocatedTensor& tensor : tensors_) {
    const bool matrix = tensor.layer == layer.index && tensor.row->form == Form::matrix;
    if (matrix && tensor.row->role != Role::router && !seen.contains(&tensor)) unseen.push_back(&tensor);
  }
  if (unseen.empty() || !options_.unseen) return;
  options_.unseen(unseen);
  replace(layer, unseen);
}

// Inputs of the maps of one phase, or with -1 of all phases at once.
void LayerWalk::collect(Layer& layer, int phase) {
  const bool all = phase < 0;
  std::vector<Moments> moments(layer.groups.size());
  observer_.observe(
      [&](int at, std::span<const Weight* const> weights, std::span<const float> rows) {
        Moments& sums = moments[static_cast<size_t>(at)];
        if (sums.width() == 0)
          sums = Moments(weights.front()->cols, options_.full(layer.groups[static_cast<size_t>(at)]));
        sums.add(*runtime_.pool, rows);
      },
      phase, !all);
  for (size_t window = 0; window < residuals_.size(); ++window) step(layer, window, all);
  for (size_t at = 0; at < moments.size(); ++at) {
    if (moments[at].width() == 0) continue;
    options_.visit(layer.groups[at], moments[at]);
    replace(layer, layer.groups[at].tensors);
    moments[at] = {};
  }
}

void LayerWalk::replace(Layer& layer, const std::vector<const LocatedTensor*>& tensors) {
  if (!options_.replaces) return;
  for (const LocatedTensor* tensor : tensors) {
    const EncodedTensor* encoded = options_.replacement(*tensor);
    if (!encoded) continue;
    WeightSource source = weight_source(*tensor, encoded->bytes);
    source.type = encoded->type;
    *weight_slot(layer.weights.layers[0], tensor->row->role) = observer_.load(source, Precision::f32);
  }
}

/// One window through the layer; `keep`: its rows become what comes out.
void LayerWalk::step(Layer& layer, size_t window, bool keep) {
  if (options_.check) options_.check();
  std::vector<float>& residual = residuals_[window];
  const int64_t rows = std::ssize(residual) / spec_.hidden;
  std::vector<int32_t> positions(static_cast<size_t>(3 * rows));
  for (int64_t i = 0; i < 3 * rows; ++i) positions[static_cast<size_t>(i)] = static_cast<int32_t>(i % rows);
  observer_.begin_step(rows, std::span(positions).first(static_cast<size_t>(rows)));
  observer_.write(layer.activations.x, 0, residual);
  const KvSegment segment{.blocks = layer.blocks, .past = 0, .row_begin = 0, .rows = rows};
  const KvView view{.store = layer.kv.get(), .layer = 0, .segments = {&segment, 1}};
  forward_layers(layer.spec, layer.weights, observer_, layer.activations, ropes_, rows, view);
  if (keep) observer_.read(layer.activations.x, 0, residual);
}

void LayerWalk::run_head() {
  const Role role = spec_.tied_head ? Role::token_embedding : Role::output;
  MapGroup group;
  std::vector<float> norm;
  for (const LocatedTensor& tensor : tensors_) {
    if (tensor.row->role == role) group.tensors.push_back(&tensor);
    if (tensor.row->role == Role::output_norm) norm = read_vector(spec_, source_.container(), tensor);
  }
  if (options_.known && options_.known(group)) return options_.resumed(group);
  Moments moments(spec_.hidden, options_.full(group));
  for (std::vector<float>& residual : residuals_) {
    if (options_.check) options_.check();
    apply_norm(residual, norm, spec_.norm_eps);
    moments.add(*runtime_.pool, residual);
  }
  options_.visit(group, moments);
}

}  // namespace autoglm
