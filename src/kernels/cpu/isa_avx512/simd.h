// AVX-512 with VNNI: 16 rows a vector; 2 vectors x 6 tokens of int32 and of float32 sums fill 24 of 32 registers.
#pragma once

#include <immintrin.h>

#include <cstdint>

#include "kernels/cpu/isa_table.h"
#include "kernels/cpu/simd/unroll.h"

namespace autoglm::cpu::avx512 {

constexpr int W = 16;
#include "kernels/cpu/simd/common.inl"

constexpr bool kExpands = true;
constexpr int kTokens = 6;
constexpr int row_vectors(int) { return 2; }
constexpr int float_row_vectors(int) { return 2; }
constexpr int kFloatScoreQueries = 6;
constexpr int kScoreQueries = 6;
constexpr int kScoreVectors = 2;
constexpr int kValueQueries = 6;

static inline F fma(F a, F b, F c) { return _mm512_fmadd_ps(a, b, c); }
static inline F fnma(F a, F b, F c) { return _mm512_fnmadd_ps(a, b, c); }
static inline F load_f16(const uint16_t* p) {
  return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
}

/// Bytes 0..15 to book[i] + 128.
template <const int8_t (&book)[16]>
static inline I look_up(I indices) {
  const __m128i table = _mm_xor_si128(_mm_loadu_si128(reinterpret_cast<const __m128i*>(book)), _mm_set1_epi8(-128));
  return (I)_mm512_shuffle_epi8(_mm512_broadcast_i32x4(table), (__m512i)indices);
}
static inline I shifted_left(I value, I by) { return (I)_mm512_sllv_epi32((__m512i)value, (__m512i)by); }

// clang-format off: later parts use earlier ones.
#include "kernels/cpu/simd/x86_quads.inl"
#include "kernels/cpu/simd/vnni.inl"
// clang-format on

template <int bits>
static inline Sum dot(Sum sum, Codes w, Quad x) {
  return (I)_mm512_dpbusd_epi32((__m512i)sum, (__m512i)w, (__m512i)x);
}
/// Sums of products of pairs of int16, added to `sum`.
static inline I dot_pairs(I sum, I a, I b) { return (I)_mm512_dpwssd_epi32((__m512i)sum, (__m512i)a, (__m512i)b); }

}  // namespace autoglm::cpu::avx512
