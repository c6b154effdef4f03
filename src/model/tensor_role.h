// What a tensor is for. The words in which loader, converter, memory estimate and random weights speak of tensors.
#pragma once

#include <cstdint>

namespace autoglm {

/// The tensors outside the layers, then those of one layer in the order in which forward.cpp uses them.
enum class Role : uint8_t {
  token_embedding,
  output_norm,
  output,
  rope_factors,  // divisors of the rotary frequencies (Llama 3 in GGUF)

  attention_norm,
  q,
  k,
  v,
  attention_output,
  q_bias,
  k_bias,
  v_bias,
  attention_output_bias,
  q_norm,
  k_norm,
  attention_post_norm,
  q_a,
  q_a_norm,
  q_b,
  kv_a,
  kv_a_norm,
  k_b,
  v_b,  // multi-head latent attention

  ffn_norm,
  gate,
  up,
  down,
  gate_bias,
  up_bias,
  down_bias,
  router,
  router_correction,
  expert_gate,
  expert_up,
  expert_down,
  shared_gate,
  shared_up,
  shared_down,
  ffn_post_norm,
  count_
};

}  // namespace autoglm
