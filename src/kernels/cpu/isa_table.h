// What one instruction set provides: a table of plain functions on plain data.
//
// Files compiled for an ISA include this header and <cstdint>, and no heavy template, so that the linker never keeps an
// inline function that needs AVX-512 for everybody. The functions work on one panel, one row or one KV block; how they
// are spread over threads is CpuBackend's affair. They neither allocate nor throw.
//
// Same tokens, same bits: what a function computes for one row of activations (or one query) never depends on how many
// rows it is given with it. Bits may differ between ISAs.
#pragma once

#include <cstdint>

namespace autoglm::cpu {

/// Rows of a weight that are packed and multiplied together. Matrices are padded to whole panels with zero rows.
inline constexpr int kPanel = 32;
/// Columns of a partial float32 sum: float panels add up blocks of this many columns, which keeps rounding small.
inline constexpr int kFloatBlock = 256;
/// Tokens in a KV block and positions in a split (kKvBlock and kKvSplit of kernels/backend.h).
inline constexpr int kBlockTokens = 16;
inline constexpr int kSplitTokens = 256;
/// Columns of a head that share a q8 scale (kKvGroup of kernels/quantize.h).
inline constexpr int kScaleGroup = 32;

/// 32 columns of one row of activations: int8 codes and all that the kernels need of them, in one cache line.
struct ActGroup {
  int8_t codes[32];
  float scale;           // value = scale * code
  int32_t neg_sum;       // -(sum of the codes): times the zero point it starts an integer sum
  int32_t neg_sum16[2];  // the same of columns 0..15 and 16..31
  float fsum;            // scale * (sum of the codes): what a group's minimum is multiplied by
  float fsum16[2];
  int32_t neg_sum128;  // 128 * neg_sum: the start of a sum over codes that are stored with 128 added
};
static_assert(sizeof(ActGroup) == 64);

/// 32 columns of 16 rows of activations, as a tile instruction reads them: what ActGroup holds, row beside row.
struct alignas(64) ActTile {
  static constexpr int kRows = 16;
  int8_t codes[kRows][32];
  float scale[kRows];
  float fsum[kRows];
};
static_assert(sizeof(ActTile) == 640);

/// How a panel stores the codes of 32 columns of 32 rows: unsigned, code + zero point. Four columns of a row are a
/// "quad", 4 adjacent bytes; a quad of all rows is a line of 128 bytes; quads 0..7 make up a group. Low bits come
/// first:
///   byte          8 lines: quad q in line q;
///   nibble, book  4 lines: quads 0..3 in the low nibbles, 4..7 in the high ones. book: a nibble is an index into
///                 kCodeBook, its code the value + 128;
///   two           2 lines: quad q in bits 2 (q % 4) and up of line q / 4;
///   three         as two, then a line of high bits: quad q in bit q;
///   five          as nibble, then a line of high bits: quad q in bit q;
///   six           as nibble, then two lines of two high bits each, placed as in two.
enum class CodeForm : uint8_t { byte, nibble, book, two, three, five, six };

/// How a panel stores scales and minima.
///   half     float16 for each group;
///   integer  int8 for each group, times a float16 for 8 groups: 256 columns;
///   single   float32 for each group: what expand() makes.
enum class ScaleForm : uint8_t { half, integer, single };

/// The values of CodeForm::book: the code book of IQ4_NL and IQ4_XS (format/types/iq4_nl.h).
inline constexpr int8_t kCodeBook[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};

/// The values of q4 KV (kKvLevels of kernels/quantize.h).
inline constexpr int8_t kKvBook[16] = {-127, -96, -75, -58, -44, -31, -18, -6, 6, 18, 31, 44, 58, 75, 96, 127};

/// A packed quantized layout. A panel is a row of blocks of 1 group (integer scales: 8); a block holds
///   integer scales: float16[32] that the scales are multiplied by, then where there are minima float16[32] for them;
///   scales [group][half][32 rows], half 0 for columns 0..15 and 1 for 16..31 where group16, otherwise only one;
///   minima, the same, where there are any;
///   the codes of its groups.
/// A value is scale * (code - zero) - minimum, in float32. Where the file has an infinite or NaN scale, NaN is stored.
struct QuantLayout {
  CodeForm codes = CodeForm::byte;
  ScaleForm scales = ScaleForm::half;
  bool group16 = false;
  bool minima = false;

  friend bool operator==(const QuantLayout&, const QuantLayout&) = default;
  constexpr int halves() const { return group16 ? 2 : 1; }
  constexpr int block_groups() const { return scales == ScaleForm::integer ? 8 : 1; }
  /// Bytes of a group's low bits, and of all of its codes.
  constexpr int low_bytes() const {
    return codes == CodeForm::byte ? 1024 : codes == CodeForm::two || codes == CodeForm::three ? 256 : 512;
  }
  constexpr int code_bytes() const {
    const bool one = codes == CodeForm::five || codes == CodeForm::three;
    return low_bytes() + (one ? 128 : codes == CodeForm::six ? 256 : 0);
  }
  constexpr int scale_size() const { return scales == ScaleForm::half ? 2 : scales == ScaleForm::integer ? 1 : 4; }
  /// Offsets in a block.
  constexpr int scales_at() const { return scales == ScaleForm::integer ? (minima ? 4 : 2) * kPanel : 0; }
  constexpr int minima_at() const { return scales_at() + block_groups() * halves() * kPanel * scale_size(); }
  constexpr int codes_at() const { return minima ? 2 * minima_at() - scales_at() : minima_at(); }
  constexpr int block_bytes() const { return codes_at() + block_groups() * code_bytes(); }
  constexpr int64_t panel_bytes(int64_t groups) const { return groups / block_groups() * block_bytes(); }
  /// What expand() makes of it.
  constexpr QuantLayout expanded() const { return {CodeForm::byte, ScaleForm::single, group16, minima}; }
};

/// The zero point of expanded codes that are unsigned, whatever the file's.
inline constexpr int kExpandedZero = 128;

/// Every layout of a file's type; the kernels exist for these and for what they expand to.
inline constexpr QuantLayout kFileLayouts[] = {
    {CodeForm::byte, ScaleForm::half, false, false},      // Q8_0
    {CodeForm::nibble, ScaleForm::half, false, false},    // Q4_0
    {CodeForm::nibble, ScaleForm::half, false, true},     // Q4_1
    {CodeForm::five, ScaleForm::half, false, false},      // Q5_0
    {CodeForm::five, ScaleForm::half, false, true},       // Q5_1
    {CodeForm::book, ScaleForm::half, false, false},      // IQ4_NL
    {CodeForm::two, ScaleForm::integer, true, true},      // Q2_K
    {CodeForm::three, ScaleForm::integer, true, false},   // Q3_K
    {CodeForm::nibble, ScaleForm::integer, false, true},  // Q4_K
    {CodeForm::five, ScaleForm::integer, false, true},    // Q5_K
    {CodeForm::six, ScaleForm::integer, true, false},     // Q6_K
    {CodeForm::book, ScaleForm::integer, false, false},   // IQ4_XS
    {CodeForm::byte, ScaleForm::half, false, true},       // Q8_A
};

/// One quantized panel times m rows of activations: out[t][r], r = 0..31. Groups are added in ascending order:
/// acc += float(integer sum) * (weight scale * activation scale), then acc -= minimum * fsum.
struct QuantPanelArgs {
  QuantLayout layout;
  int zero_shift = -1;  // zero point = 1 << zero_shift; -1: none. Not of expanded panels: kExpandedZero
  const uint8_t* panel = nullptr;
  int64_t groups = 0;
  const ActGroup* x = nullptr;
  int64_t x_stride = 0;            // in ActGroups
  const int32_t* index = nullptr;  // rows of x to take; null: 0, 1, 2...
  int64_t m = 0;
  float* out = nullptr;  // [m][32]
  bool far = false;      // the panel comes from memory, and these rows are the first that it meets
  /// gemm_signed: the same m rows as tiles [m / 16, rounded up][tile_groups]; null: there are none. Rows of the last
  /// tile beyond m may hold anything.
  const ActTile* tiles = nullptr;
  int64_t tile_groups = 0;     // groups between two tiles of 16 rows
  int64_t prefetch = 8 << 10;  // bytes ahead that `far` weights are asked for
  bool more = false;           // out holds the sums of earlier groups, to be continued
  /// Of decoded panels: memory to ask for meanwhile, [ahead, ahead + ahead_bytes).
  const uint8_t* ahead = nullptr;
  int64_t ahead_bytes = 0;
};

/// One float32 panel [cols][32] times m rows of float32.
struct F32PanelArgs {
  const float* panel = nullptr;
  int64_t cols = 0;
  const float* x = nullptr;
  int64_t x_stride = 0;
  const int32_t* index = nullptr;
  int64_t m = 0;
  float* out = nullptr;
};

/// One float16 panel [cols][32] times m rows of bfloat16.
struct F16PanelArgs {
  const uint16_t* panel = nullptr;
  int64_t cols = 0;
  const uint16_t* x = nullptr;
  int64_t x_stride = 0;
  const int32_t* index = nullptr;
  int64_t m = 0;
  float* out = nullptr;
};

/// One bfloat16 panel [pairs][32][2] times m rows of bfloat16 [2 * pairs].
struct Bf16PanelArgs {
  const uint16_t* panel = nullptr;
  int64_t pairs = 0;
  const uint16_t* x = nullptr;
  int64_t x_stride = 0;
  const int32_t* index = nullptr;
  int64_t m = 0;
  float* out = nullptr;
};

/// Memory that will be read soon, asked for line by line between other work, so that the memory is never idle: pieces
/// of `bytes` each.
struct Ahead {
  const void* const* pieces = nullptr;
  int count = 0;
  int64_t bytes = 0;  // a multiple of 64
  int64_t at = 0;     // of the first piece that is not asked for yet
};

/// Storage of a KV block's keys of one head, 16 tokens: f32 and f16 [dim][16]; bf16 [dim/2][16][2]; q8 [dim/4][16][4],
/// code + 128, with dim rounded up: a vector holds tokens, so that scores need no horizontal sum. Values:
/// [16][row_stride], q8 as signed codes. q4: groups of 32 columns (dim rounded up to them). Keys [groups][5][16][4]:
/// lines 0 to 3 have the low four bits of codes c, whose value is 8 c - 124, quads 0..3 of a group in the low
/// nibbles, 4..7 in the high ones; line 4 has the fifth bits, quad q's in bit q. Values [16][row_stride / 2] index
/// kKvBook, columns 0..15 of a group in the low nibbles of 16 bytes, 16..31 in the high ones.
enum class KvCode : uint8_t { f32, f16, bf16, q8, q4 };

/// Dot products of nq queries with the keys of some blocks of 16: out[q][j] = scale * (q . key_j). With q8 and q4 a
/// query is int8 codes, sums over a group of 32 columns are exact integers, and groups are added in ascending order.
struct ScoreArgs {
  KvCode code = KvCode::f32;
  const void* const* keys = nullptr;        // one pointer a block
  const void* const* key_scales = nullptr;  // [groups][16] of each block: q8 float32, q4 bfloat16
  int blocks = 0;
  int dim = 0;               // a multiple of 4, q4: of 32 (queries are padded with zeros)
  const float* q = nullptr;  // f32, f16 and bf16
  int64_t q_stride = 0;
  const ActGroup* q_codes = nullptr;  // q8 and q4: [nq][groups]
  int nq = 0;
  float scale = 1.0f;
  Ahead* ahead = nullptr;  // q8 and q4: some of it is asked for
  float* out = nullptr;
  int64_t out_stride = 0;
};

/// Scores of nq queries in one split of the KV, turned into exp(s - max) in place. Query n sees [begin[n], end[n]);
/// neither bound falls as n rises. What else lies in [first, last) becomes 0.
struct SoftmaxArgs {
  float* scores = nullptr;  // [nq][kSplitTokens]
  int nq = 0;
  const int* begin = nullptr;
  const int* end = nullptr;
  int first = 0;  // multiples of kBlockTokens
  int last = 0;
  float softcap = 0.0f;
  Ahead* ahead = nullptr;  // some of it is asked for
  float* max = nullptr;    // out, [nq]; minus infinity where nothing is seen
  float* sum = nullptr;    // out, [nq]
};

/// o[q][d] = sum over tokens [begin, end) of a split of p[q][j] * value_j[d], in order of j.
struct WeightedSumArgs {
  KvCode code = KvCode::f32;
  const void* const* blocks = nullptr;  // values of the head, one pointer a block of 16 tokens
  const void* const* scales = nullptr;  // as in ScoreArgs
  int64_t row_stride = 0;               // elements between tokens
  int begin = 0;
  int end = 0;
  int dim = 0;  // a multiple of 16, q4: of 32 (rows are padded)
  const float* p = nullptr;
  int64_t p_stride = 0;
  int nq = 0;
  Ahead* ahead = nullptr;  // q8 and q4: some of it is asked for
  float* o = nullptr;
  int64_t o_stride = 0;
};

/// Keys and values of one head in one split of the KV as tiles of bf16, scale included: what `attend` multiplies. Only
/// tiles that hold any of [begin, end) are written; values of tokens outside are 0 there, keys may be anything.
struct KvTilesArgs {
  KvCode code = KvCode::q8;             // bf16 or q8
  const void* const* keys = nullptr;    // one pointer a block of 16 tokens, as in ScoreArgs; null: values only
  const void* const* values = nullptr;  // as in WeightedSumArgs
  const void* const* key_scales = nullptr;
  const void* const* value_scales = nullptr;
  Ahead* ahead = nullptr;
  int64_t row_stride = 0;  // elements between the values of two tokens
  int key_dim = 0;         // a multiple of 4
  int value_dim = 0;       // a multiple of 16
  int begin = 0;
  int end = 0;
  uint16_t* key_tiles = nullptr;    // AttendArgs::keys
  uint16_t* value_tiles = nullptr;  // AttendArgs::values
};

/// Softmax attention of up to kAttendQueries queries over one split, in bf16 with float32 sums. A step is 32 columns of
/// keys or 32 tokens of values; the products of a step are added first, then steps in ascending order. Weights are
/// rounded to bf16, and `sum` is the sum of what was rounded.
inline constexpr int kAttendQueries = 256;
struct AttendArgs {
  int key_dim = 0;                    // a multiple of 32
  int value_dim = 0;                  // a multiple of 16
  const uint16_t* queries = nullptr;  // times scale and log2(e): [nq / 16, rounded up][key_dim / 32][16][32]
  const uint16_t* keys = nullptr;     // [16 blocks][key_dim / 32][16 pairs of columns][16 tokens][2]
  const uint16_t* values = nullptr;   // [8 steps][value_dim / 16][16 pairs of tokens][16 columns][2]
  int nq = 0;
  const int* begin = nullptr;  // of each query: the positions that it sees
  const int* end = nullptr;
  int first_block = 0;  // blocks that any query sees: [first_block, blocks)
  int blocks = 0;
  float softcap = 0.0f;
  Ahead* ahead = nullptr;  // all of it is asked for
  float* max = nullptr;    // out: what the weights are measured from, [nq], as in SoftmaxArgs
  float* sum = nullptr;
  float* o = nullptr;  // [nq, rounded up to 16 from 16 on][o_stride]; o_stride a multiple of 16
  int64_t o_stride = 0;
};

/// Puts a split's result after those before it: (max, sum, o) += (part_max, part_sum, part), for n queries.
struct MergeArgs {
  const float* part = nullptr;  // [n][dim]
  const float* part_max = nullptr;
  const float* part_sum = nullptr;
  int n = 0;
  int dim = 0;  // a multiple of 16
  bool first = false;
  float* max = nullptr;
  float* sum = nullptr;
  float* o = nullptr;  // [n][dim]
};

struct IsaTable {
  const char* name;

  // Linear maps.
  /// Codes minus `zero` (modulo 256) as bytes, scales and minima as float32 (QuantLayout::expanded): for a panel that
  /// meets many rows. Null: gemm_quant is as fast without, and takes no expanded panel.
  /// Asks for what comes `prefetch` bytes behind what it reads.
  void (*expand)(QuantLayout layout, int zero, const uint8_t* panel, int64_t groups, int64_t prefetch, uint8_t* out);
  void (*gemm_quant)(const QuantPanelArgs& args);
  /// Another way for many tokens, with the bits of gemm_quant: expanded panels whose codes are signed, the zero point
  /// subtracted. Not for group16. Null: there is none.
  void (*gemm_signed)(const QuantPanelArgs& args);
  void (*gemm_f32)(const F32PanelArgs& args);
  void (*gemm_f16)(const F16PanelArgs& args);
  void (*gemm_bf16)(const Bf16PanelArgs& args);

  // Rows.
  /// 32 * groups values. `in_row` groups go side by side from `out` on, the next ones `stride` further, and so on.
  void (*quantize)(const float* x, int64_t groups, ActGroup* out, int64_t in_row, int64_t stride);
  /// The same, and what it leaves over (x - scale * code) quantized in its turn.
  void (*quantize_twice)(const float* x, int64_t groups, ActGroup* high, ActGroup* low);
  /// out = each of the groups turned by the matrix of rotate_kv() (kernels/quantize.h). In place allowed.
  void (*hadamard)(const float* x, int64_t groups, float* out);
  void (*to_bf16)(const float* x, int64_t n, uint16_t* out);
  /// out = x / sqrt(mean(x^2) + eps) * weight (null: 1). In place allowed.
  void (*rms_norm)(const float* x, const float* weight, float eps, int64_t n, float* out);
  /// gate = act(gate) * up; gelu: the tanh form, otherwise silu.
  void (*activate)(bool gelu, float* gate, const float* up, int64_t n);
  /// Turns the pairs (values[i], values[i + pairs]), interleaved: (values[2 i], values[2 i + 1]), by angles of these
  /// cosines and sines.
  void (*rotate)(float* values, const float* cosines, const float* sines, int64_t pairs, bool interleaved);
  /// x = cap * tanh(x / cap).
  void (*softcap)(float* x, int64_t n, float cap);
  /// y += a * x.
  void (*axpy)(float a, const float* x, int64_t n, float* y);
  /// y = x / by + 0, which makes -0 to +0.
  void (*divide)(const float* x, float by, int64_t n, float* y);
  /// to[r][c] += tile[r][c] * scale for c < width, rows kPanel and `stride` apart; product and sum are rounded each.
  void (*add_tile)(const float* tile, int64_t rows, int64_t width, float scale, float* to, int64_t stride);

  // Attention.
  void (*scores)(const ScoreArgs& args);
  void (*softmax)(const SoftmaxArgs& args);
  void (*weighted_sum)(const WeightedSumArgs& args);
  void (*merge)(const MergeArgs& args);
  /// Another way for bf16 and q8 caches, for any number of queries. Null: there is none.
  void (*kv_tiles)(const KvTilesArgs& args);
  void (*attend)(const AttendArgs& args);
  /// Both in one, for up to 16 queries that all see [source.begin, source.end): the same bits, sooner; tiles of keys
  /// and values are not kept. False: do it the other way.
  bool (*attend_few)(const KvTilesArgs& source, const AttendArgs& args);

  // Roofs: loops that do nothing but what they measure.
  /// `rounds` rounds of the multiply-adds that gemm_quant and gemm_bf16 use, on registers; returns multiply-adds done.
  int64_t (*probe_int8)(int64_t rounds);
  int64_t (*probe_bf16)(int64_t rounds);
  uint64_t (*probe_read)(const void* data, int64_t bytes);  // reads every cache line
};

}  // namespace autoglm::cpu
