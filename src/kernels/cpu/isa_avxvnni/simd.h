// AVX2 with AVX-VNNI: 8 rows a vector, 16 registers.
#pragma once

#include <immintrin.h>

#include <cstdint>

#include "kernels/cpu/isa_table.h"
#include "kernels/cpu/simd/unroll.h"

namespace autoglm::cpu::avxvnni {

constexpr int W = 8;
#include "kernels/cpu/simd/common.inl"

constexpr bool kExpands = true;
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
using Sum = I;
using ZeroShift = I;

/// Bytes 0..15 to book[i] + 128.
template <const int8_t (&book)[16]>
static inline I look_up(I indices) {
  const __m128i table = _mm_xor_si128(_mm_loadu_si128(reinterpret_cast<const __m128i*>(book)), _mm_set1_epi8(-128));
  return (I)_mm256_shuffle_epi8(_mm256_broadcastsi128_si256(table), (__m256i)indices);
}
template <int bits>
static inline Codes codes_of(I unsigned_codes) {
  return unsigned_codes;
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
  return zero;
}
template <int bits>
static inline Sum dot(Sum sum, Codes w, Quad x) {
  return (I)_mm256_dpbusd_avx_epi32((__m256i)sum, (__m256i)w, (__m256i)x);
}
/// Sums of products of pairs of int16, added to `sum`.
static inline I dot_pairs(I sum, I a, I b) { return (I)_mm256_dpwssd_avx_epi32((__m256i)sum, (__m256i)a, (__m256i)b); }
constexpr int fold_quads(int) { return 8; }
static inline Sum fold(Sum sum) { return sum; }
template <int bits>
static inline I finish(Sum sum, I) {
  return sum;
}

}  // namespace autoglm::cpu::avxvnni
