// Intel AMX: a tile instruction multiplies 16 rows of activations by 16 rows of weights over 32 columns; what is left
// to the vector units is to scale the sums. Used where a panel meets many tokens. The sums are exact and are scaled in
// the order of gemm_quant.inl, so the bits are those of the AVX-512 kernel, which serves few tokens.
//
// Compiled with the AMX flags and in a namespace of its own. A thread's tile state is set up and released in each call.
#include "kernels/cpu/isa_avx512/amx_tiles.h"
#include "kernels/cpu/isa_avx512/simd.h"
#include "kernels/cpu/isa_tables.h"

namespace autoglm::cpu {
namespace avx512amx {

using namespace avx512;

constexpr int kTileRows = ActTile::kRows;

/// Groups whose activations and weights stay in the first-level cache while both halves of a panel meet them: 28 KB.
constexpr int64_t kNearGroups = 16;

/// Tiles 0 and 1 hold sums, 4 and 5 activations, 6 and 7 weights.
AUTOGLM_INLINE void configure(int tokens) {
  TileConfig config;
  for (int i = 0; i < 2; ++i) {
    config.set(i, tokens, 64);
    config.set(4 + i, tokens, 32);
    config.set(6 + i, 8, 64);
  }
  load_config(config);
}

/// Tile product of one group into sums, with tiles of its own: two can overlap.
template <int buffer>
AUTOGLM_INLINE void multiply_group(const void* codes, int64_t stride, const uint8_t* weights, int32_t (*sums)[W]) {
  if constexpr (buffer == 0) {
    _tile_loadd(4, codes, stride);
    _tile_loadd(6, weights, 128);
    _tile_zero(0);
    _tile_dpbssd(0, 4, 6);
    _tile_stored(0, sums, 64);
  } else {
    _tile_loadd(5, codes, stride);
    _tile_loadd(7, weights, 128);
    _tile_zero(1);
    _tile_dpbssd(1, 5, 7);
    _tile_stored(1, sums, 64);
  }
}

/// Memory that is asked for a few lines at a time, between the products of two groups.
struct Ahead {
  const uint8_t* next;
  const uint8_t* end;
  int64_t stride;  // bytes for each group
  __attribute__((always_inline)) void ask() {
    const uint8_t* const until = end - next > stride ? next + stride : end;  // both may be null
    for (; next < until; next += 64) __builtin_prefetch(next, 0, 2);
  }
};

/// One token's sums of a group, scaled and added: the order of gemm_quant.inl.
template <bool minima>
AUTOGLM_INLINE void add_group(const int32_t* sums, float x_scale, float x_fsum, F scale, F minimum, F& total) {
  total = fma(to_float(load_int(sums)), scale * splat(x_scale), total);
  if constexpr (minima) total = fnma(minimum, splat(x_fsum), total);
  asm volatile("" : "+v"(total));  // keeps the compiler from starting all tokens at once, for which registers lack
}

template <bool minima>
constexpr QuantLayout kLayout{CodeForm::byte, ScaleForm::single, false, minima};
template <bool minima>
constexpr int64_t kGroupBytes = kLayout<minima>.block_bytes();

/// Scales of a group for the 16 rows from `row` on, and minima.
template <bool minima>
AUTOGLM_INLINE F scales_of(const uint8_t* group, int row) {
  return load(reinterpret_cast<const float*>(group + kLayout<minima>.scales_at()) + row);
}
template <bool minima>
AUTOGLM_INLINE F minima_of(const uint8_t* group, int row) {
  return minima ? load(reinterpret_cast<const float*>(group + kLayout<minima>.minima_at()) + row) : F{};
}

/// Groups [0, groups) of sixteen tokens times the 16 rows of a panel from `row` on, added to total. Two buffers in
/// turn: the tile unit works on a group while the vector units scale the one before. Locals only: a tile store may
/// write anywhere, for all that the compiler knows, and would make it read members again.
template <bool minima>
AUTOGLM_INLINE void sixteen_tokens(const ActTile* x, const uint8_t* panel, int64_t groups, int row, Ahead& ahead,
                                   F (&total)[kTileRows]) {
  alignas(64) int32_t sums[2][kTileRows][W];
  const auto multiply = [&](auto buffer, int64_t g) __attribute__((always_inline)) {
    multiply_group<decltype(buffer)::value>(x[g].codes, 32,
                                            panel + g * kGroupBytes<minima> + kLayout<minima>.codes_at() + row * 4,
                                            sums[decltype(buffer)::value]);
  };
  const auto scale = [&](int buffer, int64_t g) __attribute__((always_inline)) {
    const uint8_t* group = panel + g * kGroupBytes<minima>;
    const F s = scales_of<minima>(group, row), minimum = minima_of<minima>(group, row);
    ahead.ask();
    AUTOGLM_UNROLL
    for (int t = 0; t < kTileRows; ++t) {
      add_group<minima>(sums[buffer][t], x[g].scale[t], x[g].fsum[t], s, minimum, total[t]);
    }
  };
  multiply(Constant<0>{}, 0);
  int64_t g = 0;
  for (; g + 1 < groups; g += 2) {
    multiply(Constant<1>{}, g + 1);
    scale(0, g);
    if (g + 2 < groups) multiply(Constant<0>{}, g + 2);
    scale(1, g + 1);
  }
  if (g < groups) scale(0, g);
}

/// A tile of tokens, of which `tokens` count, times a panel.
template <bool minima>
__attribute__((noinline)) void whole_tile(const QuantPanelArgs& args, const ActTile* x, int tokens, float* out,
                                          Ahead& ahead) {
  alignas(64) float whole[kTileRows * kPanel];
  float* const to = tokens == kTileRows ? out : whole;
  if (to == whole && args.more) __builtin_memcpy(whole, out, static_cast<size_t>(tokens) * kPanel * sizeof(float));
  for (int64_t first = 0; first < args.groups; first += kNearGroups) {
    const int64_t groups = args.groups - first < kNearGroups ? args.groups - first : kNearGroups;
    for (int half = 0; half < 2; ++half) {
      F total[kTileRows];
      AUTOGLM_UNROLL
      for (int t = 0; t < kTileRows; ++t) total[t] = first > 0 || args.more ? load(to + t * kPanel + half * W) : F{};
      sixteen_tokens<minima>(x + first, args.panel + first * kGroupBytes<minima>, groups, half * W, ahead, total);
      AUTOGLM_UNROLL
      for (int t = 0; t < kTileRows; ++t) store(to + t * kPanel + half * W, total[t]);
    }
  }
  if (to == whole) __builtin_memcpy(out, whole, static_cast<size_t>(tokens) * kPanel * sizeof(float));
}

/// Tokens that are not in tiles: those of an expert.
template <bool minima>
__attribute__((noinline)) void some_tokens(const QuantPanelArgs& args, int64_t first, int tokens, int row) {
  alignas(64) int32_t sums[kTileRows][W];
  alignas(64) int8_t codes[kTileRows][32];
  const ActGroup* x[kTileRows];
  for (int t = 0; t < tokens; ++t) {
    x[t] = args.x + (args.index != nullptr ? args.index[first + t] : first + t) * args.x_stride;
  }
  F total[kTileRows];
  for (int t = 0; t < tokens; ++t) total[t] = args.more ? load(args.out + (first + t) * kPanel + row) : F{};
  const uint8_t* weights = args.panel;
  for (int64_t g = 0; g < args.groups; ++g, weights += kGroupBytes<minima>) {
    for (int t = 0; t < tokens; ++t) __builtin_memcpy(codes[t], x[t][g].codes, 32);
    multiply_group<0>(codes, 32, weights + kLayout<minima>.codes_at() + row * 4, sums);
    const F s = scales_of<minima>(weights, row), minimum = minima_of<minima>(weights, row);
    for (int t = 0; t < tokens; ++t) add_group<minima>(sums[t], x[t][g].scale, x[t][g].fsum, s, minimum, total[t]);
  }
  for (int t = 0; t < tokens; ++t) store(args.out + (first + t) * kPanel + row, total[t]);
}

template <bool minima>
void tile_panel(const QuantPanelArgs& args) {
  int configured = 0;
  const int64_t times = (args.m + kTileRows - 1) / kTileRows * 2 * args.groups;
  Ahead ahead{args.ahead, args.ahead + args.ahead_bytes, (args.ahead_bytes / times + 64) / 64 * 64};
  for (int64_t first = 0; first < args.m; first += kTileRows) {
    const int tokens = args.m - first < kTileRows ? static_cast<int>(args.m - first) : kTileRows;
    const int rows = args.tiles != nullptr ? kTileRows : tokens;
    if (rows != configured) configure(rows);
    configured = rows;
    if (args.tiles != nullptr) {
      whole_tile<minima>(args, args.tiles + first / kTileRows * args.tile_groups, tokens, args.out + first * kPanel,
                         ahead);
    } else {
      for (int row = 0; row < kPanel; row += W) some_tokens<minima>(args, first, tokens, row);
    }
  }
  _tile_release();
}

static void gemm_signed(const QuantPanelArgs& args) {
  if (args.layout.minima) {
    tile_panel<true>(args);
  } else {
    tile_panel<false>(args);
  }
}

/// Tile products on registers, 16 x 16 x 64 each: the most that the unit can do.
static int64_t probe_int8(int64_t rounds) {
  alignas(64) int8_t data[kTileRows][64];
  for (int i = 0; i < kTileRows * 64; ++i) data[i / 64][i % 64] = static_cast<int8_t>(i % 7 - 3);
  TileConfig config;
  for (int i = 0; i < 8; ++i) config.set(i, kTileRows, 64);
  load_config(config);
  _tile_loadd(4, data, 64);
  _tile_loadd(5, data, 64);
  _tile_loadd(6, data, 64);
  _tile_loadd(7, data, 64);
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  for (int64_t round = 0; round < rounds; ++round) {
    _tile_dpbssd(0, 4, 6);
    _tile_dpbssd(1, 4, 7);
    _tile_dpbssd(2, 5, 6);
    _tile_dpbssd(3, 5, 7);
  }
  _tile_release();
  return rounds * 4 * kTileRows * kTileRows * 64;
}

}  // namespace avx512amx

void use_amx_attention(IsaTable& table);  // amx_attention.cpp

void use_amx(IsaTable& table) {
  table.name = "amx";
  table.gemm_signed = avx512amx::gemm_signed;
  table.probe_int8 = avx512amx::probe_int8;
  use_amx_attention(table);
}

}  // namespace autoglm::cpu
