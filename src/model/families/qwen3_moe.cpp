// Qwen 3 MoE: Qwen 3's attention; experts chosen by softmax without correction, no shared expert.
#include <algorithm>
#include <string>

#include "model/families/common.h"

namespace autoglm {
namespace {

ArchSpec structure(ArchSpec spec) {
  spec.qk_norm = true;
  spec.router.sigmoid = false;
  return spec;
}

ArchSpec from_gguf(GgufConfig& config, const ModelSource& source) {
  ArchSpec spec = structure(gguf_basics(config, source));
  config.require("attention.value_length", spec.head_dim[0]);
  gguf_experts(config, spec, 0);               // weights of the chosen are normalized unless the file says otherwise
  config.accept("leading_dense_block_count");  // which layers have experts is seen from their tensors
  for (int layer = 0; layer < spec.layers; ++layer) {
    const std::string router = "blk." + std::to_string(layer) + ".ffn_gate_inp.weight";
    spec.moe[static_cast<size_t>(layer)] = source.find(router) != nullptr;
  }
  add_rope(spec, config.rope(), spec.head_dim[0], /*interleaved=*/false);
  return spec;
}

ArchSpec from_config(HfConfig& config, const ModelSource& source) {
  ArchSpec spec = structure(hf_basics(config, source));
  spec.qkv_bias = spec.output_bias = config.boolean("attention_bias", false);
  config.require("hidden_act", "silu");
  config.require("use_sliding_window", false);
  config.accept("sliding_window");  // without effect while use_sliding_window is false
  config.accept("max_window_layers");
  config.accept("router_aux_loss_coef");  // training only
  config.accept("output_router_logits");
  require_full_attention(config, spec);
  add_rope(spec, config.rope(), spec.head_dim[0], /*interleaved=*/false);

  spec.router.experts = config.has("num_experts") ? config.count("num_experts") : config.count("num_local_experts");
  spec.router.top_k = config.count("num_experts_per_tok");
  spec.router.normalize = config.boolean("norm_topk_prob", false);
  spec.expert_ffn = config.count("moe_intermediate_size");
  const int step = config.count("decoder_sparse_step", 1);
  const auto dense = config.integers("mlp_only_layers");
  for (int layer = 0; layer < spec.layers; ++layer) {
    spec.moe.push_back((layer + 1) % step == 0 && std::find(dense.begin(), dense.end(), layer) == dense.end());
  }
  return spec;
}

}  // namespace

const Family& qwen3_moe_family() {
  static const Family family{"qwen3_moe", {"qwen3moe"}, {"qwen3_moe"}, from_gguf, from_config};
  return family;
}

}  // namespace autoglm
