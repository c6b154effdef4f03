#include "kernels/cpu/isa_avx512/simd.h"
#include "kernels/cpu/isa_tables.h"

namespace autoglm::cpu {
namespace avx512 {
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
// clang-format on
void gemm_quant(const QuantPanelArgs& args);  // gemm_quant.cpp
}  // namespace avx512

const IsaTable& avx512_table() {
  using namespace avx512;
  static constexpr IsaTable table = {
      .name = "avx512",
      .expand = expand,
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
