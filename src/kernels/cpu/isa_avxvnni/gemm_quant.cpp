#include "kernels/cpu/isa_avxvnni/simd.h"

namespace autoglm::cpu::avxvnni {
#include "kernels/cpu/simd/gemm_quant.inl"
}  // namespace autoglm::cpu::avxvnni
