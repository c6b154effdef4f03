// The table of an ISA whose kernels are those of this folder. Included last, inside the ISA's namespace.

void gemm_quant(const QuantPanelArgs& args);  // gemm_quant.cpp

static constexpr IsaTable plain_table(const char* name) {
  return {
      .name = name,
      .expand = nullptr,
      .gemm_quant = gemm_quant,
      .gemm_signed = nullptr,
      .gemm_f32 = gemm_f32,
      .gemm_f16 = gemm_f16,
      .gemm_bf16 = gemm_bf16,
      .quantize = quantize,
      .quantize_twice = quantize_twice,
      .hadamard = hadamard,
      .to_bf16 = to_bf16,
      .rms_norm = rms_norm,
      .activate = activate,
      .rotate = rotate,
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
}
