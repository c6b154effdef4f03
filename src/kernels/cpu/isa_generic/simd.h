// The compiler's vector extensions, 4 rows a vector: SSE4.2 on x86-64, NEON on AArch64. Only the sum of products of
// adjacent int16 needs an instruction of its own.
#pragma once

#if defined(__SSSE3__)
#include <tmmintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#include <cstdint>

#include "kernels/cpu/isa_table.h"
#include "kernels/cpu/simd/unroll.h"

namespace autoglm::cpu::generic {

constexpr int W = 4;
#include "kernels/cpu/simd/common.inl"

constexpr bool kExpands = false;
constexpr int kTokens = 4;
constexpr int row_vectors(int tokens) { return tokens == 1 ? 4 : tokens == 2 ? 2 : 1; }
constexpr int float_row_vectors(int tokens) { return tokens <= 2 ? 4 : 2; }
constexpr int kFloatScoreQueries = 2;
constexpr int kScoreQueries = 4;
constexpr int kScoreVectors = 2;
constexpr int kValueQueries = 2;

static inline F fma(F a, F b, F c) { return a * b + c; }  // SSE4.2 has no fused one: rounded twice
static inline F fnma(F a, F b, F c) { return c - a * b; }

/// Any float16 by integer steps, with no float32 denormal on the way.
static inline F load_f16(const uint16_t* p) {
  const I h = __builtin_convertvector(*reinterpret_cast<const HalvesUnaligned*>(p), I);
  const I sign = (h & splat_int(0x8000)) << 16, magnitude = (h & splat_int(0x7fff)) << 13;
  const I special = magnitude + splat_int(224 << 23), normal = magnitude + splat_int(112 << 23);
  const F small = bits_to_float(magnitude + splat_int(113 << 23)) - bits_to_float(splat_int(113 << 23));
  const I bits = magnitude < splat_int(1 << 23)     ? float_to_bits(small)
                 : magnitude >= splat_int(31 << 23) ? special
                                                    : normal;
  return bits_to_float(bits | sign);
}

typedef int8_t Bytes8 __attribute__((vector_size(8)));
typedef int8_t Bytes16 __attribute__((vector_size(16)));
typedef int16_t Shorts __attribute__((vector_size(16)));

struct Codes {
  Shorts low, high;  // rows 0, 1 and rows 2, 3: four columns each
};
using Quad = Shorts;  // four columns, twice
struct Sum {
  I low, high;  // two partial sums a row
};
using ZeroShift = int32_t;  // the zero point itself

static inline Codes widen(I bytes) {
  const auto b = reinterpret_cast<Bytes16>(bytes);
  return {__builtin_convertvector(__builtin_shufflevector(b, b, 0, 1, 2, 3, 4, 5, 6, 7), Shorts),
          __builtin_convertvector(__builtin_shufflevector(b, b, 8, 9, 10, 11, 12, 13, 14, 15), Shorts)};
}
/// Bytes 0..15 to book[i] + 128.
template <const int8_t (&book)[16]>
static inline I look_up(I indices) {
  const I signed_values =
#if defined(__SSSE3__)
      (I)_mm_shuffle_epi8(_mm_loadu_si128(reinterpret_cast<const __m128i*>(book)), (__m128i)indices);
#elif defined(__aarch64__)
      (I)vqtbl1q_s8(vld1q_s8(book), (uint8x16_t)indices);
#else
      [indices] {
        auto bytes = reinterpret_cast<Bytes16>(indices);
        for (int i = 0; i < 16; ++i) bytes[i] = book[bytes[i]];
        return reinterpret_cast<I>(bytes);
      }();
#endif
  return signed_values ^ splat_int(static_cast<int32_t>(0x80808080));
}
template <int bits>
static inline Codes codes_of(I unsigned_codes) {  // 8 bits: signed, because their zero point is always 128
  return widen(bits == 8 ? unsigned_codes ^ splat_int(static_cast<int32_t>(0x80808080)) : unsigned_codes);
}
static inline Quad load_quad(const int8_t* p) {
  const Bytes8 twice = {p[0], p[1], p[2], p[3], p[0], p[1], p[2], p[3]};
  return __builtin_convertvector(twice, Shorts);
}
static inline ZeroShift zero_shift(int shift) { return shift < 0 ? 0 : 1 << shift; }
static inline I zero_term(int32_t neg_sum, ZeroShift zero) { return splat_int(neg_sum * zero); }

/// a[2i] * b[2i] + a[2i + 1] * b[2i + 1].
static inline I add_products(Shorts a, Shorts b) {
#if defined(__SSE2__)
  return (I)_mm_madd_epi16((__m128i)a, (__m128i)b);
#elif defined(__aarch64__)
  const int16x8_t x = (int16x8_t)a, y = (int16x8_t)b;
  return (I)vpaddq_s32(vmull_s16(vget_low_s16(x), vget_low_s16(y)), vmull_high_s16(x, y));
#else
  I sum;
  for (int i = 0; i < 4; ++i) sum[i] = a[2 * i] * b[2 * i] + a[2 * i + 1] * b[2 * i + 1];
  return sum;
#endif
}

/// Sums of products of pairs of int16, added to `sum`.
static inline I dot_pairs(I sum, I a, I b) { return sum + add_products((Shorts)a, (Shorts)b); }

template <int bits>
static inline Sum start(I) {
  return {I{}, I{}};
}
template <int bits>
static inline Sum dot(Sum sum, Codes w, Quad x) {
  return {sum.low + add_products(w.low, x), sum.high + add_products(w.high, x)};
}
constexpr int fold_quads(int) { return 8; }
static inline Sum fold(Sum sum) { return sum; }
template <int bits>
static inline I finish(Sum sum, I zero) {
  const I total =
      __builtin_shufflevector(sum.low, sum.high, 0, 2, 4, 6) + __builtin_shufflevector(sum.low, sum.high, 1, 3, 5, 7);
  return bits == 8 ? total : total + zero;
}

}  // namespace autoglm::cpu::generic
