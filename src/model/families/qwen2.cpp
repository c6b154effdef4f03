// Qwen 2 and 2.5 (dense): Llama's structure with biases on q, k and v.
#include "model/families/common.h"

namespace autoglm {
namespace {

ArchSpec from_gguf(GgufConfig& config, const ModelSource& source) {
  ArchSpec spec = gguf_basics(config, source);
  config.require("attention.value_length", spec.head_dim[0]);
  add_rope(spec, config.rope(), spec.head_dim[0], /*interleaved=*/false);
  return spec;
}

ArchSpec from_config(HfConfig& config, const ModelSource& source) {
  ArchSpec spec = hf_basics(config, source);
  spec.qkv_bias = true;
  config.require("hidden_act", "silu");
  config.require("use_sliding_window", false);
  config.accept("sliding_window");  // without effect while use_sliding_window is false
  config.accept("max_window_layers");
  require_full_attention(config, spec);
  add_rope(spec, config.rope(), spec.head_dim[0], /*interleaved=*/false);
  return spec;
}

}  // namespace

const Family& qwen2_family() {
  static const Family family{"qwen2", {"qwen2"}, {"qwen2"}, from_gguf, from_config};
  return family;
}

}  // namespace autoglm
