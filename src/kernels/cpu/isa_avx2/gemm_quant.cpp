#include "kernels/cpu/isa_avx2/simd.h"

namespace autoglm::cpu::avx2 {
// clang-format off: later parts use earlier ones.
#include "kernels/cpu/simd/codes.inl"
#include "kernels/cpu/simd/gemm_quant.inl"
// clang-format on
}  // namespace autoglm::cpu::avx2
