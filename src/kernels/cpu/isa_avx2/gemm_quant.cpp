#include "kernels/cpu/isa_avx2/simd.h"

namespace autoglm::cpu::avx2 {
#include "kernels/cpu/simd/gemm_quant.inl"
}  // namespace autoglm::cpu::avx2
