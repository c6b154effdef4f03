#include "model/families/common.h"

#include <cmath>

#include "base/error.h"

namespace autoglm {
namespace {

std::vector<int> narrow(const std::vector<int64_t>& values, int layers) {
  std::vector<int> out;
  for (int layer = 0; layer < layers; ++layer) {
    const int64_t value = values[static_cast<size_t>(layer)];
    if (value < 0 || value > (1 << 30)) fail(Code::bad_model_file, "a size by layer is out of range");
    out.push_back(static_cast<int>(value));
  }
  return out;
}

// Rows of the embedding are the vocabulary, whatever the metadata say.
int64_t embedding_rows(const ModelSource& source) {
  const TensorEntry* entry = source.find("token_embd.weight");
  if (!entry || entry->shape.size() != 2) fail(Code::bad_model_file, "the model has no matrix 'token_embd.weight'");
  return entry->shape[0];
}

// rope_freqs.weight: Llama 3's scaling, worked out when the file was made.
std::vector<float> rope_divisors(const ModelSource& source, int dims) {
  const TensorEntry* entry = source.find("rope_freqs.weight");
  if (!entry) return {};
  if (entry->type != Type::f32 || entry->shape != std::vector<int64_t>{dims / 2}) {
    fail(Code::bad_model_file,
         "tensor 'rope_freqs.weight' is not a list of " + std::to_string(dims / 2) + " F32 values");
  }
  std::vector<float> out(static_cast<size_t>(dims / 2));
  info(Type::f32).decode(entry->data.data(), out.data(), dims / 2);
  for (float divisor : out) {
    if (!std::isfinite(divisor) || divisor <= 0)
      fail(Code::bad_model_file, "'rope_freqs.weight' holds a value that is not positive");
  }
  return out;
}

}  // namespace

void refuse(const std::string& message, const std::string& hint) { fail(Code::unsupported_model, message, hint); }

float inverse_root(double n) { return static_cast<float>(1.0 / std::sqrt(n)); }

ArchSpec gguf_basics(GgufConfig& config, const ModelSource& source) {
  ArchSpec spec;
  spec.architecture = config.architecture();
  const int blocks = config.count("block_count");
  spec.mtp_layers = static_cast<int>(config.integer("nextn_predict_layers", 0));
  if (spec.mtp_layers < 0 || spec.mtp_layers >= blocks || blocks > 4096) {
    fail(Code::bad_model_file, "block_count and nextn_predict_layers of the model do not go together");
  }
  spec.layers = blocks - spec.mtp_layers;
  spec.hidden = config.integer("embedding_length");
  spec.train_context = config.integer("context_length");
  spec.norm_eps = static_cast<float>(config.number("attention.layer_norm_rms_epsilon"));
  spec.vocabulary = embedding_rows(source);
  config.accept("vocab_size");
  spec.tied_head = source.find("output.weight") == nullptr;
  spec.qkv_bias = source.find("blk.0.attn_q.bias") != nullptr || source.find("blk.0.attn_qkv.bias") != nullptr;
  spec.output_bias = source.find("blk.0.attn_output.bias") != nullptr;

  const auto heads = config.per_layer("attention.head_count", blocks);
  fill_layers(spec, 0, 0, 0, 0);
  spec.heads = narrow(heads, spec.layers);
  spec.kv_heads = narrow(config.per_layer("attention.head_count_kv", blocks, heads[0]), spec.layers);
  const auto ffn = config.per_layer("feed_forward_length", blocks, 0);
  spec.ffn.assign(ffn.begin(), ffn.begin() + spec.layers);
  if (spec.heads[0] <= 0) fail(Code::bad_model_file, "the model's head_count is not positive");
  const int head_dim = static_cast<int>(config.integer("attention.key_length", spec.hidden / spec.heads[0]));
  spec.head_dim.assign(static_cast<size_t>(spec.layers), head_dim);
  if (head_dim > 0) spec.attention_scale = inverse_root(head_dim);
  return spec;
}

void gguf_experts(GgufConfig& config, ArchSpec& spec, int dense_lead) {
  RouterSpec& r = spec.router;
  r.experts = config.count("expert_count");
  r.top_k = config.count("expert_used_count");
  r.groups = config.count("expert_group_count", 1);
  r.groups_used = config.count("expert_group_used_count", 1);
  r.scale = static_cast<float>(config.number("expert_weights_scale", 1.0));
  if (r.scale == 0.0f) r.scale = 1.0f;  // what files without a scale sometimes hold
  r.normalize = config.boolean("expert_weights_norm", r.normalize);
  const int64_t gating = config.integer("expert_gating_func", r.sigmoid ? 2 : 1);
  if (gating != 1 && gating != 2) {
    refuse("expert_gating_func " + std::to_string(gating) + " is not supported",
           "1 (softmax) and 2 (sigmoid) are built");
  }
  r.sigmoid = gating == 2;
  spec.expert_ffn = config.integer("expert_feed_forward_length");
  spec.shared_ffn =
      config.integer("expert_shared_feed_forward_length", config.integer("expert_shared_count", 0) * spec.expert_ffn);
  config.accept("expert_shared_count");
  spec.moe.assign(static_cast<size_t>(spec.layers), true);
  for (int layer = 0; layer < std::min(dense_lead, spec.layers); ++layer) spec.moe[static_cast<size_t>(layer)] = false;
}

ArchSpec hf_basics(HfConfig& config, const ModelSource& source, bool tied_default) {
  ArchSpec spec;
  spec.architecture = config.model_type();
  spec.layers = config.count("num_hidden_layers");
  if (spec.layers > 4096) fail(Code::bad_model_file, "num_hidden_layers is out of range");
  spec.hidden = config.count("hidden_size");
  spec.vocabulary = config.count("vocab_size");
  spec.train_context = config.integer("max_position_embeddings");
  spec.norm_eps = static_cast<float>(config.number("rms_norm_eps"));
  spec.tied_head = config.boolean("tie_word_embeddings", tied_default) || source.find("lm_head.weight") == nullptr;
  const int heads = config.count("num_attention_heads");
  const int head_dim = config.count("head_dim", static_cast<int>(std::max<int64_t>(1, spec.hidden / heads)));
  fill_layers(spec, heads, config.count("num_key_value_heads", heads), head_dim, config.count("intermediate_size"));
  spec.attention_scale = inverse_root(head_dim);
  return spec;
}

void hf_glm_experts(HfConfig& config, ArchSpec& spec, int dense_lead) {
  RouterSpec& r = spec.router;
  r.experts = config.count("n_routed_experts");
  r.top_k = config.count("num_experts_per_tok");
  r.groups = config.count("n_group", 1);
  r.groups_used = config.count("topk_group", 1);
  r.scale = static_cast<float>(config.number("routed_scaling_factor", 1.0));
  r.normalize = config.boolean("norm_topk_prob", true);
  config.require("scoring_func", "sigmoid");
  config.require("topk_method", "noaux_tc");
  spec.router_correction = true;
  spec.expert_ffn = config.count("moe_intermediate_size");
  spec.shared_ffn = config.integer("n_shared_experts", 0) * spec.expert_ffn;
  spec.moe.assign(static_cast<size_t>(spec.layers), true);
  for (int layer = 0; layer < std::min(dense_lead, spec.layers); ++layer) spec.moe[static_cast<size_t>(layer)] = false;
}

constexpr int kMostRotaryDims = 8192;  // far above any model's, far below what would hurt to allocate

int add_rope(ArchSpec& spec, const RopeParameters& rope, int head_dim, bool interleaved) {
  const int dims = rope.dims > 0 ? rope.dims : static_cast<int>(head_dim * rope.partial);
  if (dims < 2 || dims > head_dim || dims % 2 != 0 || dims > kMostRotaryDims) {
    fail(Code::bad_model_file,
         "the rotary dimension " + std::to_string(dims) + " does not fit a head of " + std::to_string(head_dim));
  }
  if (!(rope.theta > 0) || !(rope.factor > 0)) fail(Code::bad_model_file, "the rotary base or factor is not positive");
  RopeOrigin origin{.theta = rope.theta, .linear_factor = 1.0, .divisors = {}};
  if (rope.scaling == RopeScaling::linear) origin.linear_factor = rope.factor;
  if (rope.scaling == RopeScaling::llama3) {
    origin.divisors = llama3_divisors(rope.theta, dims, rope.factor, rope.low_freq_factor, rope.high_freq_factor,
                                      rope.original_context);
  }
  spec.ropes.push_back(make_rope(origin, dims, interleaved));
  spec.rope_origins.push_back(std::move(origin));
  return static_cast<int>(spec.ropes.size()) - 1;
}

void set_rope_divisors(ArchSpec& spec, const ModelSource& source) {
  RopeSpec& rope = spec.ropes.at(0);
  spec.rope_origins[0].divisors = rope_divisors(source, rope.dims);
  rope = make_rope(spec.rope_origins[0], rope.dims, rope.interleaved);
}

void require_full_attention(HfConfig& config, const ArchSpec& spec) {
  const auto types = config.texts("layer_types");
  for (const std::string& type : types) {
    if (type != "full_attention")
      refuse("layer_types of config.json holds '" + type + "', which this family is not known to have");
  }
  if (!types.empty() && types.size() != static_cast<size_t>(spec.layers)) {
    fail(Code::bad_model_file, "layer_types of config.json has " + std::to_string(types.size()) + " entries for " +
                                   std::to_string(spec.layers) + " layers");
  }
}

}  // namespace autoglm
