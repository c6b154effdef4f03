// ChatGLM3 and GLM-4 with their original names and configuration ("chatglm"), and every GGUF that says "chatglm" (made
// from those or from `glm`). Half of each head rotates, by neighbouring pairs; q, k and v have biases; the tensors of
// q, k, v and of gate, up are fused.
#include "model/families/common.h"

namespace autoglm {
namespace {

ArchSpec structure(ArchSpec spec) {
  spec.gguf_fused_gate_up = true;
  spec.hf_names = {
      {Role::token_embedding, "transformer.embedding.word_embeddings.weight"},
      {Role::output_norm, "transformer.encoder.final_layernorm.weight"},
      {Role::output, "transformer.output_layer.weight"},
      {Role::attention_norm, "transformer.encoder.layers.{l}.input_layernorm.weight"},
      {Role::q, "transformer.encoder.layers.{l}.self_attention.query_key_value.weight"},
      {Role::k, "transformer.encoder.layers.{l}.self_attention.query_key_value.weight"},
      {Role::v, "transformer.encoder.layers.{l}.self_attention.query_key_value.weight"},
      {Role::q_bias, "transformer.encoder.layers.{l}.self_attention.query_key_value.bias"},
      {Role::k_bias, "transformer.encoder.layers.{l}.self_attention.query_key_value.bias"},
      {Role::v_bias, "transformer.encoder.layers.{l}.self_attention.query_key_value.bias"},
      {Role::attention_output, "transformer.encoder.layers.{l}.self_attention.dense.weight"},
      {Role::ffn_norm, "transformer.encoder.layers.{l}.post_attention_layernorm.weight"},
      {Role::gate, "transformer.encoder.layers.{l}.mlp.dense_h_to_4h.weight"},
      {Role::up, "transformer.encoder.layers.{l}.mlp.dense_h_to_4h.weight"},
      {Role::down, "transformer.encoder.layers.{l}.mlp.dense_4h_to_h.weight"},
  };
  return spec;
}

ArchSpec from_gguf(GgufConfig& config, const ModelSource& source) {
  ArchSpec spec = structure(gguf_basics(config, source));
  config.require("attention.value_length", spec.head_dim[0]);
  add_rope(spec, config.rope(), spec.head_dim[0], /*interleaved=*/true);
  return spec;
}

ArchSpec from_config(HfConfig& config, const ModelSource& source) {
  ArchSpec spec;
  spec.architecture = config.model_type();
  spec.layers = config.count("num_layers");
  spec.hidden = config.count("hidden_size");
  spec.vocabulary = config.count("padded_vocab_size");
  config.accept("vocab_size");  // without the padding rows that the embedding has
  spec.train_context = config.integer("seq_length");
  spec.norm_eps = static_cast<float>(config.number("layernorm_epsilon", 1e-5));
  spec.tied_head =
      config.boolean("tie_word_embeddings", false) || source.find("transformer.output_layer.weight") == nullptr;
  spec.qkv_bias = config.boolean("add_qkv_bias", false);
  const int heads = config.count("num_attention_heads");
  const int head_dim = config.count("kv_channels", 128);
  const int groups = config.count("multi_query_group_num", 1);
  const bool grouped = config.boolean("multi_query_attention", false);
  if (spec.layers > 4096) refuse("num_layers of config.json is out of range");
  fill_layers(spec, heads, grouped ? groups : heads, head_dim, config.count("ffn_hidden_size"));
  spec.attention_scale = inverse_root(head_dim);

  config.require("rmsnorm", true);
  config.require("post_layer_norm", true);
  config.require("add_bias_linear", false);
  config.require("apply_residual_connection_post_layernorm", false);
  config.require("original_rope", true);
  config.require("interleaved_qkv", false);
  config.accept("pre_seq_len");  // prefix tuning: its tensors would be refused
  config.accept("prefix_projection");
  config.accept("quantization_bit");
  config.accept("apply_query_key_layer_scaling");  // divides and multiplies by the same number
  config.accept("attention_softmax_in_fp32");
  config.accept("fp32_residual_connection");
  config.accept("bias_dropout_fusion");
  config.accept("hidden_dropout");

  // Modelling code of both generations: base 10000 * rope_ratio, over the first half of each head.
  RopeParameters rope;
  rope.theta = 10000.0 * config.number("rope_ratio", 1.0);
  rope.partial = 0.5;
  add_rope(spec, rope, head_dim, /*interleaved=*/true);
  return structure(std::move(spec));
}

}  // namespace

const Family& chatglm_family() {
  static const Family family{"chatglm", {"chatglm"}, {"chatglm"}, from_gguf, from_config};
  return family;
}

}  // namespace autoglm
