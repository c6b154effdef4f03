#include "kernels/cpu/isa_avx512/simd.h"

namespace autoglm::cpu::avx512 {
#include "kernels/cpu/simd/gemm_quant.inl"
}  // namespace autoglm::cpu::avx512
