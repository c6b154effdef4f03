// GLM-4.5, 4.6 and 4.7 ("glm4_moe"): plain pre-norm, half of each head rotates by halves (NeoX), q and k normed by head
// in the large models, experts by sigmoid with a correction, one shared expert, dense layers first. Layers for
// multi-token prediction follow the others and are not run.
#include "model/families/common.h"

namespace autoglm {
namespace {

ArchSpec structure(ArchSpec spec) {
  spec.router_correction = true;
  spec.gguf_names = {{Role::ffn_norm, "blk.{l}.post_attention_norm.weight"}};  // llama.cpp's name for the FFN's norm
  return spec;
}

ArchSpec from_gguf(GgufConfig& config, const ModelSource& source) {
  ArchSpec spec = structure(gguf_basics(config, source));
  spec.qk_norm = source.find("blk.0.attn_q_norm.weight") != nullptr;
  config.require("attention.value_length", spec.head_dim[0]);
  spec.router.normalize = false;  // unless the file says otherwise
  gguf_experts(config, spec, static_cast<int>(config.integer("leading_dense_block_count", 0)));
  add_rope(spec, config.rope(), spec.head_dim[0], /*interleaved=*/false);
  return spec;
}

ArchSpec from_config(HfConfig& config, const ModelSource& source) {
  ArchSpec spec = structure(hf_basics(config, source));
  spec.mtp_layers = static_cast<int>(config.integer("num_nextn_predict_layers", config.integer("num_mtp_layers", 0)));
  spec.qkv_bias = config.boolean("attention_bias", false);
  spec.qk_norm = config.boolean("use_qk_norm", false);
  config.require("hidden_act", "silu");
  config.accept("output_router_logits");
  hf_glm_experts(config, spec,
                 config.has("first_k_dense_replace") ? static_cast<int>(config.integer("first_k_dense_replace")) : 1);
  add_rope(spec, config.rope({}, 10000.0, kGlmPartial), spec.head_dim[0], /*interleaved=*/false);
  return spec;
}

}  // namespace

const Family& glm4_moe_family() {
  static const Family family{"glm4_moe", {"glm4moe"}, {"glm4_moe"}, from_gguf, from_config};
  return family;
}

}  // namespace autoglm
