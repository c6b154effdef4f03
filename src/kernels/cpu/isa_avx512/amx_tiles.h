// Setting up Intel AMX's tiles, for the files that are compiled with its flags.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

namespace autoglm::cpu::avx512amx {

/// A number as a type: tile instructions take theirs as constants.
template <int n>
struct Constant {
  static constexpr int value = n;
};

// Tile instructions whose tiles are template parameters. GCC 12's intrinsics paste their arguments into the assembler's
// text, which takes literals only.
#if defined(__clang__)
template <int tile>
static inline __attribute__((always_inline)) void tile_zero() {
  _tile_zero(tile);
}
template <int tile>
static inline __attribute__((always_inline)) void tile_load(const void* p, size_t stride) {
  _tile_loadd(tile, p, stride);
}
template <int tile>
static inline __attribute__((always_inline)) void tile_store(void* p, size_t stride) {
  _tile_stored(tile, p, stride);
}
template <int sum, int a, int b>
static inline __attribute__((always_inline)) void tile_dot_bf16() {
  _tile_dpbf16ps(sum, a, b);
}
#else
template <int tile>
static inline __attribute__((always_inline)) void tile_zero() {
  asm volatile("tilezero %%tmm%c0" : : "i"(tile));
}
template <int tile>
static inline __attribute__((always_inline)) void tile_load(const void* p, size_t stride) {
  asm volatile("tileloadd (%0,%1,1), %%tmm%c2" : : "r"(p), "r"(stride), "i"(tile) : "memory");
}
template <int tile>
static inline __attribute__((always_inline)) void tile_store(void* p, size_t stride) {
  asm volatile("tilestored %%tmm%c2, (%0,%1,1)" : : "r"(p), "r"(stride), "i"(tile) : "memory");
}
template <int sum, int a, int b>
static inline __attribute__((always_inline)) void tile_dot_bf16() {
  asm volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(sum), "i"(a), "i"(b));
}
#endif

/// Intel's tile configuration, palette 1: eight tiles of up to 16 rows of 64 bytes.
struct alignas(64) TileConfig {
  uint8_t palette = 1;
  uint8_t start_row = 0;
  uint8_t reserved[14] = {};
  uint16_t row_bytes[16] = {};
  uint8_t rows[16] = {};

  void set(int tile, int tile_rows, int bytes) {
    rows[tile] = static_cast<uint8_t>(tile_rows);
    row_bytes[tile] = static_cast<uint16_t>(bytes);
  }
};

static inline void load_config(const TileConfig& config) {
  asm volatile("" : : "r"(&config) : "memory");  // GCC 12 believes that only the first 8 bytes are read
  _tile_loadconfig(&config);
}

}  // namespace autoglm::cpu::avx512amx
