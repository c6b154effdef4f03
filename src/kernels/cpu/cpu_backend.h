// The CPU backend: every phase once, in terms of an ISA's table of functions.
//
// A phase is one parallel region: rows are prepared (normed, rounded) by all workers, a barrier, then panels of 32
// output rows are taken by whoever is free. Which worker computes what never changes a result. Scratch is carved at the
// start of each phase from one block that reserve() sized; nothing is allocated in a step.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "kernels/backend.h"
#include "kernels/cpu/isa_table.h"
#include "kernels/cpu/kv_store.h"
#include "kernels/cpu/memory.h"
#include "kernels/cpu/pack.h"

namespace autoglm::cpu {

std::unique_ptr<Backend> make_cpu_backend(const IsaTable& table, WorkerPool& pool);

/// The table of a name of usable_isas() or "auto" (kernels/isa.cpp); "ref" stands for the most general one. Throws
/// Error bad_flag.
IsaTable table_for(std::string_view isa);

/// Rows of activations in the forms that the weights of a phase want; null: not wanted.
struct Activations {
  int64_t cols = 0;
  ActGroup* codes = nullptr;  // [rows][code_stride()], cols / 32 used
  ActTile* tiles = nullptr;   // [rows / 16, rounded up][groups()]: the same codes
  uint16_t* bf16 = nullptr;   // [rows][cols, rounded up to 2]
  float* f32 = nullptr;       // [rows][cols]

  int64_t groups() const { return cols / 32; }
  /// An odd number of cache lines: rows that are read together do not fall into the same sets of the cache.
  int64_t code_stride() const { return groups() | 1; }
  int64_t bf16_stride() const { return round_up(cols, 2); }
  int64_t row_bytes() const {
    return (tiles != nullptr   ? groups() * static_cast<int64_t>(sizeof(ActTile)) / ActTile::kRows
            : codes != nullptr ? code_stride() * static_cast<int64_t>(sizeof(ActGroup))
                               : 0) +
           (bf16 != nullptr ? bf16_stride() * 2 : 0) + (f32 != nullptr ? cols * 4 : 0);
  }
  /// From row `first` on. Tiles are of whole batches only.
  Activations from(int64_t first) const {
    if (first == 0) return *this;
    return {cols, codes != nullptr ? codes + first * code_stride() : nullptr, nullptr,
            bf16 != nullptr ? bf16 + first * bf16_stride() : nullptr, f32 != nullptr ? f32 + first * cols : nullptr};
  }
};

/// Loops of one parallel region, at most.
inline constexpr int kLoops = 8;

/// How many pieces of a worker's own range are taken, by itself or by others.
struct alignas(64) Counter {
  std::atomic<int64_t> taken{0};
};

/// What a worker has to itself.
struct Worker {
  int index = 0;
  Counter counters[2][kLoops];  // of this region and, already at 0, of the next one
  uint8_t* expanded[2] = {};    // a panel in the form that its kernel reads
  float* tile[2] = {};          // [kChunk][32] products
  float* row = nullptr;         // [widest]
  // Attention, for at most `queries` queries:
  float* q = nullptr;           // [queries][key_dim, rounded up to 32]
  ActGroup* q_codes = nullptr;  // [queries][key groups]: q against q8 and q4 keys
  uint16_t* q_tiles = nullptr;  // the tiles of AttendArgs, where the ISA has attend()
  uint16_t* key_tiles = nullptr;
  uint16_t* value_tiles = nullptr;
  float* scores = nullptr;    // [queries][kSplitTokens]
  float* part = nullptr;      // [queries][value_width of the layout]: one split
  float* out = nullptr;       // the merged splits
  float* part_max = nullptr;  // [queries]
  float* part_sum = nullptr;
  float* max = nullptr;
  float* sum = nullptr;
  float* keys = nullptr;  // [key_dim][16]: a latent block, transposed
};

/// Query rows of one KV head that are computed together: neighbours in the batch.
struct AttentionTile {
  int32_t segment;
  int32_t kv_head;
  int32_t first;  // row of the segment
  int32_t rows;
  int64_t before;  // a row of q and out is the batch's less this
};

/// One attention over a layer, plain or latent.
struct AttentionTask {
  const CpuKvStore* store = nullptr;
  int layer = 0;
  std::span<const KvSegment> segments;
  std::optional<std::span<const int32_t>> queries;  // batch rows that attend; not given: all
  const float* q = nullptr;                         // [rows][q_stride]: head h at h * key_dim
  int64_t q_stride = 0;
  float* out = nullptr;  // [rows][out_stride]: head h at h * value_dim
  int64_t out_stride = 0;
  Activations codes;  // instead of `out`, where there are any
  int heads = 0;
  int group = 1;  // query heads that share a KV head
  int key_dim = 0;
  int value_dim = 0;
  float scale = 1.0f;
  float softcap = 0.0f;
  int window = 0;
};

/// A tile in one split of the KV. No tile: there is none.
struct SplitUnit {
  const AttentionTile* tile = nullptr;
  int64_t split = 0;
};

class SplitView;  // split.h
struct SplitBlocks;

/// Tokens whose products lie in a worker's tile at once; a multiple of 2, 3, 4, 6 and 16.
inline constexpr int64_t kChunk = 96;

/// How a product of many rows is cut so that both factors stay in the second-level cache: `panels` panels meet `rows`
/// rows before the next rows are taken.
struct Blocking {
  int64_t panels = 1;
  int64_t rows = kChunk;
  int64_t parts = 1;  // of the rows, before that: parts_of()
};

/// Rows [begin, end) of a batch.
struct RowRange {
  int64_t begin;
  int64_t end;
};

/// Rows that a product is written or added to.
struct RowsOut {
  float* data = nullptr;
  int64_t stride = 0;      // floats between two rows
  int64_t width = kPanel;  // floats of a panel in a row
};

/// Fewer rows than these meet one panel after the other.
inline constexpr int64_t kBlockRows = 12;

/// Rows that a part has at least: every part decodes each panel for itself.
inline constexpr int64_t kPartRows = 256;

/// The first row of a part; of part `parts`: the end of the last one.
inline int64_t part_row(int64_t rows, int64_t parts, int64_t part) {
  return part == parts ? rows : rows * part / parts / ActTile::kRows * ActTile::kRows;
}

/// Asks for the lines of a tile that will be written, as this core's own: another core wrote or read them last.
void own_lines(const float* to, int64_t rows, int64_t width, int64_t stride);
/// The same for the codes of a row of activations.
void own_row(const Activations& x, int64_t row);

class CpuBackend final : public Backend {
 public:
  CpuBackend(const IsaTable& table, WorkerPool& pool);

  std::string_view name() const override { return isa_.name; }

  // cpu_backend.cpp
  int64_t weight_bytes(const WeightSource& source, Precision precision) const override;
  std::string_view pack_layout() const override { return kPackVersion; }
  std::string_view layout(const WeightSource& source, Precision precision) const override;
  void pack(const WeightSource& source, Precision precision, std::span<std::byte> out) override;
  Weight load(const WeightSource& source, Precision precision) override;
  void set_tuning(const KernelTuning& tuning) override { tuning_ = tuning; }
  void tune(const Weight& weight, const ShapeTuning& tuning) override;
  std::vector<TuningChoice> tuning_choices(const Weight& weight, const ShapeTuning& current) const override;
  Buffer make_buffer(int64_t rows, int64_t cols) override;
  void write(const Buffer& to, int64_t row, std::span<const float> values) override;
  void read(const Buffer& from, int64_t row, std::span<float> out) const override;
  int add_rope(const RopeSpec& spec) override;
  int64_t kv_block_bytes(std::span<const KvLayerSpec> layers) const override;
  std::unique_ptr<KvStore> make_kv(std::span<const KvLayerSpec> layers, int64_t blocks) override;
  int64_t scratch_bytes(const StepLimits& limits) const override;
  void reserve(const StepLimits& limits) override;
  void settle(bool wait) override;
  void keep_rows(const KeepRowsArgs& args) override;
  int64_t row_tile() const override { return isa_.gemm_signed != nullptr ? ActTile::kRows : 1; }
  void begin_step(int64_t rows, std::span<const int32_t> positions) override;

  void embed(const EmbedArgs& args) override;  // linear.cpp
  void project(const ProjectArgs& args) override;
  void project_add(const ProjectAddArgs& args) override;
  void gate_up(const GateUpArgs& args) override;
  void head(const HeadArgs& args) override;
  void attention(const AttentionArgs& args) override;               // attention.cpp
  void latent_attention(const LatentAttentionArgs& args) override;  // latent_attention.cpp
  void experts(const ExpertsArgs& args) override;                   // experts.cpp

 private:
  struct Rope {
    RopeSpec spec;
    Pages table;  // float[rows][dims] of this step: cosines, then sines
  };

  /// Runs f(Worker&) on all workers with denormals off.
  template <typename F>
  void parallel(F&& f);
  /// Inside parallel(): pieces of `grain` of [0, n), each taken by one worker: first those of its own contiguous part
  /// (so that it reads weights in one stream, which prefetching needs), then what others have left. Each loop of a
  /// region has its own number.
  template <typename F>
  void share(Worker& worker, int loop, int64_t n, int64_t grain, F&& f);
  /// The same by ranges: f(begin, end), at most `grain` apart.
  template <typename F>
  void share_ranges(Worker& worker, int loop, int64_t n, int64_t grain, F&& f);
  void barrier();
  /// Pieces of a size that gives every worker several.
  int64_t grain_of(int64_t n) const;
  int64_t pool_size() const;
  /// Parts that the rows of a batch are cut into. Each is taken first by workers of its own, in every phase the same
  /// ones: what one phase writes to a row and the next one reads of it then mostly stays in one core's cache, which
  /// counts where the cores share no cache. One part where products are so quick (tiles) that decoding every panel for
  /// each part would count more.
  int64_t parts_of(int64_t rows) const;
  void fill_rope(const Rope& rope, int64_t row, std::span<const int32_t> positions) const;

  // prepare.cpp: activations and panels
  Activations carve(Carver& carver, int64_t rows, int64_t cols, unsigned forms) const;
  /// form_of(), and kTiles if so many rows meet this weight's panels as tiles.
  unsigned form_for(const CpuWeight& weight, int64_t rows) const;
  /// Whether a phase may leave its output as codes for `next`, its only reader (null: others read it).
  bool leaves_codes(const Buffer& out, const Weight* next, int64_t rows) const;
  void prepare_row(const float* x, const Norm* norm, int64_t row, const Activations& to, Worker& worker) const;
  /// How many copies of `rows` prepared rows a phase makes: one that all workers make together and wait for, or, of a
  /// few rows, one a worker, which costs less than the barrier.
  int64_t copies_of(int64_t rows) const;
  /// Inside parallel(), as loop 0: one(row, to) for all rows of x, which was carved for copies_of(rows) * rows. Returns
  /// what this worker reads from.
  template <typename F>
  Activations prepare(Worker& worker, int64_t rows, const Activations& x, F&& one);
  /// For a phase of `panels` panels, or of panels of several weights together, times `rows` rows.
  Blocking blocking(const Activations& x, std::span<const CpuWeight* const> together, int64_t panels,
                    int64_t rows) const;
  /// Inside parallel(): f(begin, end, range) for pieces of `panels` panels and `rows` rows, cut as `blocking` says.
  template <typename F>
  void share_products(Worker& worker, int loop, int64_t panels, int64_t rows, const Blocking& blocking, F&& f);
  /// Panels [begin, end) of each weight (one or two) times a range of rows of x: f(to, at, m, width) when the products
  /// of m rows and `width` columns from column `at` on lie in Worker::tile, weight by weight; `to` is their place in
  /// `out`.
  template <size_t n, typename F>
  void multiply_panels(Worker& worker, const std::array<const CpuWeight*, n>& weights, int64_t begin, int64_t end,
                       const Activations& x, const RowRange& range, const Blocking& blocking, const RowsOut& out,
                       F&& f);
  /// Asks for the first lines of what this worker will read in a loop over the weight's panels.
  void prefetch_range(const Worker& worker, const CpuWeight& weight) const;

  // attention.cpp
  void rotate(int rope, int64_t row, float* values) const;
  void norm_head(const Norm* norm, float* values, int64_t n) const;
  int64_t tile_rows(const AttentionTask& task, int64_t rows) const;
  int64_t list_tiles(const AttentionTask& task, int64_t first_row, int64_t rows);
  bool by_splits(const AttentionTask& task, int64_t tiles) const;
  void attend(const AttentionTask& task, int64_t tiles, bool splits, int loop, Worker& worker);
  void attend_by_splits(const AttentionTask& task, int64_t tiles, int loop, Worker& worker);
  void attend_tile(const AttentionTask& task, const AttentionTile& tile, const AttentionTile* after,
                   Worker& worker) const;
  void attend_split(const AttentionTask& task, const SplitUnit& unit, const SplitUnit& after, Worker& worker) const;
  void prefetch_unit(const AttentionTask& task, int64_t tiles, const Worker& worker) const;
  SplitUnit unit_at(const AttentionTask& task, int64_t tiles, int64_t unit) const;
  void attend_by_blocks(const AttentionTask& task, const SplitBlocks& blocks, const SplitView& view, int queries,
                        Worker& worker) const;
  /// Whether attention over such a cache goes through IsaTable::attend.
  bool in_tiles(const KvLayout& layout) const;
  void attend_in_tiles(const AttentionTask& task, const SplitBlocks& blocks, const SplitView& view, int queries,
                       Worker& worker) const;
  AttendArgs attend_args(const AttentionTask& task, int first, int n, Ahead& ahead, Worker& worker) const;
  void attend_queries(const AttentionTask& task, const SplitView& view, int first, int n, Ahead& ahead,
                      Worker& worker) const;
  void merge(const AttentionTask& task, const AttentionTile& tile, const float* part, const float* part_max,
             const float* part_sum, bool first, Worker& worker) const;
  void load_queries(const AttentionTask& task, const AttentionTile& tile, Worker& worker) const;
  void score_blocks(const AttentionTask& task, const SplitBlocks& blocks, int first, int end, int queries, Ahead& ahead,
                    Worker& worker) const;
  void finish_tile(const AttentionTask& task, const AttentionTile& tile, Worker& worker) const;

  // latent_attention.cpp
  void latent_chunk(const LatentAttentionArgs& args, int64_t first, int64_t rows);
  void multiply_heads(const CpuWeight& weight, const Activations& x, int64_t rows, float* out, int64_t stride,
                      int64_t width, Worker& worker, int loop);
  static int64_t latent_rows(int64_t rows);

  // experts.cpp
  void experts_chunk(const ExpertsArgs& args, int64_t first_row, int64_t rows);

  // Sizes of the scratch areas, in bytes.
  static int64_t expert_slots(const StepLimits& limits);
  static int64_t worker_row(const StepLimits& limits);
  int64_t most_queries(const StepLimits& limits) const;
  int64_t worker_bytes(const StepLimits& limits) const;
  int64_t step_bytes(const StepLimits& limits) const;
  int64_t partial_bytes(const StepLimits& limits) const;
  int64_t tile_bytes(const StepLimits& limits) const;
  void place_workers();

  const IsaTable isa_;
  WorkerPool& pool_;
  const int64_t cache_bytes_;  // of a core
  unsigned region_ = 0;        // counts parallel regions

  KernelTuning tuning_;  // of weights that load() makes
  const std::shared_ptr<PageFiller> filler_ = std::make_shared<PageFiller>();
  StepLimits limits_;
  Pages worker_pages_, step_pages_, partial_pages_, tile_pages_;
  std::unique_ptr<Worker[]> workers_;  // one a thread of the pool
  std::vector<Rope> ropes_;
  int64_t step_rows_ = 0;
};

// Forms of activations, as bits.
inline constexpr unsigned kCodes = 1, kBf16 = 2, kF32 = 4, kTiles = 8;

const CpuWeight& weight_of(const Weight& weight);
/// A row's values.
float* row_of(const Buffer& buffer, int64_t row);
/// What a buffer holds instead of values since hold_codes(buffer, true), in its own memory; otherwise no codes.
Activations coded(const Buffer& buffer);
void hold_codes(const Buffer& buffer, bool codes);
/// The form that a weight multiplies.
unsigned form_of(const CpuWeight& weight);

/// The segment that a batch row belongs to; null for a row that caches nothing.
const KvSegment* segment_of(const KvView& kv, int64_t row);

/// Queries of an attention tile where there are enough, to share what is read; kAttendQueries where the ISA has
/// attend(), which dequantizes keys and values for all of them together.
inline constexpr int kTileQueries = 48;

/// One panel of a weight, ready to be multiplied; made and used by one worker.
class PanelProduct {
 public:
  PanelProduct() = default;
  /// `rows`: how many it will meet, which decides whether decoding the panel first pays. `room`: where it may be
  /// decoded to, expanded_bytes(weight).
  PanelProduct(const IsaTable& isa, const CpuWeight& weight, int64_t matrix, int64_t panel, int64_t rows,
               Worker& worker, uint8_t* room);
  /// out[m][32] = rows index[first..first + m) of x (null: rows first.. of x) times the panel. `ahead`: what will be
  /// decoded next, to be asked for meanwhile where that pays.
  void multiply(const Activations& x, const int32_t* index, int64_t first, int64_t m, float* out,
                std::span<const uint8_t> ahead = {}) const;
  /// Output columns that exist: 32, or fewer in the last panel.
  int64_t width() const { return width_; }

 private:
  void expand(int64_t first, int64_t groups, int64_t prefetch) const;
  void multiply_pieces(QuantPanelArgs args) const;

  const IsaTable* isa_ = nullptr;
  const CpuWeight* weight_ = nullptr;
  QuantLayout layout_;             // of what is multiplied
  const uint8_t* data_ = nullptr;  // the packed panel, or room_ when the whole panel was decoded
  uint8_t* room_ = nullptr;        // where it is decoded; null: it is not
  bool signed_ = false;            // for gemm_signed
  bool far_ = false;               // data_ is the packed weight
  int64_t width_ = 0;
};

/// Whether a panel that meets so many rows is decoded piece by piece, each time that it is multiplied, rather than
/// once: the room for it holds nothing in between.
bool by_pieces(const CpuWeight& weight, int64_t rows);

/// Bytes of a decoded panel, rounded up to a cache line.
int64_t expanded_bytes(const CpuWeight& weight);

/// Panels that meet the same rows one after the other, at most.
inline constexpr int kMaxPanels = 4;

template <typename F>
void for_chunks(int64_t m, int64_t chunk, F&& f) {
  for (int64_t first = 0; first < m; first += chunk) f(first, std::min(chunk, m - first));
}
template <typename F>
void for_chunks(int64_t m, F&& f) {
  for_chunks(m, kChunk, f);
}

}  // namespace autoglm::cpu

#include "kernels/cpu/parallel.inl"
