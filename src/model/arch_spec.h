// A model family is data: everything that the one layer loop needs to know about an architecture.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/backend.h"

namespace autoglm {

/// Hyper-parameters and structure of one model, filled by its family (model/families/NAME.cpp) from GGUF metadata or
/// config.json. Arrays have one entry a layer.
struct ArchSpec {
  std::string family;            // "llama", "glm4", ...
  std::string architecture;      // the file's own word for it
  int64_t hidden = 0;
  int64_t vocabulary = 0;
  int layers = 0;                // without the MTP layers, which are not run
  int64_t train_context = 0;
  float norm_eps = 1e-5f;
  float embed_scale = 1.0f;
  float logit_softcap = 0.0f;
  float attention_softcap = 0.0f;
  float attention_scale = 0.0f;  // on q.k
  bool tied_head = false;
  bool qkv_bias = false;
  bool output_bias = false;
  bool qk_norm = false;
  bool pre_norms = true;         // norm before attention and FFN
  bool post_norms = false;       // norm after attention and FFN, before the residual sum (sandwich)
  Activation activation = Activation::silu;

  std::vector<int> heads;
  std::vector<int> kv_heads;
  std::vector<int> head_dim;
  std::vector<int64_t> ffn;
  std::vector<int> window;       // 0: full attention
  std::vector<int> rope;         // index into ropes
  std::vector<RopeSpec> ropes;

  // Mixture of experts.
  std::vector<bool> moe;         // which layers; empty: none
  RouterSpec router;
  int64_t expert_ffn = 0;
  int64_t shared_ffn = 0;        // 0: no shared expert
  bool router_correction = false;

  // Multi-head latent attention; kv_rank 0: plain attention.
  int q_rank = 0;                // 0: q is one full projection
  int kv_rank = 0;
  int nope_dim = 0;
  int rope_dim = 0;
  int value_dim = 0;
};

}  // namespace autoglm
