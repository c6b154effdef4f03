// Llama 1 to 3, SmolLM and SmolLM2, and everything else whose files say "llama": pre-norm, rope over the whole head,
// SiLU-gated feed-forward, no biases unless the configuration asks for them.
#include "model/families/common.h"

namespace autoglm {
namespace {

ArchSpec structure(ArchSpec spec) {
  spec.gguf_permuted_qk = true;
  return spec;
}

ArchSpec from_gguf(GgufConfig& config, const ModelSource& source) {
  ArchSpec spec = structure(gguf_basics(config, source));
  config.require("expert_count", 0);  // Mixtral
  config.require("attention.value_length", spec.head_dim[0]);
  spec.ffn_bias = source.find("blk.0.ffn_gate.bias") != nullptr;
  add_rope(spec, config.rope(), spec.head_dim[0], /*interleaved=*/true);  // see ArchSpec::gguf_permuted_qk
  set_rope_divisors(spec, source);
  return spec;
}

ArchSpec from_config(HfConfig& config, const ModelSource& source) {
  ArchSpec spec = structure(hf_basics(config, source));
  config.require("hidden_act", "silu");
  config.accept("pretraining_tp");  // how training was split; transformers ignores it
  spec.qkv_bias = spec.output_bias = config.boolean("attention_bias", false);
  spec.ffn_bias = config.boolean("mlp_bias", false);
  add_rope(spec, config.rope(), spec.head_dim[0], /*interleaved=*/false);
  return spec;
}

}  // namespace

const Family& llama_family() {
  static const Family family{"llama", {"llama"}, {"llama"}, from_gguf, from_config};
  return family;
}

}  // namespace autoglm
