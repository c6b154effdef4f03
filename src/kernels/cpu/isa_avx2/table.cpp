#include "kernels/cpu/isa_avx2/simd.h"
#include "kernels/cpu/isa_tables.h"

namespace autoglm::cpu {
namespace avx2 {
// clang-format off: later parts use earlier ones.
#include "kernels/cpu/simd/dot_bf16.inl"
#include "kernels/cpu/simd/gemm_float.inl"
#include "kernels/cpu/simd/exp.inl"
#include "kernels/cpu/simd/rows.inl"
#include "kernels/cpu/simd/attention.inl"
#include "kernels/cpu/simd/probe.inl"
#include "kernels/cpu/simd/probe_bf16.inl"
#include "kernels/cpu/simd/table.inl"
// clang-format on
}  // namespace avx2

const IsaTable& avx2_table() {
  static constexpr IsaTable table = avx2::plain_table("avx2");
  return table;
}

}  // namespace autoglm::cpu
