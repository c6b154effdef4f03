#include "model/model.h"

#include <algorithm>
#include <numeric>
#include <optional>

#include "base/error.h"
#include "base/zone.h"
#include "model/activations.h"
#include "model/families/family.h"
#include "model/forward.h"
#include "model/memory_plan.h"
#include "model/weights.h"

namespace autoglm {

int64_t Batch::rows() const {
  int64_t n = 0;
  for (const BatchSequence& sequence : sequences) n += sequence.rows;
  return n;
}

struct Model::State {
  std::shared_ptr<const ModelSource> source;
  Runtime* runtime = nullptr;
  Backend* backend = nullptr;
  LoadOptions options;
  ArchSpec spec;
  MemoryPlan plan;
  Reservation weights_memory, kv_memory, activations_memory, tokenizer_memory, process_memory;
  ModelWeights weights;
  Activations activations;
  std::vector<int> ropes;  // the backend's numbers of spec.ropes

  // Of one step; sized at load, never grown.
  std::vector<int32_t> positions;
  std::vector<KvSegment> segments;
  std::vector<float> logits;
  std::vector<float> hidden;
  std::vector<int32_t> first_rows;  // 0, 1, 2, ...: of activations.x, where it holds the rows with logits only
  bool all_rows = false;            // whether it holds all rows of the last step

  void prepare_step(const Batch& batch, const KvCache& kv, int64_t rows);
};

namespace {

LoadOptions checked(LoadOptions options) {
  AUTOGLM_CHECK(options.batch_rows > 0 && options.batch_sequences > 0 && options.context >= 0, "bad load options");
  if (options.logit_rows == 0) options.logit_rows = options.batch_sequences;
  options.batch_rows = std::max(options.batch_rows, options.batch_sequences);
  return options;
}

}  // namespace

MemoryPlan Model::plan(const ModelSource& source, const Runtime& runtime, const LoadOptions& options) {
  const ArchSpec spec = read_spec(source);
  const auto tensors = locate_tensors(spec, source);
  return make_plan({spec, source, tensors, runtime, checked(options)});
}

std::unique_ptr<Model> Model::load(std::shared_ptr<const ModelSource> source, Runtime& runtime,
                                   const LoadOptions& options) {
  auto state = std::make_unique<State>();
  State& s = *state;
  s.source = std::move(source);
  s.runtime = &runtime;
  s.backend = runtime.backend.get();
  s.options = checked(options);
  s.spec = read_spec(*s.source);
  const auto tensors = locate_tensors(s.spec, *s.source);
  const PlanInputs inputs{s.spec, *s.source, tensors, runtime, s.options};
  s.plan = make_plan(inputs);
  refuse_what_does_not_fit(inputs, s.plan);
  s.options.context = s.plan.context;

  Ledger& ledger = *runtime.ledger;
  s.process_memory = Reservation(ledger, MemoryLine::process, s.plan.process_bytes, "the process");
  s.tokenizer_memory = Reservation(ledger, MemoryLine::tokenizer, s.plan.tokenizer_bytes, "the tokenizer");
  s.weights_memory = Reservation(ledger, MemoryLine::weights, s.plan.weights_bytes + s.plan.source_bytes, "weights");
  s.kv_memory = Reservation(ledger, MemoryLine::kv, s.plan.kv_bytes, "the KV cache");
  s.activations_memory = Reservation(ledger, MemoryLine::activations, s.plan.activations_bytes, "activations");

  s.weights = load_weights(s.spec, *s.source, tensors, runtime, s.options);
  s.options.progress = nullptr;  // these may hold what lives only until load() returns
  s.options.cache = nullptr;
  for (const RopeSpec& rope : s.spec.ropes) s.ropes.push_back(s.backend->add_rope(rope));
  s.backend->reserve(step_limits(s.spec, s.options.batch_rows, s.options.context));
  s.activations = make_activations(s.spec, *s.backend, s.options.batch_rows, s.options.logit_rows);
  s.positions.resize(static_cast<size_t>(3 * s.options.batch_rows));
  s.segments.reserve(static_cast<size_t>(s.options.batch_rows));
  s.logits.resize(static_cast<size_t>(s.options.logit_rows * s.spec.vocabulary));
  s.hidden.resize(static_cast<size_t>(s.options.logit_rows * s.spec.hidden));
  s.first_rows.resize(static_cast<size_t>(s.options.logit_rows));
  std::iota(s.first_rows.begin(), s.first_rows.end(), 0);
  return std::unique_ptr<Model>(new Model(std::move(state)));
}

Model::Model(std::unique_ptr<State> state) : state_(std::move(state)) {}
Model::~Model() = default;
const ArchSpec& Model::spec() const { return state_->spec; }
const MemoryPlan& Model::memory() const { return state_->plan; }
int64_t Model::context() const { return state_->options.context; }
int64_t Model::max_rows() const { return state_->options.batch_rows; }
int64_t Model::max_logit_rows() const { return state_->options.logit_rows; }
int64_t Model::row_tile() const { return state_->backend->row_tile(); }
KvType Model::kv_type() const { return state_->options.kv_type; }
Precision Model::precision() const { return state_->options.precision; }

std::optional<double> Model::packing_ms() const { return state_->weights.packing_ms; }
void Model::settle(bool wait) { state_->backend->settle(wait); }

std::unique_ptr<KvCache> Model::make_kv_cache() const {
  const State& s = *state_;
  const auto layers = kv_layers(s.spec, s.options.kv_type);
  auto store = s.backend->make_kv(layers, s.plan.kv_blocks);
  return std::make_unique<KvCache>(std::move(store), s.options.batch_sequences);
}

// Positions and KV segments of the step, into memory sized at load.
void Model::State::prepare_step(const Batch& batch, const KvCache& kv, int64_t rows) {
  AUTOGLM_CHECK(rows > 0 && rows <= options.batch_rows, "a step with no rows, or more than the model was loaded for");
  segments.clear();
  int64_t next = 0;
  for (const BatchSequence& sequence : batch.sequences) {
    AUTOGLM_CHECK(sequence.rows > 0 && sequence.row_begin == next, "sequences must cover the batch's rows in order");
    const int64_t past = kv.length(sequence.sequence) - sequence.rows;
    AUTOGLM_CHECK(past >= 0, "append() must make room before forward()");
    segments.push_back(
        {.blocks = kv.blocks(sequence.sequence), .past = past, .row_begin = next, .rows = sequence.rows});
    for (int64_t i = 0; i < sequence.rows; ++i) {
      positions[static_cast<size_t>(next + i)] = static_cast<int32_t>(past + i);
    }
    next += sequence.rows;
  }
}

std::span<const float> Model::forward(const Batch& batch, KvCache& kv) {
  State& s = *state_;
  const int64_t rows = batch.rows();
  ZoneStamp zone(Zone::embed);
  s.prepare_step(batch, kv, rows);
  std::span<const int32_t> positions(s.positions.data(), static_cast<size_t>(rows));
  if (!batch.positions.empty()) positions = batch.positions;
  s.backend->begin_step(rows, positions);

  if (batch.embeddings.empty()) {
    AUTOGLM_CHECK(std::ssize(batch.tokens) == rows, "one token a row");
    for (int32_t token : batch.tokens) {
      AUTOGLM_CHECK(token >= 0 && token < s.spec.vocabulary, "token outside the vocabulary");
    }
    EmbeddingRows& lookups = s.weights.rows;
    const bool read = lookups.active();
    s.backend->embed({.table = read ? &lookups.table() : &s.weights.embedding,
                      .tokens = read ? lookups.find(batch.tokens) : batch.tokens,
                      .scale = s.spec.embed_scale,
                      .out = &s.activations.x});
  } else {
    AUTOGLM_CHECK(std::ssize(batch.embeddings) == rows * s.spec.hidden, "hidden values a row");
    s.backend->write(s.activations.x, 0, batch.embeddings);
  }

  const KvView view{.store = &kv.store(), .layer = 0, .segments = s.segments};
  const int64_t wanted = std::ssize(batch.logit_rows);
  AUTOGLM_CHECK(wanted <= s.options.logit_rows, "more logit rows than the model was loaded for");
  s.all_rows = batch.hidden || wanted == rows;
  const auto last_rows = s.all_rows ? std::nullopt : std::optional(batch.logit_rows);
  forward_layers(s.spec, s.weights, *s.backend, s.activations, s.ropes, rows, view, last_rows);
  if (wanted == 0) return {};
  zone.next(Zone::head);
  s.backend->head(
      {.x = &s.activations.x,
       .rows = s.all_rows ? batch.logit_rows : std::span<const int32_t>(s.first_rows).first(batch.logit_rows.size()),
       .norm = &s.weights.output_norm,
       .head = &s.weights.output,
       .softcap = s.spec.logit_softcap,
       .logits = &s.activations.logits});
  const std::span<float> logits(s.logits.data(), static_cast<size_t>(wanted * s.spec.vocabulary));
  s.backend->read(s.activations.logits, 0, logits);
  return logits;
}

std::span<const float> Model::hidden(std::span<const int32_t> rows) {
  State& s = *state_;
  AUTOGLM_CHECK(std::ssize(rows) <= s.options.logit_rows, "more hidden rows than the model was loaded for");
  AUTOGLM_CHECK(s.all_rows, "hidden rows of a step that did not say so (Batch::hidden)");
  s.backend->head({.x = &s.activations.x,
                   .rows = rows,
                   .norm = &s.weights.output_norm,
                   .head = nullptr,
                   .hidden = &s.activations.hidden});
  const std::span<float> hidden(s.hidden.data(), rows.size() * static_cast<size_t>(s.spec.hidden));
  s.backend->read(s.activations.hidden, 0, hidden);
  return hidden;
}

}  // namespace autoglm
