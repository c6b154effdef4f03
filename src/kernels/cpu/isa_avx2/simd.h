// AVX2 without VNNI: 8 rows a vector, 16 registers. vpmaddubsw sums in int16, so only as many quads are added up there
// as cannot saturate it: 2 products a quad of at most (2^bits - 1) x 127, 30480 for 8 quads of 4 bits, 31496 for 4 of
// 5, 32004 for 2 of 6. Codes of 8 bits are made signed, and |w| times sign(x, w) is at most 128 x 127 x 2 in a quad.
#pragma once

#include <immintrin.h>

#include <cstdint>

#include "kernels/cpu/isa_table.h"
#include "kernels/cpu/simd/unroll.h"

namespace autoglm::cpu::avx2 {

constexpr int W = 8;
#include "kernels/cpu/simd/common.inl"

constexpr bool kExpands = false;
constexpr int kTokens = 4;
constexpr int row_vectors(int tokens) { return tokens == 1 ? 4 : tokens == 2 ? 2 : 1; }
constexpr int float_row_vectors(int tokens) { return tokens <= 2 ? 4 : 2; }
constexpr int kFloatScoreQueries = 2;
constexpr int kScoreQueries = 4;
constexpr int kScoreVectors = 2;
constexpr int kValueQueries = 4;

static inline F fma(F a, F b, F c) { return _mm256_fmadd_ps(a, b, c); }
static inline F fnma(F a, F b, F c) { return _mm256_fnmadd_ps(a, b, c); }
static inline F load_f16(const uint16_t* p) {
  return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
}

using Codes = I;
using Quad = I;
struct Sum {
  I words;  // int16, two a row
  I total;
};
using ZeroShift = I;

/// Bytes 0..15 to book[i] + 128.
template <const int8_t (&book)[16]>
static inline I look_up(I indices) {
  const __m128i table = _mm_xor_si128(_mm_loadu_si128(reinterpret_cast<const __m128i*>(book)), _mm_set1_epi8(-128));
  return (I)_mm256_shuffle_epi8(_mm256_broadcastsi128_si256(table), (__m256i)indices);
}
template <int bits>
static inline Codes codes_of(I unsigned_codes) {  // 8 bits: signed, because their zero point is always 128
  return bits == 8 ? unsigned_codes ^ splat_int(static_cast<int32_t>(0x80808080)) : unsigned_codes;
}
static inline Quad load_quad(const int8_t* p) {
  int32_t four;
  __builtin_memcpy(&four, p, 4);
  return splat_int(four);
}
static inline ZeroShift zero_shift(int shift) { return splat_int(shift < 0 ? 32 : shift); }  // by 32: 0
static inline I zero_term(int32_t neg_sum, ZeroShift shift) {
  return (I)_mm256_sllv_epi32((__m256i)splat_int(neg_sum), (__m256i)shift);
}
template <int bits>
static inline Sum start(I zero) {
  return {I{}, bits == 8 ? I{} : zero};
}
template <int bits>
static inline Sum dot(Sum sum, Codes w, Quad x) {
  const __m256i codes = bits == 8 ? _mm256_abs_epi8((__m256i)w) : (__m256i)w;
  const __m256i four = bits == 8 ? _mm256_sign_epi8((__m256i)x, (__m256i)w) : (__m256i)x;
  return {(I)_mm256_add_epi16((__m256i)sum.words, _mm256_maddubs_epi16(codes, four)), sum.total};
}
/// Sums of products of pairs of int16, added to `sum`.
static inline I dot_pairs(I sum, I a, I b) { return sum + (I)_mm256_madd_epi16((__m256i)a, (__m256i)b); }
constexpr int fold_quads(int bits) { return bits == 8 ? 1 : 8 >> (bits - 4); }
static inline Sum fold(Sum sum) {
  return {I{}, sum.total + (I)_mm256_madd_epi16((__m256i)sum.words, _mm256_set1_epi16(1))};
}
template <int bits>
static inline I finish(Sum sum, I) {
  return sum.total;
}

}  // namespace autoglm::cpu::avx2
