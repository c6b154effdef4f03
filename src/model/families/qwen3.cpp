// Qwen 3 (dense): q and k are normed by head before rope; no biases unless the configuration asks for them.
#include "model/families/common.h"

namespace autoglm {
namespace {

ArchSpec from_gguf(GgufConfig& config, const ModelSource& source) {
  ArchSpec spec = gguf_basics(config, source);
  spec.qk_norm = true;
  config.require("attention.value_length", spec.head_dim[0]);
  add_rope(spec, config.rope(), spec.head_dim[0], /*interleaved=*/false);
  return spec;
}

ArchSpec from_config(HfConfig& config, const ModelSource& source) {
  if (!config.has("head_dim")) refuse("config.json of a qwen3 model has no head_dim");
  ArchSpec spec = hf_basics(config, source);
  spec.qk_norm = true;
  spec.qkv_bias = spec.output_bias = config.boolean("attention_bias", false);
  config.require("hidden_act", "silu");
  config.require("use_sliding_window", false);
  config.accept("sliding_window");  // without effect while use_sliding_window is false
  config.accept("max_window_layers");
  require_full_attention(config, spec);
  add_rope(spec, config.rope(), spec.head_dim[0], /*interleaved=*/false);
  return spec;
}

}  // namespace

const Family& qwen3_family() {
  static const Family family{"qwen3", {"qwen3"}, {"qwen3"}, from_gguf, from_config};
  return family;
}

}  // namespace autoglm
