// Setting up Intel AMX's tiles, for the files that are compiled with its flags.
#pragma once

#include <immintrin.h>

#include <cstdint>

namespace autoglm::cpu::avx512amx {

/// A number as a type: tile instructions take theirs as constants.
template <int n>
struct Constant {
  static constexpr int value = n;
};

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
