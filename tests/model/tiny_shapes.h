// Configurations of models that run in milliseconds, with columns that fill 256-wide blocks.
#pragma once

#include "model/random_weights.h"

namespace autoglm::test {

inline ModelShape tiny_llama() {
  return {"tiny-llama",
          R"({"model_type":"llama","vocab_size":256,"hidden_size":256,"intermediate_size":512,"num_hidden_layers":2,
"num_attention_heads":4,"num_key_value_heads":2,"max_position_embeddings":1024,"rms_norm_eps":1e-5,
"rope_theta":10000.0,"tie_word_embeddings":false})"};
}

inline ModelShape tiny_gemma() {
  return {"tiny-gemma",
          R"({"model_type":"gemma3_text","vocab_size":256,"hidden_size":256,"intermediate_size":512,
"num_hidden_layers":3,"num_attention_heads":4,"num_key_value_heads":1,"head_dim":64,"max_position_embeddings":1024,
"rms_norm_eps":1e-6,"sliding_window":20,"sliding_window_pattern":3,"query_pre_attn_scalar":64,"rope_theta":1000000.0,
"rope_local_base_freq":10000.0,"tie_word_embeddings":true})"};
}

inline ModelShape tiny_moe() {
  return {"tiny-moe",
          R"({"model_type":"glm4_moe","vocab_size":256,"hidden_size":256,"intermediate_size":256,"num_hidden_layers":2,
"num_attention_heads":4,"num_key_value_heads":2,"head_dim":64,"max_position_embeddings":1024,"rms_norm_eps":1e-5,
"rope_theta":10000.0,"partial_rotary_factor":0.5,"tie_word_embeddings":false,"n_routed_experts":8,
"num_experts_per_tok":3,"n_shared_experts":1,"moe_intermediate_size":256,"first_k_dense_replace":1,"use_qk_norm":true,
"attention_bias":true})"};
}

inline ModelShape tiny_mla() {
  return {"tiny-mla",
          R"({"model_type":"glm4_moe_lite","vocab_size":256,"hidden_size":256,"intermediate_size":256,
"num_hidden_layers":2,"num_attention_heads":4,"num_key_value_heads":4,"max_position_embeddings":1024,
"rms_norm_eps":1e-5,"rope_theta":10000.0,"tie_word_embeddings":false,"q_lora_rank":256,"kv_lora_rank":256,
"qk_nope_head_dim":64,"qk_rope_head_dim":32,"v_head_dim":64,"n_routed_experts":8,"num_experts_per_tok":2,
"n_shared_experts":1,"moe_intermediate_size":256,"first_k_dense_replace":1})"};
}

}  // namespace autoglm::test
