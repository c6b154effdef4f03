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
// clang-format on
void gemm_quant(const QuantPanelArgs& args);  // gemm_quant.cpp

#if defined(__aarch64__)
constexpr const char* kName = "neon";
#else
constexpr const char* kName = "generic";
#endif
}  // namespace generic

const IsaTable& generic_table() {
  using namespace generic;
  static constexpr IsaTable table = {
      .name = kName,
      .expand = nullptr,
      .gemm_quant = gemm_quant,
      .gemm_signed = nullptr,
      .gemm_f32 = gemm_f32,
      .gemm_f16 = gemm_f16,
      .gemm_bf16 = gemm_bf16,
      .quantize = quantize,
      .quantize_twice = quantize_twice,
      .quantize_query = quantize_query,
      .to_bf16 = to_bf16,
      .rms_norm = rms_norm,
      .activate = activate,
      .softcap = softcap,
      .axpy = axpy,
      .divide = divide,
      .add_tile = add_tile,
      .scores = scores,
      .softmax = softmax,
      .weighted_sum = weighted_sum,
      .merge = merge,
      .kv_tiles = nullptr,
      .attend = nullptr,
      .attend_few = nullptr,
      .probe_int8 = probe_int8,
      .probe_bf16 = probe_bf16,
      .probe_read = probe_read,
  };
  return table;
}

}  // namespace autoglm::cpu
