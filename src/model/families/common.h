// What the readers of several families share. Nothing here knows a family.
#pragma once

#include <string>

#include "model/families/family.h"

namespace autoglm {

/// Sizes, heads, norm epsilon, vocabulary, tied head and qkv bias of a GGUF. Layers = block_count - MTP layers.
ArchSpec gguf_basics(GgufConfig& config, const ModelSource& source);

/// Experts of a GGUF. `dense_lead` layers at the start are dense.
void gguf_experts(GgufConfig& config, ArchSpec& spec, int dense_lead);

/// Sizes, heads, norm epsilon, vocabulary and tied head of a config.json with transformers' usual keys.
ArchSpec hf_basics(HfConfig& config, const ModelSource& source, bool tied_default = false);

/// Experts of a config.json with GLM's keys.
void hf_glm_experts(HfConfig& config, ArchSpec& spec, int dense_lead);

/// The part of a head that GLM's configurations rotate where they do not say.
inline constexpr double kGlmPartial = 0.5;

/// Adds a rope over the first part of a head of `head_dim` and returns its number.
int add_rope(ArchSpec& spec, const RopeParameters& rope, int head_dim, bool interleaved);

/// Takes rope_freqs.weight of a GGUF, if there is one, into the first rope.
void set_rope_divisors(ArchSpec& spec, const ModelSource& source);

/// Every layer must have this layer type, if layer_types is there at all.
void require_full_attention(HfConfig& config, const ArchSpec& spec);

/// 1 / sqrt(n)
float inverse_root(double n);

[[noreturn]] void refuse(const std::string& message, const std::string& hint = {});

}  // namespace autoglm
