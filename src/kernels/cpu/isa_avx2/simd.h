// AVX2 without VNNI: 8 rows a vector, 16 registers. Nibbles: vpmaddubsw sums in int16 over a whole group (at most
// 8 quads x 2 products x 15 x 127 = 30480). Bytes: |w| times sign(x, w), so that int16 cannot saturate (128 x 127 x 2).
#pragma once

#include <immintrin.h>

#include <cstdint>

#include "kernels/cpu/isa_table.h"
#include "kernels/cpu/simd/unroll.h"

namespace autoglm::cpu::avx2 {

constexpr int W = 8;
#include "kernels/cpu/simd/common.inl"

constexpr int kTokens = 4;
constexpr int row_vectors(int tokens) { return tokens == 1 ? 4 : tokens == 2 ? 2 : 1; }
constexpr int float_row_vectors(int tokens) { return tokens <= 2 ? 4 : 2; }
constexpr int kScoreQueries = 2;
constexpr int kValueQueries = 4;

static inline F fma(F a, F b, F c) { return _mm256_fmadd_ps(a, b, c); }
static inline F fnma(F a, F b, F c) { return _mm256_fnmadd_ps(a, b, c); }
static inline F load_f16(const uint16_t* p) {
  return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
}
static inline F load_scales(const uint16_t* p) { return load_f16(p); }

using Codes = I;
using Quad = I;
using Sum = I;
using ZeroShift = I;

static inline Codes load_codes(const uint8_t* p) {  // signed: the zero point of bytes is always 128 here
  return load_int(p) ^ splat_int(static_cast<int32_t>(0x80808080));
}
static inline Codes low_codes(const uint8_t* p) { return load_int(p) & splat_int(0x0f0f0f0f); }
static inline Codes high_codes(const uint8_t* p) { return (load_int(p) >> 4) & splat_int(0x0f0f0f0f); }
static inline Quad load_quad(const int8_t* p) {
  int32_t four;
  __builtin_memcpy(&four, p, 4);
  return splat_int(four);
}
static inline ZeroShift zero_shift(int shift) { return splat_int(shift < 0 ? 32 : shift); }  // by 32: 0
static inline I zero_term(int32_t neg_sum, ZeroShift shift) {
  return (I)_mm256_sllv_epi32((__m256i)splat_int(neg_sum), (__m256i)shift);
}
template <bool nibble>
static inline Sum start(I) {
  return I{};
}
template <bool nibble>
static inline Sum dot(Sum sum, Codes w, Quad x) {
  if constexpr (nibble) {
    return (I)_mm256_add_epi16((__m256i)sum, _mm256_maddubs_epi16((__m256i)w, (__m256i)x));
  } else {
    const __m256i pairs = _mm256_maddubs_epi16(_mm256_abs_epi8((__m256i)w), _mm256_sign_epi8((__m256i)x, (__m256i)w));
    return sum + (I)_mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
  }
}
template <bool nibble>
static inline I finish(Sum sum, I zero) {
  return nibble ? (I)_mm256_madd_epi16((__m256i)sum, _mm256_set1_epi16(1)) + zero : sum;
}

}  // namespace autoglm::cpu::avx2
