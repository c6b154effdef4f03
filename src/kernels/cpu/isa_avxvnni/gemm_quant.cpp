#include "kernels/cpu/isa_avxvnni/simd.h"

namespace autoglm::cpu::avxvnni {
// clang-format off: later parts use earlier ones.
#include "kernels/cpu/simd/codes.inl"
#include "kernels/cpu/simd/gemm_quant.inl"
// clang-format on
}  // namespace autoglm::cpu::avxvnni
