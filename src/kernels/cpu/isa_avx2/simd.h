// AVX2 without VNNI. vpmaddubsw sums in int16, so only as many quads are added up there
// as cannot saturate it: 2 products a quad of at most (2^bits - 1) x 127, 30480 for 8 quads of 4 bits, 31496 for 4 of
// 5, 32004 for 2 of 6. Codes of 8 bits are made signed, and |w| times sign(x, w) is at most 128 x 127 x 2 in a quad.
#pragma once

#include <immintrin.h>

#include <cstdint>

#include "kernels/cpu/isa_table.h"
#include "kernels/cpu/simd/unroll.h"

namespace autoglm::cpu::avx2 {

constexpr int W = 8;
// clang-format off: later parts use earlier ones.
#include "kernels/cpu/simd/common.inl"
#include "kernels/cpu/simd/x86_256.inl"
#include "kernels/cpu/simd/x86_quads.inl"
// clang-format on

constexpr bool kExpands = false;

struct Sum {
  I words;  // int16, two a row
  I total;
};

template <int bits>
static inline Codes codes_of(I unsigned_codes) {  // 8 bits: signed, because their zero point is always 128
  return bits == 8 ? unsigned_codes ^ splat_int(static_cast<int32_t>(0x80808080)) : unsigned_codes;
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
