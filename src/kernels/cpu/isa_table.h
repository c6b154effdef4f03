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

/// A packed quantized layout. Panel = groups of 32 columns x 32 rows, one after the other; a group is
///   codes:  4 columns of a row are 4 adjacent bytes, 32 rows are 128 bytes ("quad"). nibble: 4 x 128 bytes, low
///   nibbles
///           hold quads 0..3, high nibbles quads 4..7; byte: 8 x 128 bytes. Codes are unsigned: code + zero point;
///   scales: float16[32], twice where group16 (columns 0..15, then 16..31);
///   minima: the same, where there are any.
/// A value is row_scale * (scale * (code - zero) - minimum); row_scale is a power of two by row, which lets float16
/// hold every scale. Scales are never float16 subnormals, infinities or NaN (such a row gets row_scale NaN).
struct QuantLayout {
  bool nibble = false;
  bool group16 = false;
  bool minima = false;

  constexpr int code_bytes() const { return nibble ? 512 : 1024; }
  constexpr int scale_bytes() const { return group16 ? 128 : 64; }
  constexpr int group_bytes() const { return code_bytes() + scale_bytes() * (minima ? 2 : 1); }
};

/// One quantized panel times m rows of activations: out[t][r], r = 0..31. Groups are added in ascending order:
/// acc += float(integer sum) * (weight scale * activation scale), then acc -= minimum * fsum.
struct QuantPanelArgs {
  QuantLayout layout;
  int zero_shift = -1;  // zero point = 1 << zero_shift; -1: none
  const uint8_t* panel = nullptr;
  const float* row_scale = nullptr;  // [32]
  int64_t groups = 0;
  const ActGroup* x = nullptr;
  int64_t x_stride = 0;            // in ActGroups
  const int32_t* index = nullptr;  // rows of x to take; null: 0, 1, 2...
  int64_t m = 0;
  float* out = nullptr;  // [m][32]
  /// gemm_signed: the same m rows as tiles [m / 16, rounded up][groups]; null: there are none. Rows of the last tile
  /// beyond m may hold anything.
  const ActTile* tiles = nullptr;
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

/// Storage of a KV block's keys of one head, 16 tokens: f32 [dim][16]; bf16 [dim/2][16][2]; q8 [dim/4][16][4], code +
/// 128, with dim rounded up: a vector holds tokens, so that scores need no horizontal sum. Values: [16][row_stride], q8
/// as signed codes.
enum class KvCode : uint8_t { f32, bf16, q8 };

/// Dot products of nq queries with the 16 keys of a block: out[q][j] = scale * (q . key_j). With q8 a query is the sum
/// of two rows of codes (its int8 rounding, and that of what the first leaves over: 15 bits in all), sums over a group
/// of 32 columns are exact integers, and groups are added in ascending order.
struct ScoreArgs {
  KvCode code = KvCode::f32;
  const void* keys = nullptr;
  const float* key_scales = nullptr;  // [groups][16]; q8 only
  int dim = 0;                        // a multiple of 4 (queries are padded with zeros)
  const float* q = nullptr;           // f32 and bf16
  int64_t q_stride = 0;
  const ActGroup* q_codes = nullptr;  // q8: [nq][2][groups]
  int nq = 0;
  float scale = 1.0f;
  float* out = nullptr;
  int64_t out_stride = 0;
};

/// Scores of one query in one split of the KV, turned into exp(s - max) in place. Positions outside [begin, end) of the
/// `count` (a multiple of 16) become 0.
struct SoftmaxArgs {
  float* scores = nullptr;
  int begin = 0;
  int end = 0;
  int count = 0;
  float softcap = 0.0f;
  float max = 0.0f;  // out
  float sum = 0.0f;  // out
};

/// o[q][d] = sum over tokens [begin, end) of a split of p[q][j] * value_j[d], in order of j.
struct WeightedSumArgs {
  KvCode code = KvCode::f32;
  const void* const* blocks = nullptr;   // values of the head, one pointer a block of 16 tokens
  const float* const* scales = nullptr;  // [groups][16] of each block; q8 only
  int64_t row_stride = 0;                // elements between tokens
  int begin = 0;
  int end = 0;
  int dim = 0;  // a multiple of 16 (rows are padded)
  const float* p = nullptr;
  int64_t p_stride = 0;
  int nq = 0;
  float* o = nullptr;
  int64_t o_stride = 0;
};

struct IsaTable {
  const char* name;

  // Linear maps.
  /// From a nibble layout to the byte layout of the same kind (codes keep their zero point). Null: gemm_quant is as
  /// fast on nibbles, and takes bytes only with a zero point of 128.
  void (*expand_nibbles)(QuantLayout layout, const uint8_t* panel, int64_t groups, uint8_t* out);
  void (*gemm_quant)(const QuantPanelArgs& args);
  /// Another way for many tokens, with the bits of gemm_quant: expand_signed makes a byte panel whose codes are signed,
  /// the zero point subtracted, and gemm_signed multiplies such panels only. Not for group16. Null: there is none.
  void (*expand_signed)(QuantLayout layout, int zero_shift, const uint8_t* panel, int64_t groups, uint8_t* out);
  void (*gemm_signed)(const QuantPanelArgs& args);
  void (*gemm_f32)(const F32PanelArgs& args);
  void (*gemm_f16)(const F16PanelArgs& args);
  void (*gemm_bf16)(const Bf16PanelArgs& args);

  // Rows.
  void (*quantize)(const float* x, int64_t groups, ActGroup* out);  // n = 32 * groups
  /// The same, and what it leaves over (x - scale * code) quantized in its turn.
  void (*quantize_twice)(const float* x, int64_t groups, ActGroup* high, ActGroup* low);
  void (*to_bf16)(const float* x, int64_t n, uint16_t* out);
  /// out = x / sqrt(mean(x^2) + eps) * weight (null: 1). In place allowed.
  void (*rms_norm)(const float* x, const float* weight, float eps, int64_t n, float* out);
  /// gate = act(gate) * up; gelu: the tanh form, otherwise silu.
  void (*activate)(bool gelu, float* gate, const float* up, int64_t n);
  /// x = cap * tanh(x / cap).
  void (*softcap)(float* x, int64_t n, float cap);
  /// y += a * x.
  void (*axpy)(float a, const float* x, int64_t n, float* y);

  // Attention.
  void (*scores)(const ScoreArgs& args);
  void (*softmax)(SoftmaxArgs& args);
  void (*weighted_sum)(const WeightedSumArgs& args);

  // Roofs: loops that do nothing but what they measure.
  /// `rounds` rounds of the multiply-adds that gemm_quant and gemm_bf16 use, on registers; returns multiply-adds done.
  int64_t (*probe_int8)(int64_t rounds);
  int64_t (*probe_bf16)(int64_t rounds);
  uint64_t (*probe_read)(const void* data, int64_t bytes);  // reads every cache line
};

}  // namespace autoglm::cpu
