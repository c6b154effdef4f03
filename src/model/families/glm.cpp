// GLM-4 in transformers' form (GLM-4-9B-hf) and GLM-Edge: ChatGLM's structure, with the part of a head that rotates
// given by the configuration, and other names. Its GGUF architecture is "chatglm".
#include "model/families/common.h"

namespace autoglm {
namespace {

ArchSpec from_config(HfConfig& config, const ModelSource& source) {
  ArchSpec spec = hf_basics(config, source);
  spec.gguf_fused_gate_up = true;
  spec.qkv_bias = config.boolean("attention_bias", true);
  config.require("hidden_act", "silu");
  add_rope(spec, config.rope({}, 10000.0, kGlmPartial), spec.head_dim[0], /*interleaved=*/true);
  return spec;
}

}  // namespace

const Family& glm_family() {
  static const Family family{"glm", {"chatglm"}, {"glm"}, nullptr, from_config};
  return family;
}

}  // namespace autoglm
