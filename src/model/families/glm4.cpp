// GLM-4-0414 ("glm4"): GLM's structure with sandwich norms, x += post(attention(pre(x))); x += post(ffn(pre(x))).
// In safetensors `post_attention_layernorm` is the norm *before* the feed-forward; the tensor table has it so.
#include "model/families/common.h"

namespace autoglm {
namespace {

ArchSpec structure(ArchSpec spec) {
  spec.post_norms = true;
  spec.gguf_fused_gate_up = true;
  return spec;
}

ArchSpec from_gguf(GgufConfig& config, const ModelSource& source) {
  ArchSpec spec = structure(gguf_basics(config, source));
  config.require("attention.value_length", spec.head_dim[0]);
  add_rope(spec, config.rope(), spec.head_dim[0], /*interleaved=*/true);
  return spec;
}

ArchSpec from_config(HfConfig& config, const ModelSource& source) {
  ArchSpec spec = structure(hf_basics(config, source));
  spec.qkv_bias = config.boolean("attention_bias", true);
  config.require("hidden_act", "silu");
  add_rope(spec, config.rope({}, 10000.0, kGlmPartial), spec.head_dim[0], /*interleaved=*/true);
  return spec;
}

}  // namespace

const Family& glm4_family() {
  static const Family family{"glm4", {"glm4"}, {"glm4"}, from_gguf, from_config};
  return family;
}

}  // namespace autoglm
