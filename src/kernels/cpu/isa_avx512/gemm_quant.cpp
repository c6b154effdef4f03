#include "kernels/cpu/isa_avx512/simd.h"

namespace autoglm::cpu::avx512 {
// clang-format off: later parts use earlier ones.
#include "kernels/cpu/simd/codes.inl"
#include "kernels/cpu/simd/gemm_quant.inl"
// clang-format on
}  // namespace autoglm::cpu::avx512
