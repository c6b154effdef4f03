// AVX2 with AVX-VNNI.
#pragma once

#include <immintrin.h>

#include <cstdint>

#include "kernels/cpu/isa_table.h"
#include "kernels/cpu/simd/unroll.h"

namespace autoglm::cpu::avxvnni {

constexpr int W = 8;
// clang-format off: later parts use earlier ones.
#include "kernels/cpu/simd/common.inl"
#include "kernels/cpu/simd/x86_256.inl"
#include "kernels/cpu/simd/x86_quads.inl"
#include "kernels/cpu/simd/vnni.inl"
// clang-format on

constexpr bool kExpands = true;

template <int bits>
static inline Sum dot(Sum sum, Codes w, Quad x) {
  return (I)_mm256_dpbusd_avx_epi32((__m256i)sum, (__m256i)w, (__m256i)x);
}
/// Sums of products of pairs of int16, added to `sum`.
static inline I dot_pairs(I sum, I a, I b) { return (I)_mm256_dpwssd_avx_epi32((__m256i)sum, (__m256i)a, (__m256i)b); }

}  // namespace autoglm::cpu::avxvnni
