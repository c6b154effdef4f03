// GLM-4.7-Flash ("glm4_moe_lite"; in GGUF "deepseek2"): multi-head latent attention and glm4_moe's experts.
// The norms of the latents have an epsilon of 1e-6 whatever the configuration says (transformers builds them so).
#include <algorithm>
#include <string>

#include "model/families/common.h"

namespace autoglm {
namespace {

constexpr int64_t kFlashVocabulary = 154880;

void set_latent(ArchSpec& spec) {
  const int key = spec.nope_dim + spec.rope_dim;
  spec.head_dim.assign(spec.head_dim.size(), key);
  spec.kv_heads = spec.heads;
  spec.attention_scale = inverse_root(key);
}

ArchSpec from_gguf(GgufConfig& config, const ModelSource& source) {
  ArchSpec spec = gguf_basics(config, source);
  spec.q_rank = static_cast<int>(config.integer("attention.q_lora_rank", 0));
  spec.kv_rank = config.count("attention.kv_lora_rank");
  spec.value_dim = config.count("attention.value_length_mla");
  const RopeParameters rope = config.rope();
  spec.rope_dim = rope.dims;
  spec.nope_dim = config.count("attention.key_length_mla") - rope.dims;
  config.accept("attention.value_length");  // of the absorbed form: kv_rank
  set_latent(spec);
  add_rope(spec, rope, spec.rope_dim, /*interleaved=*/true);

  spec.router_correction = source.find("blk." + std::to_string(spec.layers - 1) + ".exp_probs_b.bias") != nullptr;
  // Early files of GLM-4.7-Flash do not say that the gate is a sigmoid.
  spec.router.sigmoid = spec.router_correction || spec.vocabulary == kFlashVocabulary;
  spec.router.normalize = false;  // written only where it is true
  gguf_experts(config, spec, static_cast<int>(config.integer("leading_dense_block_count", 0)));
  if (!spec.router.sigmoid) {
    refuse("this deepseek2 file chooses experts by softmax", "GLM-4.7-Flash, which does it by sigmoid, is supported");
  }
  return spec;
}

ArchSpec from_config(HfConfig& config, const ModelSource& source) {
  ArchSpec spec = hf_basics(config, source);
  spec.mtp_layers = static_cast<int>(config.integer("num_nextn_predict_layers", config.integer("num_mtp_layers", 0)));
  spec.q_rank = static_cast<int>(config.integer("q_lora_rank", 0));
  spec.kv_rank = config.count("kv_lora_rank");
  spec.nope_dim = config.count("qk_nope_head_dim");
  spec.rope_dim = config.count("qk_rope_head_dim");
  spec.value_dim = config.count("v_head_dim");
  config.accept("qk_head_dim");  // the sum of both
  config.accept("output_router_logits");
  config.accept("pretraining_tp");
  config.require("attention_bias", false);
  config.require("hidden_act", "silu");
  set_latent(spec);
  add_rope(spec, config.rope(), spec.rope_dim, config.boolean("rope_interleave", true));

  const auto types = config.texts("mlp_layer_types");
  hf_glm_experts(config, spec,
                 config.has("first_k_dense_replace") ? static_cast<int>(config.integer("first_k_dense_replace")) : 1);
  if (types.empty()) return spec;
  if (types.size() != spec.moe.size())
    refuse("mlp_layer_types of config.json has another length than num_hidden_layers");
  for (size_t layer = 0; layer < types.size(); ++layer) {
    if (types[layer] != "dense" && types[layer] != "sparse")
      refuse("mlp_layer_types of config.json holds '" + types[layer] + "'");
    spec.moe[layer] = types[layer] == "sparse";
  }
  return spec;
}

}  // namespace

const Family& glm4_moe_lite_family() {
  static const Family family{"glm4_moe_lite", {"deepseek2"}, {"glm4_moe_lite"}, from_gguf, from_config};
  return family;
}

}  // namespace autoglm
