#include "kernels/cpu/isa_generic/simd.h"

namespace autoglm::cpu::generic {
#include "kernels/cpu/simd/gemm_quant.inl"
}  // namespace autoglm::cpu::generic
