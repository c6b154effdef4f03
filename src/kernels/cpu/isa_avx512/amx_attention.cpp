// Attention in bf16 with Intel AMX. The keys and values of a split are turned into tiles once for all queries that meet
// them; then 32 queries at a time go through scores, softmax and weighted sum, all in the first- and second-level
// cache.
//
// Rounding queries, keys, values and weights to bf16 costs a relative 2^-8 at most each, somewhat less than the int8
// codes of the cache: those cost 1/254 of the largest of 32 columns.
//
// Compiled with the AMX flags and in a namespace of its own.
#include "kernels/cpu/isa_avx512/amx_attention.h"

#include "kernels/cpu/isa_avx512/amx_tiles.h"
#include "kernels/cpu/isa_tables.h"

namespace autoglm::cpu {
namespace avx512amx {

static inline void store_int(void* p, I v) { _mm512_storeu_si512(p, (__m512i)v); }

/// Tiles 0 to 3 hold sums of `queries` rows, 4 and 5 queries or weights, 6 and 7 keys or values.
static void configure(int queries) {
  TileConfig config;
  for (int i = 0; i < 6; ++i) config.set(i, queries, 64);
  config.set(6, kRows, 64);
  config.set(7, kRows, 64);
  load_config(config);
}

// ---- Tiles of keys and values

/// Two vectors as pairs of bf16, lane i: even[i], odd[i]. Rounded to nearest, ties away from zero.
static inline I pairs_of(F even, F odd) {
  const I half = splat_int(0x8000), high = splat_int(static_cast<int32_t>(0xffff0000));
  const auto low = (I)_mm512_srli_epi32((__m512i)(float_to_bits(even) + half), 16);
  return (I)_mm512_ternarylogic_epi32((__m512i)high, (__m512i)(float_to_bits(odd) + half), (__m512i)low, 0xca);
}

/// Four columns of 16 tokens as two lines of pairs.
AUTOGLM_INLINE void key_quad(const uint8_t* codes, F scale, F offset, uint16_t* out) {
  F columns[4];
  key_columns(codes, scale, offset, columns);
  store_int(out, pairs_of(columns[0], columns[1]));
  store_int(out + kStep, pairs_of(columns[2], columns[3]));
}

/// A part of the lines for each of 16 calls.
static inline int64_t sixteenth(const Ahead& ahead) { return (ahead.count * ahead.bytes - ahead.at) / 64 / 16 + 1; }

template <KvCode code>
static void key_block(const void* block, const void* scales, int dim, Ahead& ahead, uint16_t* out) {
  const int lines = (dim + 1) / 2, padded = (dim + kStep - 1) / kStep * kStep / 2;
  if constexpr (code == KvCode::bf16) {
    const auto* pairs = static_cast<const uint16_t*>(block);
    for (int line = 0; line < lines; ++line) {
      ask(ahead, 1);
      store_int(out + line * kStep, load_int(pairs + line * kStep));
    }
  } else {
    const auto* codes = static_cast<const uint8_t*>(block);
    for (int column = 0; column < dim; column += kScaleGroup) {
      const F scale = load(static_cast<const float*>(scales) + column / kScaleGroup * kBlockTokens),
              offset = key_offset(scale);
      const int end = column + kScaleGroup < dim ? column + kScaleGroup : dim;
      for (int c = column; c < end; c += 4) {
        ask(ahead, 1);
        key_quad(codes + c * kBlockTokens, scale, offset, out + c * kBlockTokens);
      }
    }
  }
  for (int line = lines; line < padded; ++line) store_int(out + line * kStep, I{});
}

/// Values of a block into its half of the tiles of a step; tokens outside [begin, end) are 0.
template <KvCode code, bool whole>
static void value_block(const void* block, const void* scales_of_rows, int64_t stride, int tiles, int begin, int end,
                        Ahead& ahead, uint16_t* out) {
  constexpr int64_t size = code == KvCode::bf16 ? 2 : 1;
  const auto* rows = static_cast<const uint8_t*>(block);
  const auto* scales = static_cast<const float*>(scales_of_rows);
  for (int t = 0; t < tiles; ++t) {
    AUTOGLM_UNROLL
    for (int i = 0; i < kBlockTokens / 2; ++i) {
      const auto row = [&](int token) __attribute__((always_inline)) {
        if (!whole && (token < begin || token >= end)) return F{};
        return value_row<code>(rows + (token * stride + t * 16) * size,
                               code == KvCode::bf16 ? nullptr : scales + t * 16 / kScaleGroup * kBlockTokens + token);
      };
      if (whole && i % 4 == 0) ask(ahead, 1);
      store_int(out + t * kTile + i * kStep, pairs_of(row(2 * i), row(2 * i + 1)));
    }
  }
}

/// Values of block b into its half of the tiles of a step.
template <KvCode code>
static void values_of(const KvTilesArgs& args, int b, uint16_t* step) {
  const int begin = args.begin - b * kBlockTokens, end = args.end - b * kBlockTokens, tiles = args.value_dim / 16;
  uint16_t* out = step + b % 2 * (kTile / 2);
  if (begin >= kBlockTokens || end <= 0) {
    value_block<code, false>(nullptr, nullptr, 0, tiles, 0, 0, *args.ahead, out);
  } else if (begin <= 0 && end >= kBlockTokens) {
    value_block<code, true>(args.values[b], args.value_scales[b], args.row_stride, tiles, 0, 0, *args.ahead, out);
  } else {
    value_block<code, false>(args.values[b], args.value_scales[b], args.row_stride, tiles, begin, end, *args.ahead,
                             out);
  }
}

template <KvCode code>
static void tiles_of(const KvTilesArgs& args) {
  const int64_t key_size = static_cast<int64_t>(args.key_dim + kStep - 1) / kStep * kTile;
  const int64_t step_size = args.value_dim / 16 * kTile;
  configure(1);
  for (int b = args.begin / kStep * 2; b * kBlockTokens < args.end || b % 2 != 0; ++b) {
    // Keeps the tile unit awake: its first product after some microseconds waits for half of one.
    if (b % 2 == 0) tile_dot_bf16<0, 4, 6>();
    if (args.key_tiles != nullptr && b * kBlockTokens < args.end && (b + 1) * kBlockTokens > args.begin) {
      key_block<code>(args.keys[b], args.key_scales[b], args.key_dim, *args.ahead, args.key_tiles + b * key_size);
    }
    values_of<code>(args, b, args.value_tiles + b / 2 * step_size);
  }
}

static void kv_tiles(const KvTilesArgs& args) {
  if (args.code == KvCode::bf16) {
    tiles_of<KvCode::bf16>(args);
  } else {
    tiles_of<KvCode::q8>(args);
  }
}

// ---- Attention

constexpr int kChunk = 4;                           // blocks whose scores are computed together
constexpr int kTileWeights = kRows * kSplitTokens;  // bf16 values
constexpr int kBlockScores = kRows * kBlockTokens;  // floats

/// Scores of 16 queries with the keys of four blocks, [4][16 queries][16 tokens]: one block a call, so that the vector
/// units can work on other scores meanwhile. The tile unit runs beside them for nothing: for half a microsecond after a
/// tile product they multiply at half their speed anyway (measured on Sapphire Rapids).
class ChunkScores {
 public:
  ChunkScores() = default;
  ChunkScores(const AttendArgs& args, int tile, int first_block, float* out)
      : steps_(args.key_dim / kStep),
        queries_(args.queries + static_cast<int64_t>(tile) * steps_ * kTile),
        keys_(args.keys + static_cast<int64_t>(first_block) * steps_ * kTile),
        out_(out) {}

  /// Begins block i in tile i, and stores the one before it: that late, because a tile store waits for the products and
  /// holds up those behind it.
  template <int i>
  AUTOGLM_INLINE_MEMBER void block() const {
    if (out_ == nullptr) return;
    if constexpr (i == 0) {
      if (steps_ == 2) {  // a head of 64 columns: the queries stay
        tile_load<4>(queries_, 64);
        tile_load<5>(queries_ + kTile, 64);
      }
    } else {
      store<i - 1>();
    }
    const uint16_t* keys = keys_ + static_cast<int64_t>(i) * steps_ * kTile;
    tile_zero<i>();
    if (steps_ == 2) {
      tile_load<6>(keys, 64);
      tile_dot_bf16<i, 4, 6>();
      tile_load<7>(keys + kTile, 64);
      tile_dot_bf16<i, 5, 7>();
      return;
    }
    for (int k = 0; k < steps_; ++k) {
      tile_load<4>(queries_ + k * kTile, 64);
      tile_load<6>(keys + k * kTile, 64);
      tile_dot_bf16<i, 4, 6>();
    }
  }
  AUTOGLM_INLINE_MEMBER void finish() const {
    if (out_ != nullptr) store<3>();
  }
  AUTOGLM_INLINE_MEMBER void all() const {
    block<0>();
    block<1>();
    block<2>();
    block<3>();
    finish();
  }

 private:
  template <int i>
  AUTOGLM_INLINE_MEMBER void store() const {
    tile_store<i>(out_ + i * kBlockScores, 64);
  }

  int steps_ = 0;
  const uint16_t* queries_ = nullptr;
  const uint16_t* keys_ = nullptr;
  float* out_ = nullptr;  // null: nothing to do
};

static inline void soft_cap_scores(float* scores, int blocks, float cap) {
  for (int i = 0; i < blocks * kRows; ++i) {
    store(scores + i * W, capped(load(scores + i * W), cap));
  }
}

/// Weights of queries [first, end) for a chunk, [2 steps][16 queries][32 tokens]: 2^(score - reference).
AUTOGLM_INLINE void chunk_weights(const float* scores, const float* reference, int first, int end, uint16_t* weights) {
  for (int q = first; q < end; ++q) {
    const F shift = splat(reference[q]);
    AUTOGLM_UNROLL
    for (int b = 0; b < kChunk; b += 2) {
      const float* from = scores + b * kBlockScores + q * W;
      const F low = power_of_two(load(from) - shift, 0xffff);
      const F high = power_of_two(load(from + kBlockScores) - shift, 0xffff);
      store_int(weights + b / 2 * kTile + q * kStep, (I)_mm512_cvtne2ps_pbh(high, low));
    }
  }
}

/// The first positions that the queries of a tile see decide what their scores are measured from: the largest score of
/// that block, rounded up to an integer. Any integer near enough would give the same bits, because it only shifts
/// exponents; `false` from usable() says that it was not near enough.
struct Softmax {
  alignas(64) float reference[kRows];
  alignas(64) float sums[kRows][W];

  bool usable(int n) const {
    for (int q = 0; q < n; ++q) {
      if (!usable_sum(sums[q][0])) return false;
    }
    return true;
  }
};

/// Chunks of a tile whose queries see the whole split; scores of the first chunk are in buffers[0]. `next`: the first
/// chunk of the tile after it, which goes there again.
static void whole_tile_weights(const AttendArgs& args, int tile, int n, float (&buffers)[2][kChunk * kBlockScores],
                               const ChunkScores& next, Softmax& softmax, uint16_t* weights) {
  constexpr int kChunks = kBlocks / kChunk;
  const int64_t lines = sixteenth(*args.ahead);
  for (int chunk = 0; chunk < kChunks; ++chunk) {
    float* scores = buffers[chunk % 2];
    if (args.softcap > 0.0f) soft_cap_scores(scores, kChunk, args.softcap);
    if (chunk == 0) {
      F rows[kRows];
      for (int q = 0; q < kRows; ++q) rows[q] = load(scores + q * W);
      store(softmax.reference, ceilings(rows));
    }
    const ChunkScores other =
        chunk + 1 < kChunks ? ChunkScores(args, tile, (chunk + 1) * kChunk, buffers[(chunk + 1) % 2]) : next;
    const auto rows = [&](int quarter) __attribute__((always_inline)) {
      const int first = 4 * quarter, end = first + 4 < n ? first + 4 : n;
      ask(*args.ahead, lines);
      chunk_weights(scores, softmax.reference, first, end, weights + chunk * (kChunk / 2) * kTile);
    };
    other.block<0>();
    rows(0);
    other.block<1>();
    rows(1);
    other.block<2>();
    rows(2);
    other.block<3>();
    rows(3);
    other.finish();
  }
}

/// Any tile, with any positions seen. `exact`: scores are measured from their largest, for those that the first block
/// is too far from.
static void some_tile_weights(const AttendArgs& args, int tile, int n, bool exact, Softmax& softmax,
                              uint16_t* weights) {
  alignas(64) float scores[kBlocks * kBlockScores];
  const int first = tile * kRows, chunks_end = (args.blocks + kChunk - 1) / kChunk;
  for (int chunk = args.first_block / kChunk; chunk < chunks_end; ++chunk) {
    ChunkScores(args, tile, chunk * kChunk, scores + chunk * kChunk * kBlockScores).all();
  }
  if (args.softcap > 0.0f) soft_cap_scores(scores, chunks_end * kChunk, args.softcap);
  const auto seen = [&](int q, int b) {
    return range(args.begin[first + q] - b * kBlockTokens, args.end[first + q] - b * kBlockTokens);
  };
  const auto row = [&](int q, int b) { return load(scores + b * kBlockScores + q * W); };
  F largest[kRows];
  for (int q = 0; q < kRows; ++q) largest[q] = splat(-__builtin_inff());
  for (int q = 0; q < n; ++q) {
    const int begin = args.begin[first + q], end = args.end[first + q];
    const int last = exact ? (end - 1) / kBlockTokens : begin / kBlockTokens;
    for (int b = begin / kBlockTokens; b <= last && begin < end; ++b) {
      largest[q] = _mm512_mask_max_ps(largest[q], seen(q, b), row(q, b), largest[q]);
    }
  }
  store(softmax.reference, ceilings(largest));
  for (int q = 0; q < n; ++q) {
    const F shift = splat(softmax.reference[q]);
    for (int step = args.first_block / 2; step < (args.blocks + 1) / 2; ++step) {
      const F low = power_of_two(row(q, 2 * step) - shift, seen(q, 2 * step));
      const F high = power_of_two(row(q, 2 * step + 1) - shift, seen(q, 2 * step + 1));
      store_int(weights + step * kTile + q * kStep, (I)_mm512_cvtne2ps_pbh(high, low));
    }
  }
}

/// Columns [16 t, 16 (t + columns)) of the weighted sums of one or two tiles of queries: two share what is read.
template <int of_queries, int columns>
AUTOGLM_INLINE void sum_columns(const AttendArgs& args, const uint16_t* weights, int t, float* out) {
  constexpr bool two_queries = of_queries == 2, two_columns = columns == 2;
  const int tiles = args.value_dim / 16;
  tile_zero<0>();
  if constexpr (two_columns) tile_zero<1>();
  if constexpr (two_queries) tile_zero<2>();
  if constexpr (two_queries && two_columns) tile_zero<3>();
  for (int step = args.first_block / 2; step < (args.blocks + 1) / 2; ++step) {
    const uint16_t* values = args.values + (static_cast<int64_t>(step) * tiles + t) * kTile;
    tile_load<4>(weights + step * kTile, 64);
    tile_load<6>(values, 64);
    tile_dot_bf16<0, 4, 6>();
    if constexpr (two_columns) {
      tile_load<7>(values + kTile, 64);
      tile_dot_bf16<1, 4, 7>();
    }
    if constexpr (two_queries) {
      tile_load<5>(weights + kTileWeights + step * kTile, 64);
      tile_dot_bf16<2, 5, 6>();
      if constexpr (two_columns) tile_dot_bf16<3, 5, 7>();
    }
  }
  const auto stride = static_cast<size_t>(args.o_stride) * 4;
  tile_store<0>(out, stride);
  if constexpr (two_columns) tile_store<1>(out + 16, stride);
  if constexpr (two_queries) tile_store<2>(out + kRows * args.o_stride, stride);
  if constexpr (two_queries && two_columns) tile_store<3>(out + kRows * args.o_stride + 16, stride);
}

alignas(64) constexpr uint32_t kOnes[kRows] = {0x3f803f80, 0x3f803f80, 0x3f803f80, 0x3f803f80, 0x3f803f80, 0x3f803f80,
                                               0x3f803f80, 0x3f803f80, 0x3f803f80, 0x3f803f80, 0x3f803f80, 0x3f803f80,
                                               0x3f803f80, 0x3f803f80, 0x3f803f80, 0x3f803f80};

/// f(Count<0>) to f(Count<3>): tile registers are named in the instruction.
template <int i>
struct Count {
  static constexpr int value = i;
};
template <typename Fn>
AUTOGLM_INLINE void for_four(Fn f) {
  f(Count<0>{});
  f(Count<1>{});
  f(Count<2>{});
  f(Count<3>{});
}

/// Weighted sums of the queries of a tile or of two, and the sums of their weights, as if there were a column of ones.
template <int n>
static void weighted_sums(const AttendArgs& args, int tile, const uint16_t* weights, Softmax* softmax) {
  const int tiles = args.value_dim / 16;
  float* out = args.o + tile * kRows * args.o_stride;
  int t = 0;
  for (; t + 2 <= tiles; t += 2) sum_columns<n, 2>(args, weights, t, out + 16 * t);
  if (t < tiles) sum_columns<n, 1>(args, weights, t, out + 16 * t);
  tile_load<6>(kOnes, 0);
  tile_zero<0>();
  if constexpr (n == 2) tile_zero<1>();
  for (int step = args.first_block / 2; step < (args.blocks + 1) / 2; ++step) {
    tile_load<4>(weights + step * kTile, 64);
    tile_dot_bf16<0, 4, 6>();
    if constexpr (n == 2) {
      tile_load<5>(weights + kTileWeights + step * kTile, 64);
      tile_dot_bf16<1, 5, 6>();
    }
  }
  tile_store<0>(softmax[0].sums, 64);
  if constexpr (n == 2) tile_store<1>(softmax[1].sums, 64);
}

/// Weighted sums of a chunk's two steps, added to what is in `out` and `sums`: in the order of weighted_sums().
static void add_chunk(const AttendArgs& args, bool first, const uint16_t* weights, const uint16_t* values, float* out,
                      float* sums) {
  const int tiles = args.value_dim / 16;
  const auto stride = static_cast<size_t>(args.o_stride) * 4;
  tile_load<4>(weights, 64);
  tile_load<5>(weights + kTile, 64);
  // Products of the first step of several columns, then of the second: a product waits for the one that it adds to.
  for (int t = 0; t < tiles; t += 4) {
    const int n = tiles - t < 4 ? tiles - t : 4;
    const uint16_t* step = values + static_cast<int64_t>(t) * kTile;
    const auto columns = [&](auto constant) __attribute__((always_inline)) {
      constexpr int i = decltype(constant)::value;
      if (i >= n) return;
      if (first) {
        tile_zero<i>();
      } else {
        tile_load<i>(out + (t + i) * 16, stride);
      }
      tile_load<6>(step + i * kTile, 64);
      tile_dot_bf16<i, 4, 6>();
    };
    const auto second = [&](auto constant) __attribute__((always_inline)) {
      constexpr int i = decltype(constant)::value;
      if (i >= n) return;
      tile_load<7>(step + (tiles + i) * kTile, 64);
      tile_dot_bf16<i, 5, 7>();
    };
    const auto done = [&](auto constant) __attribute__((always_inline)) {
      constexpr int i = decltype(constant)::value;
      if (i < n) tile_store<i>(out + (t + i) * 16, stride);
    };
    for_four(columns);
    for_four(second);
    for_four(done);
  }
  if (first) {
    tile_zero<0>();
  } else {
    tile_load<0>(sums, 64);
  }
  tile_load<6>(kOnes, 0);
  tile_dot_bf16<0, 4, 6>();
  tile_dot_bf16<0, 5, 6>();
  tile_store<0>(sums, 64);
}

/// One tile of queries that see the whole split, whose keys and values are turned into tiles a chunk at a time: they
/// are used while they are in the first-level cache. False: the scores are too far from their reference.
template <KvCode code>
static bool attend_passing(const KvTilesArgs& source, const AttendArgs& all) {
  alignas(64) float scores[kChunk * kBlockScores];
  alignas(64) uint16_t weights[kChunk / 2 * kTile];
  Softmax softmax;
  AttendArgs args = all;
  args.keys = source.key_tiles;
  const int64_t key_size = static_cast<int64_t>(args.key_dim) / kStep * kTile, step_size = args.value_dim / 16 * kTile;
  configure(args.nq);
  for (int chunk = 0; chunk < kBlocks / kChunk; ++chunk) {
    for (int i = 0; i < kChunk; ++i) {
      const int b = chunk * kChunk + i;
      key_block<code>(source.keys[b], source.key_scales[b], source.key_dim, *source.ahead,
                      source.key_tiles + i * key_size);
    }
    ChunkScores(args, 0, 0, scores).all();
    for (int i = 0; i < kChunk; ++i) {
      values_of<code>(source, chunk * kChunk + i, source.value_tiles + i / 2 * step_size);
    }
    ask(*source.ahead, 3 * kBlockTokens);
    if (args.softcap > 0.0f) soft_cap_scores(scores, kChunk, args.softcap);
    if (chunk == 0) {
      F rows[kRows];
      for (int q = 0; q < kRows; ++q) rows[q] = load(scores + q * W);
      store(softmax.reference, ceilings(rows));
    }
    chunk_weights(scores, softmax.reference, 0, args.nq, weights);
    add_chunk(args, chunk == 0, weights, source.value_tiles, args.o, softmax.sums[0]);
  }
  _tile_release();
  for (int q = 0; q < args.nq; ++q) {
    args.max[q] = softmax.reference[q] * kLn2;
    args.sum[q] = softmax.sums[q][0];
  }
  return softmax.usable(args.nq);
}

static bool attend_few(const KvTilesArgs& source, const AttendArgs& args) {
  const bool whole = source.begin == 0 && source.end == kSplitTokens;
  if (args.nq <= (whole ? kFewerThanTiles : kFewQueries)) return attend_without_tiles(source, args);
  if (!whole) return false;
  return source.code == KvCode::bf16 ? attend_passing<KvCode::bf16>(source, args)
                                     : attend_passing<KvCode::q8>(source, args);
}

static void attend(const AttendArgs& args) {
  alignas(64) float buffers[2][kChunk * kBlockScores];
  alignas(64) uint16_t weights[2 * kTileWeights];
  Softmax softmax[2];
  const auto rows = [&](int tile) { return args.nq - tile * kRows < kRows ? args.nq - tile * kRows : kRows; };
  const auto whole = [&](int tile) {
    for (int q = tile * kRows; q < tile * kRows + rows(tile); ++q) {
      if (args.begin[q] > 0 || args.end[q] < kSplitTokens) return false;
    }
    return true;
  };
  // Rows of the last tile that hold no query are computed too, with what lies there, and never looked at.
  configure(rows(0));
  const int tiles = (args.nq + kRows - 1) / kRows;
  bool begun = false;  // the first scores of this tile are there
  for (int tile = 0; tile < tiles; ++tile) {
    Softmax& of_tile = softmax[tile % 2];
    uint16_t* to = weights + tile % 2 * kTileWeights;
    const bool all = whole(tile), more = all && tile + 1 < tiles && whole(tile + 1);
    if (all) {
      if (!begun) ChunkScores(args, tile, 0, buffers[0]).all();
      const ChunkScores next = more ? ChunkScores(args, tile + 1, 0, buffers[0]) : ChunkScores();
      whole_tile_weights(args, tile, rows(tile), buffers, next, of_tile, to);
    } else {
      some_tile_weights(args, tile, rows(tile), /*exact=*/false, of_tile, to);
    }
    begun = more;
    if (tile % 2 == 1) {
      weighted_sums<2>(args, tile - 1, weights, softmax);
    } else if (tile + 1 == tiles) {
      weighted_sums<1>(args, tile, weights, softmax);
    } else {
      continue;
    }
    for (int t = tile - tile % 2; t <= tile; ++t) {
      const Softmax& done = softmax[t % 2];
      if (!done.usable(rows(t))) {
        some_tile_weights(args, t, rows(t), /*exact=*/true, softmax[t % 2], weights);
        weighted_sums<1>(args, t, weights, softmax + t % 2);
      }
      for (int q = 0; q < rows(t); ++q) {
        args.max[t * kRows + q] = done.reference[q] * kLn2;
        args.sum[t * kRows + q] = done.sums[q][0];
      }
    }
  }
  _tile_release();
}

}  // namespace avx512amx

void use_amx_attention(IsaTable& table) {
  table.kv_tiles = avx512amx::kv_tiles;
  table.attend = avx512amx::attend;
  table.attend_few = avx512amx::attend_few;
}

}  // namespace autoglm::cpu
