// What both ways of attention in bf16 share, those with tiles and those without: how keys and values are decoded and
// rounded, and the softmax. Included by files that are compiled with the same flags.
#pragma once

#include "kernels/cpu/isa_avx512/simd.h"

namespace autoglm::cpu::avx512amx {

using namespace avx512;
#include "kernels/cpu/simd/exp.inl"

constexpr int kRows = 16;             // of a tile
constexpr int kStep = 32;             // columns of keys, or tokens, that one tile product adds up
constexpr int kTile = kRows * kStep;  // bf16 values of a tile
constexpr int kBlocks = kSplitTokens / kBlockTokens;
constexpr float kLog2E = 1.44269504088896341f, kLn2 = 0.693147180559945309f;

/// What takes 32768 + 128 times the scale away from the codes of `key_columns`.
static inline F key_offset(F scale) { return scale * splat(-32768.0f - 128.0f); }

/// Four columns of 16 tokens, stored as code + 128. A byte b becomes the float32 32768 + b by its place in the bits.
AUTOGLM_INLINE void key_columns(const uint8_t* codes, F scale, F offset, F (&columns)[4]) {
  const auto bits = (__m512i)load_int(codes), place = (__m512i)splat_int(0xff00);
  const auto base = (__m512i)splat_int(0x47000000);
  const auto value = [&](__m512i at) __attribute__((always_inline)) {
    return fma((F)_mm512_ternarylogic_epi32(at, place, base, 0xea), scale, offset);
  };
  columns[0] = value(_mm512_slli_epi32(bits, 8));
  columns[1] = value(bits);
  columns[2] = value(_mm512_srli_epi32(bits, 8));
  columns[3] = value(_mm512_srli_epi32(bits, 16));
}

/// 16 columns of one token's values.
template <KvCode code>
AUTOGLM_INLINE F value_row(const void* row, const float* scale) {
  if constexpr (code == KvCode::bf16) {
    const __m256i bits = _mm256_loadu_si256(static_cast<const __m256i*>(row));
    return (F)_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16);
  } else {
    return to_float((I)_mm512_cvtepi8_epi32(_mm_loadu_si128(static_cast<const __m128i*>(row)))) * splat(*scale);
  }
}

/// 2^x: x = n + f with n = floor(x), and a polynomial in f in [0, 1) whose relative error is 7.5e-5, a fiftieth
/// of what rounding to bf16 may cost. Lanes outside `seen` are 0.
AUTOGLM_INLINE F power_of_two(F x, __mmask16 seen) {
  const F f = _mm512_reduce_ps(x, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
  F p = splat(7.80246113e-2f);
  p = fma(p, f, splat(2.26067287e-1f));
  p = fma(p, f, splat(6.95833352e-1f));
  p = fma(p, f, splat(9.99925253e-1f));
  return _mm512_maskz_scalef_ps(seen, p, x);
}

/// Scores, in units of ln 2, under a soft cap.
AUTOGLM_INLINE F capped(F scores, float cap) { return soft_cap(scores * splat(kLn2), cap) * splat(kLog2E); }

/// Bits [begin, end) of 16.
static inline __mmask16 range(int begin, int end) {
  const auto below = [](int n) { return n <= 0 ? 0u : n >= 16 ? 0xffffu : (1u << static_cast<unsigned>(n)) - 1u; };
  return static_cast<__mmask16>(below(end) & ~below(begin));
}

/// Largest lane of each of 16 vectors, rounded up to an integer. A NaN is passed over here and comes back in the sums.
static inline F ceilings(const F (&rows)[kRows]) {
  I bits[kRows];
  for (int q = 0; q < kRows; ++q) bits[q] = float_to_bits(rows[q]);
  const I largest = reduce_each<kRows>(
      bits, [](I a, I b) { return float_to_bits(_mm512_max_ps(bits_to_float(a), bits_to_float(b))); });
  return _mm512_roundscale_ps(bits_to_float(largest), _MM_FROUND_TO_POS_INF | _MM_FROUND_NO_EXC);
}

/// Whether the sum of a query's weights says that its scores were near enough to what they were measured from.
static inline bool usable_sum(float sum) { return sum <= 3.0e38f; }

/// IsaTable::attend_few for up to kFewQueries queries, without tiles: faster than tiles for a split that is not seen
/// whole, which would be turned into tiles first, and for up to kFewerThanTiles queries otherwise.
constexpr int kFewQueries = 4, kFewerThanTiles = 2;
bool attend_without_tiles(const KvTilesArgs& source, const AttendArgs& args);

}  // namespace autoglm::cpu::avx512amx
