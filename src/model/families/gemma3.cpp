// Gemma 3 (text): norms before and after attention and feed-forward, q and k normed by head, five layers with a sliding
// window and a rope base of their own to one with full attention, embeddings times sqrt(hidden), GELU.
#include <cmath>
#include <string>

#include "base/error.h"
#include "model/families/common.h"

namespace autoglm {
namespace {

constexpr int kPattern = 6;  // where a file does not say: every sixth layer has full attention

ArchSpec structure(ArchSpec spec) {
  spec.qk_norm = true;
  spec.post_norms = true;
  spec.activation = Activation::gelu_tanh;
  spec.embed_scale = static_cast<float>(std::sqrt(static_cast<double>(spec.hidden)));
  spec.hf_norm_plus_one = true;
  spec.hf_names = {{Role::attention_post_norm, "model.layers.{l}.post_attention_layernorm.weight"},
                   {Role::ffn_norm, "model.layers.{l}.pre_feedforward_layernorm.weight"},
                   {Role::ffn_post_norm, "model.layers.{l}.post_feedforward_layernorm.weight"}};
  return spec;
}

// Rope 0 is the full layers', rope 1 the sliding ones'.
void set_layer(ArchSpec& spec, int layer, bool sliding, int64_t window) {
  const auto l = static_cast<size_t>(layer);
  spec.window[l] = sliding ? static_cast<int>(window) : 0;
  spec.rope[l] = sliding ? 1 : 0;
}

// llama.cpp has no key for query_pre_attn_scalar and knows the one model (27B, 62 layers) where it is not head_dim.
float gguf_scale(const ArchSpec& spec) {
  return inverse_root(spec.layers == 62 ? static_cast<double>(spec.hidden) / spec.heads[0] : spec.head_dim[0]);
}

int64_t checked_window(int64_t window) {
  if (window < 1 || window > (1 << 30)) fail(Code::bad_model_file, "the model's sliding_window is out of range");
  return window;
}

ArchSpec from_gguf(GgufConfig& config, const ModelSource& source) {
  ArchSpec spec = structure(gguf_basics(config, source));
  const int head_dim = spec.head_dim[0];
  config.require("attention.value_length", head_dim);
  spec.gguf_scale = gguf_scale(spec);
  spec.attention_scale = static_cast<float>(config.number("attention.scale", spec.gguf_scale));
  spec.logit_softcap = static_cast<float>(config.number("final_logit_softcapping", 0.0));
  add_rope(spec, config.rope(), head_dim, /*interleaved=*/false);

  const int64_t window = config.integer("attention.sliding_window", 0);
  if (window == 0) return spec;
  RopeParameters local = config.rope(10000.0, "rope.freq_base_swa");
  local.scaling = RopeScaling::none;  // long-context scaling belongs to the full layers
  local.factor = 1.0;
  add_rope(spec, local, head_dim, /*interleaved=*/false);
  const auto flags = config.flags("attention.sliding_window_pattern", spec.layers);
  const int64_t pattern = flags.empty() ? config.integer("attention.sliding_window_pattern", kPattern) : kPattern;
  for (int layer = 0; layer < spec.layers; ++layer) {
    const bool sliding = flags.empty() ? pattern != 0 && (layer + 1) % pattern != 0 : flags[static_cast<size_t>(layer)];
    set_layer(spec, layer, sliding, checked_window(window));
  }
  return spec;
}

ArchSpec from_config(HfConfig& config, const ModelSource& source) {
  ArchSpec spec = structure(hf_basics(config, source, /*tied_default=*/true));
  const int head_dim = config.count("head_dim", 256);
  spec.head_dim.assign(spec.head_dim.size(), head_dim);
  config.require("hidden_activation", "gelu_pytorch_tanh");
  config.accept("_sliding_window_pattern");  // what transformers 5 made layer_types from
  config.accept("hidden_act");               // an older name that transformers no longer reads
  config.require("use_bidirectional_attention", false);
  spec.qkv_bias = spec.output_bias = config.boolean("attention_bias", false);
  spec.attention_scale = inverse_root(config.number("query_pre_attn_scalar", 256.0));
  spec.gguf_scale = gguf_scale(spec);
  spec.logit_softcap = static_cast<float>(config.number("final_logit_softcapping", 0.0));
  config.accept("attn_logit_softcapping");  // Gemma 2's: transformers' Gemma 3 reads it and never applies it
  add_rope(spec, config.rope("full_attention", 1e6), head_dim, /*interleaved=*/false);
  add_rope(spec, config.rope("sliding_attention", 1e4), head_dim, /*interleaved=*/false);

  const int64_t window = checked_window(config.integer("sliding_window", 4096));
  const int64_t pattern = config.count("sliding_window_pattern", kPattern);
  const auto types = config.texts("layer_types");
  if (!types.empty() && types.size() != static_cast<size_t>(spec.layers)) {
    fail(Code::bad_model_file, "layer_types of config.json has another length than num_hidden_layers");
  }
  for (int layer = 0; layer < spec.layers; ++layer) {
    const std::string type = !types.empty()               ? types[static_cast<size_t>(layer)]
                             : (layer + 1) % pattern != 0 ? "sliding_attention"
                                                          : "full_attention";
    if (type != "sliding_attention" && type != "full_attention") refuse("layer_types holds '" + type + "'");
    set_layer(spec, layer, type == "sliding_attention", window);
  }
  return spec;
}

}  // namespace

const Family& gemma3_family() {
  static const Family family{"gemma3", {"gemma3"}, {"gemma3_text"}, from_gguf, from_config};
  return family;
}

}  // namespace autoglm
