#include "model/gguf_metadata.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "model/families/family.h"

namespace autoglm {
namespace {

class Writer {
 public:
  explicit Writer(const ArchSpec& spec) : s_(spec), prefix_(std::string(gguf_architecture(spec)) + ".") {}

  Metadata run() {
    out_.set("general.architecture", std::string(gguf_architecture(s_)));
    sizes();
    heads();
    rope();
    windows();
    if (!s_.moe.empty()) experts();
    return std::move(out_);
  }

 private:
  void integer(const char* key, int64_t value) { out_.set(prefix_ + key, value); }
  void number(const char* key, double value) { out_.set(prefix_ + key, value); }

  // One number where all layers agree, as most readers expect, else a list.
  template <typename T>
  void by_layer(const char* key, const std::vector<T>& values) {
    if (std::adjacent_find(values.begin(), values.end(), std::not_equal_to<>()) == values.end()) {
      integer(key, values[0]);
    } else {
      out_.set(prefix_ + key, MetaArray(std::vector<int64_t>(values.begin(), values.end())));
    }
  }

  void sizes() {
    integer("block_count", s_.layers);
    integer("context_length", s_.train_context);
    integer("embedding_length", s_.hidden);
    by_layer("feed_forward_length", s_.ffn);
    integer("vocab_size", s_.vocabulary);
    number("attention.layer_norm_rms_epsilon", s_.norm_eps);
  }

  void heads() {
    by_layer("attention.head_count", s_.heads);
    if (s_.latent()) {
      // In its absorbed form this attention has one KV head, whose key is latent + rope.
      integer("attention.head_count_kv", 1);
      integer("attention.key_length", s_.kv_rank + s_.rope_dim);
      integer("attention.value_length", s_.kv_rank);
      integer("attention.key_length_mla", s_.nope_dim + s_.rope_dim);
      integer("attention.value_length_mla", s_.value_dim);
      integer("attention.kv_lora_rank", s_.kv_rank);
      if (s_.q_rank > 0) integer("attention.q_lora_rank", s_.q_rank);
      return;
    }
    by_layer("attention.head_count_kv", s_.kv_heads);
    by_layer("attention.key_length", s_.head_dim);
    by_layer("attention.value_length", s_.head_dim);
    if (scale_to_fold(s_) != 1.0f && !s_.qk_norm) number("attention.scale", s_.attention_scale);
    if (s_.logit_softcap != 0) number("final_logit_softcapping", s_.logit_softcap);
  }

  void rope() {
    const RopeOrigin& origin = s_.rope_origins.at(0);
    if (s_.latent() && !s_.ropes[0].interleaved) {
      fail(Code::unsupported_model, "GGUF has no way to say that latent attention rotates by halves (rope_interleave)");
    }
    number("rope.freq_base", origin.theta);
    integer("rope.dimension_count", s_.ropes[0].dims);
    if (origin.linear_factor != 1.0) {
      out_.set(prefix_ + "rope.scaling.type", std::string("linear"));
      number("rope.scaling.factor", origin.linear_factor);
    }
  }

  void windows() {
    const auto widest = *std::max_element(s_.window.begin(), s_.window.end());
    if (widest == 0) return;
    integer("attention.sliding_window", widest);
    std::vector<bool> sliding;
    for (int window : s_.window) sliding.push_back(window > 0);
    out_.set(prefix_ + "attention.sliding_window_pattern", MetaArray(sliding));
    if (s_.rope_origins.size() > 1) number("rope.freq_base_swa", s_.rope_origins[1].theta);
  }

  void experts() {
    integer("expert_count", s_.router.experts);
    integer("expert_used_count", s_.router.top_k);
    integer("expert_feed_forward_length", s_.expert_ffn);
    integer("expert_shared_count", s_.shared_ffn / s_.expert_ffn);
    integer("expert_gating_func", s_.router.sigmoid ? 2 : 1);
    number("expert_weights_scale", s_.router.scale);
    out_.set(prefix_ + "expert_weights_norm", s_.router.normalize);
    if (s_.router.groups > 1) {
      integer("expert_group_count", s_.router.groups);
      integer("expert_group_used_count", s_.router.groups_used);
    }
    const auto first = std::find(s_.moe.begin(), s_.moe.end(), true) - s_.moe.begin();
    integer("leading_dense_block_count", first);
    if (s_.router_correction && std::find(s_.moe.begin() + first, s_.moe.end(), false) != s_.moe.end()) {
      fail(Code::unsupported_model, "GGUF has no way to say that a dense layer follows one of experts");
    }
  }

  const ArchSpec& s_;
  std::string prefix_;
  Metadata out_;
};

}  // namespace

float scale_to_fold(const ArchSpec& spec) {
  if (spec.latent()) return 1.0f;
  const float usual = static_cast<float>(1.0 / std::sqrt(static_cast<double>(spec.head_dim[0])));
  return spec.attention_scale / (spec.gguf_scale > 0 ? spec.gguf_scale : usual);
}

Metadata gguf_metadata(const ArchSpec& spec) { return Writer(spec).run(); }

}  // namespace autoglm
