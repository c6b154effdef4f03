#include "kernels/cpu/isa_generic/simd.h"
#include "kernels/cpu/isa_tables.h"

namespace autoglm::cpu {
namespace generic {
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

#if defined(__aarch64__)
constexpr const char* kName = "neon";
#else
constexpr const char* kName = "generic";
#endif
}  // namespace generic

const IsaTable& generic_table() {
  static constexpr IsaTable table = generic::plain_table(generic::kName);
  return table;
}

}  // namespace autoglm::cpu
