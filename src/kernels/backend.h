// What a device can do, in phases.
//
// `model/forward.cpp` calls a backend about eight times a layer, on opaque handles. No raw pointer and no file block
// crosses this line, and how a phase is spread over threads is the backend's own affair. Three rules bind every
// backend:
//
//  * Same tokens, same bits: a row's result never depends on how many rows are computed with it, on how a prompt is cut
//    into chunks, on batch mates or on the number of threads. Sums over columns have one fixed order; attention splits
//    the KV at absolute multiples of kKvSplit and merges in order; keys and values are read as they are stored.
//  * Accumulation is float32 (or wider) or exact integer; kernels/quantize.h defines what is rounded before it. In
//  `cpu`
//    denormals count as zero, and the floating-point state of the calling thread neither matters nor changes.
//  * Phases throw nothing and allocate nothing once begin_step() has seen the largest batch (reserve()).
//
// Shapes are [rows, columns], row-major; a "row" is one token of the batch.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "format/type.h"
#include "kernels/tuning.h"

namespace autoglm {

class Ledger;
class WorkerPool;

/// Tokens in a KV block, and the absolute position grid on which attention splits its sums.
inline constexpr int kKvBlock = 16;
inline constexpr int kKvSplit = 256;

/// Arithmetic of activations. `automatic`: int8 per 32 columns against quantized weights, bf16 against BF16 and F16
/// weights, f32 against F32. `f32`: the exact path that oracles use: weights are expanded a panel at a time.
enum class Precision : uint8_t { automatic, f32 };

/// Storage of keys and values. f16 has three bits more than bf16 and ends at 65,504: what is larger becomes infinite.
/// q8: int8 with a float32 scale per 32 values of a token's head (so append and truncate never requantize).
/// q4: 4-bit values and 5-bit keys with a bfloat16 scale per 32, rotated before they are stored (kernels/quantize.h).
enum class KvType : uint8_t { f32, f16, bf16, q8, q4 };
inline constexpr KvType kKvTypes[] = {KvType::f32, KvType::f16, KvType::bf16, KvType::q8, KvType::q4};

/// A matrix (or a stack of `count` matrices: experts) as it lies in a file; `data` is mapped memory that outlives the
/// weight. rows x cols is one matrix; count * rows * cols values in all.
struct WeightSource {
  std::string_view name;
  Type type = Type::f32;
  int64_t count = 1;
  int64_t rows = 0;
  int64_t cols = 0;
  std::span<const std::byte> data;
  bool mapped = false;  // data is a file mapping: what was packed may be dropped from memory (forget_pages)
  /// What pack() made of it, here or in an earlier run; outlives the weight. Empty: not packed yet.
  std::span<const std::byte> packed{};
};

/// A loaded matrix. Opaque: `storage` belongs to the backend that made it. Copying shares.
struct Weight {
  int64_t rows = 0;
  int64_t cols = 0;
  int64_t count = 1;
  Type type = Type::f32;    // of the source
  std::string_view layout;  // the packed layout's name, for reports
  int device = 0;
  int shard = 0;      // which slice of a tensor-parallel split this is
  int64_t bytes = 0;  // of its packed form (0 where it reads the mapped file)
  std::shared_ptr<void> storage;
  explicit operator bool() const { return storage != nullptr; }
};

/// Device memory for float32 rows. Copying shares.
struct Buffer {
  int64_t rows = 0;
  int64_t cols = 0;
  std::shared_ptr<void> storage;
  explicit operator bool() const { return storage != nullptr; }
};

/// RMSNorm: y = x / sqrt(mean(x^2) + eps) * weight. weight is a Buffer [1, n]; an empty weight means no norm at all.
/// (Gemma's 1 + w is folded into the weight when it is loaded.)
struct Norm {
  Buffer weight;
  float eps = 1e-5f;
};

enum class Activation : uint8_t { silu, gelu_tanh };

/// Rotary embedding of the first `dims` values of each head. inv_freq has dims/2 entries, every scaling already in it.
/// interleaved: pairs (2i, 2i+1), as GPT-J and ChatGLM; otherwise pairs (i, i + dims/2), as NeoX and Llama.
struct RopeSpec {
  int dims = 0;
  bool interleaved = false;
  std::vector<float> inv_freq;
  float magnitude = 1.0f;     // factor on cos and sin
  std::vector<int> sections;  // M-RoPE: pairs that take positions[0], [1], [2]; empty: all take positions[0]
};

/// What a layer caches for a token.
struct KvLayerSpec {
  enum class Kind : uint8_t { kv, latent } kind = Kind::kv;
  int heads = 0;      // KV heads (1 for latent)
  int key_dim = 0;    // kv: per head; latent: latent dims + rope dims
  int value_dim = 0;  // kv: per head; latent: latent dims (a prefix of the key)
  KvType type = KvType::q8;
};

/// Pages of the KV cache on the device, all layers. Owned by model's KvCache. Blocks are addressed by number.
class KvStore {
 public:
  virtual ~KvStore() = default;
  virtual int64_t blocks() const = 0;
  virtual int64_t block_bytes() const = 0;                                       // all layers of one block
  virtual void copy_block(int32_t from, int32_t to) = 0;                         // copy on write after a fork
  virtual void export_block(int32_t block, std::span<std::byte> out) const = 0;  // block_bytes() bytes
  virtual void import_block(int32_t block, std::span<const std::byte> in) = 0;
};

/// One sequence's part of a step: rows [row_begin, row_begin + rows) of the batch append at position `past`.
/// Position p lives in block blocks[p / kKvBlock]. blocks covers past + rows positions.
struct KvSegment {
  std::span<const int32_t> blocks;
  int64_t past = 0;
  int64_t row_begin = 0;
  int64_t rows = 0;
};

/// Where a layer's keys and values are for every sequence of the step.
struct KvView {
  KvStore* store = nullptr;
  int layer = 0;
  std::span<const KvSegment> segments;
};

/// out = table[token] * scale.
struct EmbedArgs {
  const Weight* table;
  std::span<const int32_t> tokens;
  float scale = 1.0f;
  Buffer* out;
};

/// One linear map out[n, rows] = x . weight^T + bias. An empty bias is none.
struct Projection {
  const Weight* weight;
  const Buffer* bias = nullptr;
  Buffer* out = nullptr;
};

/// Norm, then any number of projections of the same input (q, k, v; or the two low-rank inputs of MLA).
/// The input may be a column slice of x: [in_offset, in_offset + weight.cols).
struct ProjectArgs {
  int64_t rows;
  const Buffer* x;
  int64_t in_offset = 0;
  const Norm* norm;  // null: none
  std::span<const Projection> projections;
};

/// qk-norm (per head, before rope), rope, append to the KV, attention.
/// q [m, heads*key_dim], k [n, kv_heads*key_dim], v [n, kv_heads*value_dim]; out [m, heads*value_dim].
struct AttentionArgs {
  int64_t rows;  // n: those that are appended
  /// The m rows that attend, ascending: rows of q and out lie side by side. Not given: all.
  std::optional<std::span<const int32_t>> queries;
  Buffer* q;
  Buffer* k;
  Buffer* v;
  const Norm* q_norm = nullptr;
  const Norm* k_norm = nullptr;
  int rope = -1;  // from add_rope(); -1: none
  int heads = 0;
  int kv_heads = 0;
  int key_dim = 0;
  int value_dim = 0;
  float scale = 0.0f;    // on q.k
  float softcap = 0.0f;  // s = cap * tanh(s / cap); 0: none
  int window = 0;        // position p sees (p - window, p]; 0: all before it
  KvView kv;
  Buffer* out = nullptr;
  const Weight* next = nullptr;  // as in GateUpArgs
};

/// MLA in its absorbed form. q [n, heads*(nope+rope_dims)]; latent [n, kv_rank+rope_dims] as the kv_a projection gave
/// it. The latent part is normed, the rope part rotated (and q's), both appended. For head h: q' = q_nope . k_b[h]
/// (k_b: [heads] x [kv_rank, nope] maps nope -> kv_rank), scores over latent + rope, then out_h = v_b[h] . (P . latent)
/// (v_b: [heads] x [value_dim, kv_rank]). out [n, heads*value_dim].
struct LatentAttentionArgs {
  int64_t rows;
  Buffer* q;
  Buffer* latent;
  const Norm* latent_norm;
  const Weight* k_b;
  const Weight* v_b;
  int rope = -1;
  int heads = 0;
  int nope = 0;
  int rope_dims = 0;
  int kv_rank = 0;
  int value_dim = 0;
  float scale = 0.0f;
  KvView kv;
  Buffer* out = nullptr;
};

/// Row i of each buffer becomes what row rows[i] was; rows ascend.
struct KeepRowsArgs {
  std::span<const int32_t> rows;
  std::span<Buffer* const> buffers;
};

/// residual += post_norm(x . weight^T + bias) * scale. Closes attention and FFN. (An all-reduce stands between the
/// product and the rest when the weight is a shard.)
struct ProjectAddArgs {
  int64_t rows;
  const Buffer* x;
  const Weight* weight;
  const Buffer* bias = nullptr;
  const Norm* post_norm = nullptr;
  float scale = 1.0f;
  Buffer* residual;
};

/// out = act(gate . n(x)) * (up . n(x)); out [n, ffn].
struct GateUpArgs {
  int64_t rows;
  const Buffer* x;
  const Norm* norm;
  const Weight* gate;
  const Weight* up;
  const Buffer* gate_bias = nullptr;
  const Buffer* up_bias = nullptr;
  Activation activation = Activation::silu;
  Buffer* out;
  /// The weight that `out` goes to next, if it goes nowhere else but to that project_add(): a backend may leave `out`
  /// in the form that this weight multiplies, which read() refuses. Null: `out` holds values.
  const Weight* next = nullptr;
};

/// How experts are chosen. Scores are float32: sigmoid or softmax of router . n(x); the router's weight is loaded with
/// Precision::f32 whatever its type. The top_k are chosen by score + correction (within the best `groups_used` of
/// `groups`, a group's score being the sum of its two best), weighed by the scores without correction, normalized over
/// the chosen if `normalize` (sum + 1e-20 for sigmoid), times `scale`. Ties go to the lower index.
struct RouterSpec {
  int experts = 0;
  int top_k = 0;
  int groups = 1;
  int groups_used = 1;
  bool sigmoid = true;
  bool normalize = true;
  float scale = 1.0f;
};

/// residual += post_norm(sum over chosen experts of weight_e * down_e(act(gate_e n(x)) * up_e n(x)) + shared expert).
/// Every sum over experts runs in ascending expert index, the shared expert last.
struct ExpertsArgs {
  int64_t rows;
  const Buffer* x;
  const Norm* norm;
  const Weight* router;
  const Buffer* correction = nullptr;  // [1, experts]
  RouterSpec spec;
  const Weight* gate;  // count = experts
  const Weight* up;
  const Weight* down;
  const Weight* shared_gate = nullptr;  // null: no shared expert
  const Weight* shared_up = nullptr;
  const Weight* shared_down = nullptr;
  Activation activation = Activation::silu;
  const Norm* post_norm = nullptr;
  Buffer* residual;
};

/// Final norm and logits of the chosen rows only. logits [chosen, vocabulary]; hidden (optional) takes the normed rows.
struct HeadArgs {
  const Buffer* x;
  std::span<const int32_t> rows;  // batch rows that need logits
  const Norm* norm;
  const Weight* head;  // null: only hidden
  float softcap = 0.0f;
  Buffer* logits = nullptr;
  Buffer* hidden = nullptr;
};

/// The largest step that will be asked for; scratch is sized from it once.
struct StepLimits {
  int64_t rows = 0;
  int64_t widest = 0;    // largest column count of any weight, and largest row count of one but the head
  int64_t heads = 0;     // largest query head count
  int64_t head_dim = 0;  // largest key or latent dim
  int64_t context = 0;   // longest sequence
  int64_t experts = 0;
  int64_t top_k = 0;         // experts a token uses
  int64_t expert_width = 0;  // largest inner width of an expert, the shared one included; 0: widest
  bool latent = false;       // whether latent_attention() will be called
};

class Backend {
 public:
  virtual ~Backend() = default;
  virtual std::string_view name() const = 0;  // "ref", "avx512", ...

  // Memory. Bytes are known before anything is allocated, so that the plan can be printed and refused.
  virtual int64_t weight_bytes(const WeightSource& source, Precision precision) const = 0;  // beyond the mapped file
  /// Names the packed form and its version: two backends with one name make the same bytes of the same source. Empty:
  /// nothing is packed.
  virtual std::string_view pack_layout() const = 0;
  /// The name of the layout that a source gets.
  virtual std::string_view layout(const WeightSource& source, Precision precision) const = 0;
  /// Packs source.data into `out`: weight_bytes() bytes, all zero, aligned to 64. On all workers.
  virtual void pack(const WeightSource& source, Precision precision, std::span<std::byte> out) = 0;
  /// Takes source.packed as it is; where that is empty, packs into memory of its own if weight_bytes() is not 0.
  /// An embedding table that is not also the head is best loaded with Precision::f32: it is then read where it is
  /// mapped.
  virtual Weight load(const WeightSource& source, Precision precision) = 0;

  // How fast products run, never what they are. Not during a step.
  /// For the weights loaded from now on.
  virtual void set_tuning(const KernelTuning&) {}
  /// For one loaded weight.
  virtual void tune(const Weight&, const ShapeTuning&) {}
  /// What is worth measuring for a weight whose tuning is `current`: each choice changes one number.
  virtual std::vector<TuningChoice> tuning_choices(const Weight&, const ShapeTuning&) const { return {}; }
  /// Rows that are computed together where a step has many: its last few cost as much as so many.
  virtual int64_t row_tile() const { return 1; }

  virtual Buffer make_buffer(int64_t rows, int64_t cols) = 0;
  virtual void write(const Buffer& to, int64_t row, std::span<const float> values) = 0;  // values.size() % cols == 0
  virtual void read(const Buffer& from, int64_t row, std::span<float> out) const = 0;
  virtual int add_rope(const RopeSpec& spec) = 0;  // returns its number
  virtual int64_t kv_block_bytes(std::span<const KvLayerSpec> layers) const = 0;
  virtual std::unique_ptr<KvStore> make_kv(std::span<const KvLayerSpec> layers, int64_t blocks) = 0;
  virtual int64_t scratch_bytes(const StepLimits& limits) const = 0;
  virtual void reserve(const StepLimits& limits) = 0;
  /// Begins to take in the background what make_buffer(), make_kv() and reserve() promised and no step has touched yet;
  /// `wait`: returns when it is taken. For after the first step, which must not wait for it.
  virtual void settle(bool wait) = 0;

  // One step: begin_step, then the phases in the order that the layer loop asks for them. `positions` is [1 or 3][n].
  virtual void begin_step(int64_t rows, std::span<const int32_t> positions) = 0;
  virtual void embed(const EmbedArgs& args) = 0;
  virtual void project(const ProjectArgs& args) = 0;
  virtual void attention(const AttentionArgs& args) = 0;
  virtual void latent_attention(const LatentAttentionArgs& args) = 0;
  virtual void keep_rows(const KeepRowsArgs& args) = 0;
  virtual void project_add(const ProjectAddArgs& args) = 0;
  virtual void gate_up(const GateUpArgs& args) = 0;
  virtual void experts(const ExpertsArgs& args) = 0;
  virtual void head(const HeadArgs& args) = 0;
};

/// Makes the backend for an ISA name: auto, ref, generic, avx2, avxvnni, avx512, amx, neon. `automatic` choice never
/// takes ref. Unknown or unavailable: Error bad_flag naming what this CPU has. The pool must outlive it.
std::unique_ptr<Backend> make_backend(std::string_view isa, WorkerPool& pool);

/// ISA tables built into this binary, and those that this CPU can run, best first ("ref" last).
std::vector<std::string_view> built_isas();
std::vector<std::string_view> usable_isas();

}  // namespace autoglm
