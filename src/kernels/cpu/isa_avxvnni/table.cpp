#include "kernels/cpu/isa_avxvnni/simd.h"
#include "kernels/cpu/isa_tables.h"

namespace autoglm::cpu {
namespace avxvnni {
// clang-format off: later parts use earlier ones.
#include "kernels/cpu/simd/dot_bf16.inl"
#include "kernels/cpu/simd/codes.inl"
#include "kernels/cpu/simd/expand.inl"
#include "kernels/cpu/simd/gemm_float.inl"
#include "kernels/cpu/simd/exp.inl"
#include "kernels/cpu/simd/rows.inl"
#include "kernels/cpu/simd/attention.inl"
#include "kernels/cpu/simd/probe.inl"
#include "kernels/cpu/simd/probe_bf16.inl"
#include "kernels/cpu/simd/table.inl"
// clang-format on

static constexpr IsaTable with_expansion() {
  IsaTable table = plain_table("avxvnni");
  table.expand = expand;
  return table;
}
}  // namespace avxvnni

const IsaTable& avxvnni_table() {
  static constexpr IsaTable table = avxvnni::with_expansion();
  return table;
}

}  // namespace autoglm::cpu
