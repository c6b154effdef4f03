// The two functions that are faster with AVX512_BF16, compiled with that flag and in a namespace of their own.
#include "kernels/cpu/isa_avx512/simd.h"
#include "kernels/cpu/isa_tables.h"

namespace autoglm::cpu {
namespace avx512bf16 {

using namespace avx512;

/// vdpbf16ps: the second product, then the first, each rounded to nearest; denormals count as 0.
static inline F dot_bf16(F sum, I row, int32_t pair) {
  return _mm512_dpbf16_ps(sum, (__m512bh)row, (__m512bh)splat_int(pair));
}

#define AUTOGLM_ONLY_BF16
#include "kernels/cpu/simd/gemm_float.inl"
#include "kernels/cpu/simd/probe_bf16.inl"

}  // namespace avx512bf16

void use_avx512_bf16(IsaTable& table) {
  table.gemm_bf16 = avx512bf16::gemm_bf16;
  table.probe_bf16 = avx512bf16::probe_bf16;
}

}  // namespace autoglm::cpu
