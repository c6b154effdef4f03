#include "kernels/cpu/isa_generic/simd.h"

namespace autoglm::cpu::generic {
// clang-format off: later parts use earlier ones.
#include "kernels/cpu/simd/codes.inl"
#include "kernels/cpu/simd/gemm_quant.inl"
// clang-format on
}  // namespace autoglm::cpu::generic
