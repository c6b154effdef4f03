// What every block type shares: little-endian halves, and rows made from the decoder of one block.
//
// A block struct has kColumns values in groups of kGroup, a name for GroupInfo (kInfo), and one of two decoders:
//   void groups(int8_t* codes, float* scales, float* minima) const;
//   void integers(int8_t* codes, int8_t* scales, int8_t* minima) const;  // times Half d, minima times Half dmin
// kColumns codes, kColumns / kGroup scales and minima; value = scale * code - minimum. Structs are made of bytes only,
// so that a block may lie at any address. Any byte pattern is a valid block (scales may then be infinite or NaN).
// integers() leaves minima alone where the type has none.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>

#include "format/quant_groups.h"
#include "format/type.h"

namespace autoglm::types {

/// An IEEE half in a file: two bytes, low first.
struct Half {
  uint8_t low;
  uint8_t high;
  uint16_t bits() const { return static_cast<uint16_t>(low | high << 8); }
  float value() const { return f16_to_f32(bits()); }
  void set(float value) {
    const uint16_t bits = f32_to_f16(value);
    low = static_cast<uint8_t>(bits);
    high = static_cast<uint8_t>(bits >> 8);
  }
};

/// groups() of any block. An integer scale times a half is exact.
template <typename Block>
void decode_block(const Block& block, int8_t* codes, float* scales, float* minima) {
  if constexpr (Block::kInfo.integer_scales) {
    constexpr int groups = Block::kColumns / Block::kInfo.group;
    int8_t integers[groups];
    int8_t integer_minima[groups];
    block.integers(codes, integers, integer_minima);
    const float d = block.d.value();
    for (int g = 0; g < groups; ++g) scales[g] = d * static_cast<float>(integers[g]);
    if constexpr (Block::kInfo.has_minimum) {
      const float dmin = block.dmin.value();
      for (int g = 0; g < groups; ++g) minima[g] = dmin * static_cast<float>(integer_minima[g]);
    } else {
      for (int g = 0; g < groups; ++g) minima[g] = 0.0f;
    }
  } else {
    block.groups(codes, scales, minima);
  }
}

/// decode_groups() of a row of blocks.
template <typename Block>
void decode_groups_row(const std::byte* blocks, int64_t n, int8_t* codes, float* scales, float* minima) {
  const auto* block = reinterpret_cast<const Block*>(blocks);
  constexpr int groups = Block::kColumns / Block::kInfo.group;
  for (int64_t i = 0; i < n / Block::kColumns; ++i) {
    decode_block(block[i], codes + i * Block::kColumns, scales + i * groups, minima + i * groups);
  }
}

/// decode_integers() of a row of blocks.
template <typename Block>
void decode_integers_row(const std::byte* blocks, int64_t n, const IntegerForm& out) {
  const auto* block = reinterpret_cast<const Block*>(blocks);
  constexpr int groups = Block::kColumns / Block::kInfo.group;
  for (int64_t i = 0; i < n / Block::kColumns; ++i) {
    block[i].integers(out.codes + i * Block::kColumns, out.scales + i * groups, out.minima + i * groups);
    out.d[i] = block[i].d.bits();
    if constexpr (Block::kInfo.has_minimum) out.dmin[i] = block[i].dmin.bits();
  }
}

/// TypeInfo::decode of a row of blocks. scale * code is exact (a half times a small integer has at most 24 bits), so a
/// value is rounded once, in the subtraction of the minimum.
template <typename Block>
void decode_row(const std::byte* blocks, float* out, int64_t n) {
  const auto* block = reinterpret_cast<const Block*>(blocks);
  constexpr int group = Block::kInfo.group;
  constexpr int groups = Block::kColumns / group;
  int8_t codes[Block::kColumns];
  float scales[groups];
  float minima[groups];
  for (int64_t i = 0; i < n / Block::kColumns; ++i) {
    decode_block(block[i], codes, scales, minima);
    float* values = out + i * Block::kColumns;
    for (int g = 0; g < groups; ++g) {
      for (int c = g * group; c < (g + 1) * group; ++c) {
        values[c] = scales[g] * static_cast<float>(codes[c]) - minima[g];
      }
    }
  }
}

/// TypeInfo::encode of a row for block types that have `void encode(const float* values)`.
template <typename Block>
void encode_row(const float* values, std::byte* blocks, int64_t n) {
  auto* block = reinterpret_cast<Block*>(blocks);
  for (int64_t i = 0; i < n / Block::kColumns; ++i) block[i].encode(values + i * Block::kColumns);
}

/// `value`, rounded down after adding `half`, as a code of 0..limit. NaN gives 0: encoders must not fail on any input.
inline uint8_t clamp_code(float value, int limit) {
  if (!(value > 0.0f)) return 0;
  return value >= static_cast<float>(limit) ? static_cast<uint8_t>(limit) : static_cast<uint8_t>(value);
}

/// 1 / x, and 0 for 0: a block of zeros is stored with scale 0.
inline float reciprocal(float x) { return x == 0.0f ? 0.0f : 1.0f / x; }

/// The value of largest magnitude, with its sign (the first of equals).
inline float signed_extreme(const float* values, int n) {
  float extreme = 0.0f;
  for (int i = 0; i < n; ++i) {
    if (std::fabs(values[i]) > std::fabs(extreme)) extreme = values[i];
  }
  return extreme;
}

}  // namespace autoglm::types
