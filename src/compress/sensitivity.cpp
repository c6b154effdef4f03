#include "compress/sensitivity.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>

#include "base/error.h"
#include "compress/allocate.h"
#include "compress/grid.h"
#include "compress/moments.h"
#include "compress/observer.h"
#include "model/families/family.h"
#include "model/forward.h"
#include "model/memory_plan.h"
#include "model/packed_weights.h"
#include "model/slice.h"
#include "model/weights.h"

namespace autoglm {
namespace {

constexpr int64_t kWindows = 8;
constexpr int64_t kWindowTokens = 128;
constexpr int64_t kScored = 32;       // last tokens of each window whose logits are compared
constexpr int64_t kSampleRows = 128;  // of a tensor, by which its rounding error at each type is known

constexpr Type kProbe = Type::q4_0;
constexpr Type kTypes[] = {Type::q2_k, Type::q3_k, Type::iq4_xs, Type::iq4_nl, Type::q4_k, Type::q4_1,
                           Type::q5_0, Type::q5_k, Type::q5_1,   Type::q6_k,   Type::q8_0};

struct Group {
  int layer = -1;
  std::vector<const LocatedTensor*> tensors;
  std::vector<float> importance;
};

/// The whole model on a small text, with single tensors replaced.
class Probe {
 public:
  Probe(const ModelSource& source, Runtime& runtime, const SensitivityOptions& options);
  /// Runs the untouched model; afterwards groups() are known.
  void baseline();
  const std::vector<Group>& groups() const { return groups_; }
  /// Mean divergence of the answers with these tensors replaced, by what replacement() gives for each.
  double divergence(const Group& group, const std::vector<std::vector<std::byte>>& encoded);
  const ArchSpec& spec() const { return spec_; }
  const std::vector<LocatedTensor>& tensors() const { return tensors_; }

 private:
  void embed(Type type, std::span<const std::byte> data);
  void run_layers(int first, const Observer::Watch& watch);
  std::vector<float> log_probabilities();
  const LocatedTensor* find(Role role) const;

  const ModelSource& source_;
  Runtime& runtime_;
  const SensitivityOptions& options_;
  ArchSpec spec_;
  std::vector<LocatedTensor> tensors_;
  Observer observer_;
  std::vector<int32_t> tokens_;
  std::vector<int32_t> positions_;
  std::vector<std::vector<int32_t>> blocks_;
  std::vector<KvSegment> segments_;
  std::vector<int32_t> scored_;
  std::vector<int> ropes_;
  ModelWeights weights_;
  Activations activations_;
  int64_t kv_blocks_ = 0;
  std::vector<std::vector<float>> residuals_;  // before each layer, and after the last
  std::vector<float> residual_;
  std::vector<float> expected_;  // log-probabilities of the untouched model
  std::vector<Group> groups_;
};

Probe::Probe(const ModelSource& source, Runtime& runtime, const SensitivityOptions& options)
    : source_(source),
      runtime_(runtime),
      options_(options),
      spec_(read_spec(source)),
      tensors_(locate_tensors(spec_, source)),
      observer_(*runtime.backend) {
  AUTOGLM_CHECK(!options.windows.empty(), "sensitivity needs text");
  int32_t block = 0;
  for (size_t w = 0; w < std::min<size_t>(options.windows.size(), kWindows); ++w) {
    const auto& window = options.windows[w];
    const int64_t rows = std::min<int64_t>(std::ssize(window), kWindowTokens);
    std::vector<int32_t>& blocks = blocks_.emplace_back(static_cast<size_t>((rows + kKvBlock - 1) / kKvBlock));
    for (int32_t& b : blocks) b = block++;
    const int64_t begin = std::ssize(tokens_);
    for (int64_t i = 0; i < rows; ++i) {
      tokens_.push_back(window[static_cast<size_t>(i)]);
      positions_.push_back(static_cast<int32_t>(i));
      if (i >= rows - std::min(kScored, rows / 2 + 1)) scored_.push_back(static_cast<int32_t>(begin + i));
    }
    segments_.push_back({.blocks = {}, .past = 0, .row_begin = begin, .rows = rows});
  }
  for (size_t i = 0; i < segments_.size(); ++i) segments_[i].blocks = blocks_[i];
  LoadOptions load;
  load.precision = Precision::f32;
  load.kv_type = KvType::f32;
  weights_ = load_weights(spec_, source, tensors_, runtime, load);
  for (const RopeSpec& rope : spec_.ropes) ropes_.push_back(observer_.add_rope(rope));
  const int64_t rows = std::ssize(tokens_);
  observer_.reserve(step_limits(spec_, rows, kWindowTokens));
  activations_ = make_activations(spec_, observer_, rows, std::ssize(scored_));
  kv_blocks_ = block;
}

const LocatedTensor* Probe::find(Role role) const {
  for (const LocatedTensor& t : tensors_) {
    if (t.row->role == role) return &t;
  }
  return nullptr;
}

void Probe::embed(Type type, std::span<const std::byte> data) {
  const auto width = static_cast<size_t>(spec_.hidden);
  const auto stride = static_cast<size_t>(row_bytes(type, spec_.hidden));
  residual_.resize(tokens_.size() * width);
  for (size_t i = 0; i < tokens_.size(); ++i) {
    AUTOGLM_CHECK(tokens_[i] >= 0 && tokens_[i] < spec_.vocabulary, "token outside the vocabulary");
    info(type).decode(data.data() + static_cast<size_t>(tokens_[i]) * stride, residual_.data() + i * width,
                      spec_.hidden);
  }
  for (float& value : residual_) value *= spec_.embed_scale;
}

// residual_ through the layers from `first` on.
void Probe::run_layers(int first, const Observer::Watch& watch) {
  const int64_t rows = std::ssize(tokens_);
  for (int layer = first; layer < spec_.layers; ++layer) {
    if (options_.check) options_.check();
    if (watch) residuals_.push_back(residual_);
    const auto l = static_cast<size_t>(layer);
    ModelWeights one;
    one.layers.push_back(weights_.layers[l]);
    Activations act{.x = activations_.x, .logits = {}, .hidden = {}, .layers = {activations_.layers[l]}};
    Observer::Watch inner;
    if (watch) {
      inner = [&](int phase, std::span<const Weight* const> read, std::span<const float> x) {
        Group& group = groups_.emplace_back();
        group.layer = layer;
        Moments moments(read.front()->cols, false);
        moments.add(*runtime_.pool, x);
        group.importance = moments.diagonal();
        for (const LocatedTensor& t : tensors_) {
          if (t.layer != layer || t.row->form != Form::matrix) continue;
          const Weight* slot = weight_slot(one.layers[0], t.row->role);
          if (std::ranges::find(read, slot) != read.end()) group.tensors.push_back(&t);
        }
        (void)phase;
      };
    }
    observer_.observe(inner, -1, false);
    observer_.begin_step(rows, positions_);
    observer_.write(activations_.x, 0, residual_);
    const ArchSpec sliced = slice_layer(spec_, layer);
    const std::unique_ptr<KvStore> kv = observer_.make_kv(kv_layers(sliced, KvType::f32), kv_blocks_);
    const KvView view{.store = kv.get(), .layer = 0, .segments = segments_};
    forward_layers(sliced, one, observer_, act, ropes_, rows, view);
    observer_.read(activations_.x, 0, residual_);
  }
}

std::vector<float> Probe::log_probabilities() {
  observer_.begin_step(std::ssize(tokens_), positions_);
  observer_.write(activations_.x, 0, residual_);
  observer_.head({.x = &activations_.x,
                  .rows = scored_,
                  .norm = &weights_.output_norm,
                  .head = &weights_.output,
                  .softcap = spec_.logit_softcap,
                  .logits = &activations_.logits});
  std::vector<float> out(scored_.size() * static_cast<size_t>(spec_.vocabulary));
  observer_.read(activations_.logits, 0, out);
  runtime_.pool->parallel_for(std::ssize(scored_), 1, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const std::span row =
          std::span(out).subspan(static_cast<size_t>(r * spec_.vocabulary), static_cast<size_t>(spec_.vocabulary));
      const float best = *std::ranges::max_element(row);
      double mass = 0;
      for (const float logit : row) mass += std::exp(static_cast<double>(logit - best));
      const float norm = best + static_cast<float>(std::log(mass));
      for (float& logit : row) logit -= norm;
    }
  });
  return out;
}

void Probe::baseline() {
  const LocatedTensor& table = *find(Role::token_embedding);
  embed(table.type, table.view());
  run_layers(0, [](int, std::span<const Weight* const>, std::span<const float>) {});
  residuals_.push_back(residual_);
  expected_ = log_probabilities();
  // What embedding and head read: nothing, and the normed last rows.
  Group head{.layer = -1, .tensors = {find(spec_.tied_head ? Role::token_embedding : Role::output)}, .importance = {}};
  std::vector<float> rows = residual_;
  apply_norm(rows, read_vector(spec_, source_.container(), *find(Role::output_norm)), spec_.norm_eps);
  Moments moments(spec_.hidden, false);
  moments.add(*runtime_.pool, rows);
  head.importance = moments.diagonal();
  groups_.push_back(std::move(head));
  if (!spec_.tied_head) groups_.push_back({.layer = -1, .tensors = {&table}, .importance = {}});
}

double Probe::divergence(const Group& group, const std::vector<std::vector<std::byte>>& encoded) {
  int first = group.layer;
  std::vector<std::pair<Weight*, Weight>> before;
  for (size_t i = 0; i < group.tensors.size(); ++i) {
    const LocatedTensor& t = *group.tensors[i];
    WeightSource source = weight_source(t, encoded[i]);
    source.type = kProbe;
    Weight* slot = group.layer >= 0 ? weight_slot(weights_.layers[static_cast<size_t>(group.layer)], t.row->role)
                                    : &weights_.output;
    if (group.layer < 0 && t.row->role == Role::token_embedding) {
      embed(kProbe, encoded[i]);
      first = 0;
      if (!spec_.tied_head) continue;
    } else if (group.layer < 0) {
      first = spec_.layers;
    }
    before.emplace_back(slot, *slot);
    *slot = observer_.load(source, Precision::f32);
  }
  if (group.layer >= 0 || first == spec_.layers) residual_ = residuals_[static_cast<size_t>(first)];
  run_layers(first, {});
  const std::vector<float> got = log_probabilities();
  for (auto& [slot, weight] : before) *slot = weight;
  double sum = 0;
  for (size_t i = 0; i < got.size(); ++i) {
    const double p = std::exp(static_cast<double>(expected_[i]));
    sum += p * (static_cast<double>(expected_[i]) - static_cast<double>(got[i]));
  }
  const double mean = sum / static_cast<double>(scored_.size());
  if (!std::isfinite(mean))
    fail(Code::numeric, "the model computed a logit that is not a finite number", "check its hash");
  return std::max(mean, 0.0);
}

// Weighted squared error of every type over a sample of rows, and at kProbe the whole tensor encoded.
struct Rounded {
  std::map<Type, double> error;
  std::vector<std::byte> probe;
};

Rounded round_all(WorkerPool& pool, const LocatedTensor& t, const std::vector<float>& importance) {
  const int64_t cols = t.shape.cols;
  const int64_t rows = t.shape.count * t.shape.rows;
  std::vector<float> h(importance);
  if (std::ssize(h) != cols) h.assign(static_cast<size_t>(cols), 1.0f);
  std::vector<std::byte> whole(static_cast<size_t>(t.bytes()));
  t.copy_to(whole.data());
  const int64_t stride = row_bytes(t.type, cols);
  Rounded out;
  out.probe.resize(static_cast<size_t>(rows * row_bytes(kProbe, cols)));
  const auto row_of = [&](int64_t r, std::vector<float>& x) {
    x.resize(static_cast<size_t>(cols));
    info(t.type).decode(whole.data() + r * stride, x.data(), cols);
  };
  pool.parallel_for(rows, 16, [&](int64_t begin, int64_t end) {
    std::vector<float> x;
    for (int64_t r = begin; r < end; ++r) {
      row_of(r, x);
      encode_row(*grid_of(kProbe), x.data(), h.data(), cols, out.probe.data() + r * row_bytes(kProbe, cols));
    }
  });
  std::vector<Type> types(std::begin(kTypes), std::end(kTypes));
  types.push_back(kProbe);
  const int64_t samples = std::min(rows, kSampleRows);
  for (const Type type : types) {
    if (cols % info(type).block_columns != 0) continue;
    std::vector<double> sums(static_cast<size_t>(samples));
    pool.parallel_for(samples, 4, [&](int64_t begin, int64_t end) {
      std::vector<float> x;
      std::vector<float> back(static_cast<size_t>(cols));
      std::vector<std::byte> blocks(static_cast<size_t>(row_bytes(type, cols)));
      for (int64_t s = begin; s < end; ++s) {
        row_of(s * rows / samples, x);
        encode_row(*grid_of(type), x.data(), h.data(), cols, blocks.data());
        info(type).decode(blocks.data(), back.data(), cols);
        for (size_t c = 0; c < x.size(); ++c) {
          const double difference = static_cast<double>(x[c]) - static_cast<double>(back[c]);
          sums[static_cast<size_t>(s)] += static_cast<double>(h[c]) * difference * difference;
        }
      }
    });
    out.error[type] =
        std::accumulate(sums.begin(), sums.end(), 0.0) * static_cast<double>(rows) / static_cast<double>(samples);
  }
  return out;
}

TensorCost unmeasured(const ArchSpec& spec, const LocatedTensor& t) {
  // Columns that fill no block, or inputs that cannot be seen: 8 bits where that is possible.
  const Type type = type_for_columns(Type::q8_0, t.shape.cols);
  const int64_t rows = t.shape.count * t.shape.rows;
  return {.name = gguf_name(spec, *t.row, t.layer),
          .values = t.shape.elements(),
          .types = {{.type = type, .bytes = rows * row_bytes(type, t.shape.cols), .divergence = 0}}};
}

// gate and up that share a tensor share its type.
void add_to(TensorCost& sum, const TensorCost& other) {
  sum.values += other.values;
  for (size_t i = 0; i < sum.types.size(); ++i) {
    sum.types[i].bytes += other.types[i].bytes;
    sum.types[i].divergence += other.types[i].divergence;
  }
}

}  // namespace

std::vector<TensorCost> measure_sensitivity(const ModelSource& source, Runtime& runtime,
                                            const SensitivityOptions& options) {
  Probe probe(source, runtime, options);
  probe.baseline();
  std::map<const LocatedTensor*, TensorCost> costs;
  const auto total = std::ssize(probe.groups());
  int64_t done = 0;
  for (const Group& group : probe.groups()) {
    if (options.progress) options.progress("measuring", done++, total);
    const bool fits =
        std::ranges::all_of(group.tensors, [](const LocatedTensor* t) { return t->shape.cols % 32 == 0; });
    if (!fits) continue;
    std::vector<Rounded> rounded;
    std::vector<std::vector<std::byte>> probes;
    double error = 0;
    for (const LocatedTensor* t : group.tensors) {
      rounded.push_back(round_all(*runtime.pool, *t, group.importance));
      error += rounded.back().error.at(kProbe);
      probes.push_back(std::move(rounded.back().probe));
    }
    const double divergence = probe.divergence(group, probes);
    for (size_t i = 0; i < group.tensors.size(); ++i) {
      const LocatedTensor& t = *group.tensors[i];
      TensorCost cost{.name = gguf_name(probe.spec(), *t.row, t.layer), .values = t.shape.elements(), .types = {}};
      for (const auto& [type, of_type] : rounded[i].error) {
        if (type == kProbe) continue;
        cost.types.push_back({.type = type,
                              .bytes = t.shape.count * t.shape.rows * row_bytes(type, t.shape.cols),
                              .divergence = error > 0 ? divergence * of_type / error : 0.0});
      }
      std::ranges::sort(cost.types, {}, [](const TypeCost& c) { return std::pair(c.bytes, c.type); });
      costs.emplace(&t, std::move(cost));
    }
  }
  std::vector<TensorCost> out;
  for (const LocatedTensor& t : probe.tensors()) {
    if (t.row->form != Form::matrix || t.row->role == Role::router) continue;
    const auto found = costs.find(&t);
    TensorCost cost = found != costs.end() ? found->second : unmeasured(probe.spec(), t);
    if (probe.spec().gguf_fused_gate_up && t.row->role == Role::up) {
      add_to(out.back(), cost);  // its gate stands before it
      out.back().name = cost.name;
    } else {
      out.push_back(std::move(cost));
    }
  }
  return out;
}

Recipe choose_recipe(const std::vector<TensorCost>& tensors, int64_t budget) {
  std::vector<std::vector<Choice>> items;
  int64_t least = 0;
  for (const TensorCost& tensor : tensors) {
    auto& choices = items.emplace_back();
    for (const TypeCost& type : tensor.types) choices.push_back({type.bytes, type.divergence});
    least += std::ranges::min_element(choices, {}, &Choice::bytes)->bytes;
  }
  const auto chosen = allocate(items, budget);
  if (!chosen) {
    fail(Code::bad_flag, fmt::format("no types are small enough for {} of weights", format_bytes(budget)),
         fmt::format("the smallest need {}", format_bytes(least)));
  }
  Recipe recipe{.matrix = Type::q8_0, .tensors = {}};
  for (size_t i = 0; i < tensors.size(); ++i) {
    recipe.tensors.emplace_back(tensors[i].name, tensors[i].types[static_cast<size_t>((*chosen)[i])].type);
  }
  return recipe;
}

int64_t bytes_beside(const ModelSource& source, const std::vector<TensorCost>& tensors, const Metadata& tokenizer) {
  // Norms and biases are F32; a tensor's place in the header and its padding are less than 160 bytes.
  int64_t bytes = 160 * std::ssize(source.tensors()) + 4096;
  int64_t values = 0;
  for (const TensorEntry& entry : source.tensors()) values += entry.elements();
  for (const TensorCost& tensor : tensors) values -= tensor.values;
  bytes += 4 * std::max<int64_t>(values, 0);
  for (const Metadata* metadata : {&source.metadata(), &tokenizer}) {
    for (const auto& [key, value] : metadata->all()) {
      bytes += std::ssize(key) + 32;
      if (const auto* text = std::get_if<std::string>(&value)) bytes += std::ssize(*text);
      const auto* array = std::get_if<MetaArray>(&value);
      if (!array) continue;
      if (const auto* texts = std::get_if<std::vector<std::string>>(array)) {
        for (const std::string& text : *texts) bytes += std::ssize(text) + 8;
      } else {
        bytes += 4 * std::visit([](const auto& list) { return std::ssize(list); }, *array);
      }
    }
  }
  return bytes;
}

}  // namespace autoglm
