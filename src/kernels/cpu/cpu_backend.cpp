// Weights, buffers, rope tables and scratch of the CPU backend.
#include "kernels/cpu/cpu_backend.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/error.h"
#include "hw/cpu.h"

namespace autoglm::cpu {
namespace {

struct CpuBuffer {
  // Panels write 128 bytes to one row after the other: on small pages each is another page.
  CpuBuffer(int64_t floats, const std::shared_ptr<PageFiller>& filler)
      : pages(floats * 4, floats * 4 >= kHugeBytes, filler) {}
  static constexpr int64_t kHugeBytes = 2 << 20;
  Pages pages;
  bool coded = false;  // holds Activations::codes instead of values
};

constexpr int64_t kAlign = 64;

/// The limits with what follows from them: latent heads are inputs of a product too.
StepLimits complete(StepLimits limits) {
  limits.widest = std::max({limits.widest, limits.head_dim, limits.expert_width});
  return limits;
}

}  // namespace

std::unique_ptr<Backend> make_cpu_backend(const IsaTable& table, WorkerPool& pool) {
  return std::make_unique<CpuBackend>(table, pool);
}

const CpuWeight& weight_of(const Weight& weight) {
  AUTOGLM_CHECK(weight, "empty weight");
  return *static_cast<const CpuWeight*>(weight.storage.get());
}

float* row_of(const Buffer& buffer, int64_t row) {
  AUTOGLM_CHECK(buffer && row >= 0 && row < buffer.rows, "row outside its buffer");
  auto* storage = static_cast<CpuBuffer*>(buffer.storage.get());
  AUTOGLM_CHECK(!storage->coded, "values of a buffer that holds codes");
  return reinterpret_cast<float*>(storage->pages.data()) + row * buffer.cols;
}

Activations coded(const Buffer& buffer) {
  auto* storage = static_cast<CpuBuffer*>(buffer.storage.get());
  if (!storage->coded) return {};
  return {.cols = buffer.cols, .codes = reinterpret_cast<ActGroup*>(storage->pages.data())};
}

void hold_codes(const Buffer& buffer, bool codes) { static_cast<CpuBuffer*>(buffer.storage.get())->coded = codes; }

const KvSegment* segment_of(const KvView& kv, int64_t row) {
  for (const KvSegment& segment : kv.segments) {
    if (row >= segment.row_begin && row < segment.row_begin + segment.rows) return &segment;
  }
  return nullptr;
}

CpuBackend::CpuBackend(const IsaTable& table, WorkerPool& pool)
    : isa_(table),
      pool_(pool),
      cache_bytes_(core_cache_bytes()),
      workers_(std::make_unique<Worker[]>(static_cast<size_t>(pool.size()))) {
  for (int i = 0; i < pool.size(); ++i) workers_[static_cast<size_t>(i)].index = i;
}

int64_t CpuBackend::weight_bytes(const WeightSource& source, Precision precision) const {
  return packed_bytes(plan_weight(source, precision));
}

std::string_view CpuBackend::layout(const WeightSource& source, Precision precision) const {
  return layout_name(plan_weight(source, precision));
}

void CpuBackend::pack(const WeightSource& source, Precision precision, std::span<std::byte> out) {
  const CpuWeight weight = plan_weight(source, precision);
  AUTOGLM_CHECK(std::ssize(out) == packed_bytes(weight) && reinterpret_cast<uintptr_t>(out.data()) % kAlign == 0,
                "pack() takes weight_bytes() bytes, aligned to 64");
  if (!out.empty()) pack_weight(weight, source, pool_, reinterpret_cast<uint8_t*>(out.data()));
}

Weight CpuBackend::load(const WeightSource& source, Precision precision) {
  auto storage = std::make_shared<CpuWeight>(plan_weight(source, precision));
  const int64_t bytes = packed_bytes(*storage);
  if (!source.packed.empty()) {
    AUTOGLM_CHECK(std::ssize(source.packed) == bytes, "the packed form has another size");
    storage->packed = reinterpret_cast<const uint8_t*>(source.packed.data());
  } else if (bytes == 0) {
    AUTOGLM_CHECK(std::ssize(source.data) == source.count * source.rows * storage->row_size,
                  "weight data has the wrong size");
  } else {
    storage->own = Pages(bytes, true);
    pack_weight(*storage, source, pool_, storage->own.data());
    storage->packed = storage->own.data();
  }
  storage->tuning = tuning_.of(source.type, source.rows, source.cols);
  Weight weight;
  weight.rows = source.rows;
  weight.cols = source.cols;
  weight.count = source.count;
  weight.type = source.type;
  weight.layout = layout_name(*storage);
  weight.bytes = bytes;
  weight.storage = std::move(storage);
  return weight;
}

void CpuBackend::tune(const Weight& weight, const ShapeTuning& tuning) {
  AUTOGLM_CHECK(weight, "empty weight");
  static_cast<CpuWeight*>(weight.storage.get())->tuning = tuning;
}

std::vector<TuningChoice> CpuBackend::tuning_choices(const Weight& weight, const ShapeTuning& current) const {
  const CpuWeight& w = weight_of(weight);
  std::vector<TuningChoice> choices;
  if (w.kind != Kind::quant) return choices;
  // A threshold matters for the rows between its old and its new value, below `limit`.
  const auto thresholds = [&](int32_t ShapeTuning::* field, int32_t limit) {
    for (const int32_t rows : {8, 12, 16, 24, 32, 40, 48, 64}) {
      const int32_t low = std::min(rows, current.*field), high = std::min(std::max(rows, current.*field), limit);
      if (low >= high) continue;
      TuningChoice choice{current, {low}};
      choice.tuning.*field = rows;
      if (high - low > 2) choice.rows.push_back((low + high) / 2);
      if (high - low > 1) choice.rows.push_back(high - 1);
      choices.push_back(choice);
    }
  };
  const bool tiles = isa_.gemm_signed != nullptr && !w.layout.group16;
  if (tiles) thresholds(&ShapeTuning::tile_rows, kMostTunedRows);
  if (isa_.expand != nullptr && w.layout.codes != CodeForm::byte) {
    thresholds(&ShapeTuning::expand_rows, tiles ? current.tile_rows : kMostTunedRows);
  }
  for (const int32_t bytes : {2 << 10, 4 << 10, 8 << 10, 16 << 10, 32 << 10}) {
    TuningChoice choice{current, {1, 2, 8}};
    choice.tuning.prefetch = bytes;
    if (bytes != current.prefetch) choices.push_back(choice);
  }
  return choices;
}

Buffer CpuBackend::make_buffer(int64_t rows, int64_t cols) {
  return {rows, cols, std::make_shared<CpuBuffer>(std::max<int64_t>(1, rows * cols), filler_)};
}

void CpuBackend::write(const Buffer& to, int64_t row, std::span<const float> values) {
  const auto size = static_cast<int64_t>(values.size());
  AUTOGLM_CHECK(size % to.cols == 0 && row >= 0 && row + size / to.cols <= to.rows, "write outside a buffer");
  if (size > 0) std::copy(values.begin(), values.end(), row_of(to, row));
}

void CpuBackend::read(const Buffer& from, int64_t row, std::span<float> out) const {
  const auto size = static_cast<int64_t>(out.size());
  AUTOGLM_CHECK(size % from.cols == 0 && row >= 0 && row + size / from.cols <= from.rows, "read outside a buffer");
  if (size > 0) std::copy_n(row_of(from, row), size, out.begin());
}

void CpuBackend::keep_rows(const KeepRowsArgs& args) {
  for (const Buffer* buffer : args.buffers) {
    for (size_t i = 0; i < args.rows.size(); ++i) {
      const float* from = row_of(*buffer, args.rows[i]);
      std::memmove(row_of(*buffer, static_cast<int64_t>(i)), from, static_cast<size_t>(buffer->cols) * sizeof(float));
    }
  }
}

int64_t CpuBackend::kv_block_bytes(std::span<const KvLayerSpec> layers) const { return kv_bytes(layers); }

std::unique_ptr<KvStore> CpuBackend::make_kv(std::span<const KvLayerSpec> layers, int64_t blocks) {
  return std::make_unique<CpuKvStore>(layers, blocks, isa_, filler_);
}

// ---- Scratch

int64_t CpuBackend::expert_slots(const StepLimits& limits) {
  return std::max(limits.rows, limits.experts) + limits.rows * limits.top_k;
}

/// Floats of Worker::row: a row of the widest weight, or a head's codes for the cache.
int64_t CpuBackend::worker_row(const StepLimits& limits) {
  return round_up(std::max(limits.widest, 2 * limits.head_dim + kScaleGroup), 16);
}

/// Queries of an attention tile, at most; in whole tiles of 16.
int64_t CpuBackend::most_queries(const StepLimits& limits) const {
  return round_up(std::max<int64_t>(isa_.attend != nullptr ? kAttendQueries : kTileQueries, limits.heads), 16);
}

int64_t CpuBackend::worker_bytes(const StepLimits& limits) const {
  const int64_t queries = most_queries(limits);
  const int64_t head = round_up(limits.head_dim, kScaleGroup);
  const int64_t floats = 2 * limits.widest * kPanel + 2 * kChunk * kPanel + worker_row(limits) +
                         queries * (round_up(head, kScaleGroup) + 2 * head + kSplitTokens + 4) + head * kBlockTokens;
  const int64_t codes = queries * 2 * round_up(head, kScaleGroup) / kScaleGroup;
  const int64_t padded = round_up(head, kScaleGroup);
  const int64_t tiles = isa_.attend != nullptr ? (queries + 2 * kSplitTokens) * padded : 0;
  return floats * 4 + codes * static_cast<int64_t>(sizeof(ActGroup)) + tiles * 2 + 20 * kAlign;
}

int64_t CpuBackend::step_bytes(const StepLimits& limits) const {
  // A row of activations in every form that a weight may want: codes (2 bytes a column), bf16, f32; tiles (1.25).
  const bool tiles = isa_.gemm_signed != nullptr;
  const auto forms = [tiles](int64_t rows, int64_t cols) {
    return rows * (cols + 32) * 8 + (tiles ? round_up(rows, ActTile::kRows) * cols * 5 / 4 : 0) + 4 * kAlign;
  };
  const int64_t rows = limits.rows, slots = expert_slots(limits);
  // The head may hold every row twice, as codes and f32 (12 bytes a column and token).
  const int64_t linear = forms(rows, limits.widest) + rows * limits.widest * 4 + kAlign;
  int64_t experts = 0, latent = 0;
  if (limits.experts > 0) {
    const int64_t width = limits.expert_width > 0 ? limits.expert_width : limits.widest;
    experts = linear + rows * limits.experts * 4 + limits.experts * 4 + slots * 16 + slots * width * 4 +
              2 * forms(slots, width) + 16 * kAlign;
  }
  if (limits.latent) {
    const int64_t queries = latent_rows(rows) * limits.heads;
    latent = 2 * forms(queries, limits.head_dim) + 2 * (queries * limits.head_dim * 4 + kAlign);
  }
  return std::max({linear, experts, latent});
}

int64_t CpuBackend::partial_bytes(const StepLimits& limits) const {
  const int64_t splits = round_up(limits.context, kKvSplit) / kKvSplit;
  return pool_.size() > 1 ? limits.heads * splits * (round_up(limits.head_dim, kScaleGroup) + 2) * 4 : 0;
}

int64_t CpuBackend::tile_bytes(const StepLimits& limits) const {
  return std::max<int64_t>(1, limits.rows * limits.heads) * static_cast<int64_t>(sizeof(AttentionTile));
}

int64_t CpuBackend::scratch_bytes(const StepLimits& asked) const {
  const StepLimits limits = complete(asked);
  int64_t ropes = 0;
  for (const Rope& rope : ropes_) ropes += limits.rows * rope.spec.dims * 4;
  return pool_.size() * worker_bytes(limits) + step_bytes(limits) + partial_bytes(limits) + tile_bytes(limits) + ropes;
}

void CpuBackend::reserve(const StepLimits& asked) {
  const StepLimits limits = complete(asked);
  limits_ = limits;
  const auto pages = [this](int64_t bytes) { return Pages(bytes, /*huge=*/false, filler_); };
  worker_pages_ = pages(pool_.size() * worker_bytes(limits));
  step_pages_ = pages(step_bytes(limits));
  partial_pages_ = pages(partial_bytes(limits));
  tile_pages_ = pages(tile_bytes(limits));
  place_workers();
  for (Rope& rope : ropes_) rope.table = pages(limits.rows * rope.spec.dims * 4);
}

void CpuBackend::settle(bool wait) {
  if (wait) {
    filler_->finish();
  } else {
    filler_->start();
  }
}

void CpuBackend::place_workers() {
  const int64_t bytes = worker_bytes(limits_);
  const int64_t queries = most_queries(limits_);
  const int64_t head = round_up(limits_.head_dim, kScaleGroup);
  for (int64_t i = 0; i < pool_.size(); ++i) {
    Carver carver(worker_pages_.data() + i * bytes / kAlign * kAlign, bytes - kAlign);
    Worker& w = workers_[static_cast<size_t>(i)];
    for (int place = 0; place < 2; ++place) {
      w.expanded[place] = carver.take<uint8_t>(limits_.widest * kPanel * 4);
      w.tile[place] = carver.take<float>(kChunk * kPanel);
    }
    w.row = carver.take<float>(worker_row(limits_));
    w.q = carver.take<float>(queries * round_up(head, kScaleGroup));
    w.q_codes = carver.take<ActGroup>(queries * round_up(head, kScaleGroup) / kScaleGroup);
    if (isa_.attend != nullptr) {
      w.q_tiles = carver.take<uint16_t>(queries * round_up(head, kScaleGroup));
      w.key_tiles = carver.take<uint16_t>(kSplitTokens * round_up(head, kScaleGroup));
      w.value_tiles = carver.take<uint16_t>(kSplitTokens * round_up(head, kScaleGroup));
    }
    w.scores = carver.take<float>(queries * kSplitTokens);
    w.part = carver.take<float>(queries * head);
    w.out = carver.take<float>(queries * head);
    w.part_max = carver.take<float>(queries);
    w.part_sum = carver.take<float>(queries);
    w.max = carver.take<float>(queries);
    w.sum = carver.take<float>(queries);
    w.keys = carver.take<float>(head * kBlockTokens);
  }
}

// ---- Rope

int CpuBackend::add_rope(const RopeSpec& spec) {
  AUTOGLM_CHECK(spec.dims % 2 == 0 && spec.inv_freq.size() * 2 == static_cast<size_t>(spec.dims), "bad rope");
  AUTOGLM_CHECK(spec.sections.empty() || spec.sections.size() == 3, "M-RoPE has three sections");
  ropes_.push_back({spec, Pages(limits_.rows * spec.dims * 4)});
  return static_cast<int>(ropes_.size()) - 1;
}

/// Cosines and sines of one batch row, in double and rounded once.
void CpuBackend::fill_rope(const Rope& rope, int64_t row, std::span<const int32_t> positions) const {
  const int pairs = rope.spec.dims / 2;
  float* cosines = reinterpret_cast<float*>(rope.table.data()) + row * rope.spec.dims;
  const bool three = !rope.spec.sections.empty() && static_cast<int64_t>(positions.size()) == 3 * step_rows_;
  for (int i = 0; i < pairs; ++i) {
    int axis = 0;  // M-RoPE: the first sections[0] pairs turn by time, the next by height, the rest by width
    if (three) {
      for (int end = rope.spec.sections[0]; axis < 2 && i >= end;)
        end += rope.spec.sections[static_cast<size_t>(++axis)];
    }
    const double position = positions[static_cast<size_t>(axis * step_rows_ + row)];
    const double angle = position * static_cast<double>(rope.spec.inv_freq[static_cast<size_t>(i)]);
    cosines[i] = static_cast<float>(std::cos(angle) * rope.spec.magnitude);
    cosines[pairs + i] = static_cast<float>(std::sin(angle) * rope.spec.magnitude);
  }
}

void CpuBackend::begin_step(int64_t rows, std::span<const int32_t> positions) {
  const auto n = static_cast<int64_t>(positions.size());
  AUTOGLM_CHECK(n == rows || n == 3 * rows, "positions are [1 or 3][rows]");
  AUTOGLM_CHECK(rows <= limits_.rows, "more rows than reserve() foresaw");
  step_rows_ = rows;
  const auto one = [&](int64_t row) {
    for (const Rope& rope : ropes_) fill_rope(rope, row, positions);
  };
  if (rows < 16) {
    const FlushDenormals flush;  // as in parallel(): a row's bits must not depend on how many there are
    for (int64_t row = 0; row < rows; ++row) one(row);
  } else if (!ropes_.empty()) {
    parallel([&](Worker& worker) { share(worker, 0, rows, 16, one); });
  }
}

}  // namespace autoglm::cpu
