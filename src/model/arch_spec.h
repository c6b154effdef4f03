// A model family is data: everything that the one layer loop needs to know about an architecture.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/backend.h"
#include "model/tensor_role.h"

namespace autoglm {

/// How rotary frequencies came about, kept so that a converter can write them again.
struct RopeOrigin {
  double theta = 10000.0;
  double linear_factor = 1.0;   // every frequency is divided by it
  std::vector<float> divisors;  // one a frequency (llama3 scaling); empty: none
};

/// A tensor that this family stores under another name than the tensor table's.
struct Rename {
  Role role;
  std::string_view name;
};

/// Hyper-parameters and structure of one model, filled by its family (model/families/NAME.cpp) from GGUF metadata or
/// config.json. Arrays have one entry a layer.
struct ArchSpec {
  std::string family;        // "llama", "glm4", ...
  std::string architecture;  // the file's own word for it
  int64_t hidden = 0;
  int64_t vocabulary = 0;
  int layers = 0;      // without the MTP layers, which are not run
  int mtp_layers = 0;  // present in the file after the others
  int64_t train_context = 0;
  float norm_eps = 1e-5f;
  float latent_eps = 1e-6f;  // of the norms on MLA's latents
  float embed_scale = 1.0f;
  float logit_softcap = 0.0f;
  float attention_softcap = 0.0f;
  float attention_scale = 0.0f;  // on q.k
  float gguf_scale = 0.0f;       // what llama.cpp takes it to be; 0: 1 / sqrt(head_dim)
  bool tied_head = false;
  bool qkv_bias = false;
  bool output_bias = false;
  bool ffn_bias = false;
  bool qk_norm = false;
  bool pre_norms = true;    // norm before attention and FFN
  bool post_norms = false;  // norm after attention and FFN, before the residual sum (sandwich)
  Activation activation = Activation::silu;

  std::vector<int> heads;
  std::vector<int> kv_heads;
  std::vector<int> head_dim;
  std::vector<int64_t> ffn;
  std::vector<int> window;  // 0: full attention
  std::vector<int> rope;    // index into ropes
  std::vector<RopeSpec> ropes;
  std::vector<RopeOrigin> rope_origins;  // parallel to ropes

  // Mixture of experts.
  std::vector<bool> moe;  // which layers; empty: none
  RouterSpec router;
  int64_t expert_ffn = 0;
  int64_t shared_ffn = 0;  // 0: no shared expert
  bool router_correction = false;

  // Multi-head latent attention; kv_rank 0: plain attention.
  int q_rank = 0;  // 0: q is one full projection
  int kv_rank = 0;
  int nope_dim = 0;
  int rope_dim = 0;
  int value_dim = 0;

  // How files of this family differ from the tensor table.
  std::vector<Rename> gguf_names;
  std::vector<Rename> hf_names;
  bool hf_norm_plus_one = false;    // safetensors hold w where the norm multiplies by 1 + w
  bool gguf_fused_gate_up = false;  // GGUF has [gate | up] as ffn_up of double width
  /// GGUF stores the rows of q and k so that NeoX pairs (i, i + n/2) become neighbours (2i, 2i+1). The loader leaves
  /// the rows where they are and turns neighbours instead (ropes[].interleaved); only the converter permutes.
  bool gguf_permuted_qk = false;

  bool is_moe(int layer) const { return !moe.empty() && moe[static_cast<size_t>(layer)]; }
  bool latent() const { return kv_rank > 0; }
  /// Per head: length of a query and key, and of a value.
  int key_dim(int layer) const { return latent() ? nope_dim + rope_dim : head_dim[static_cast<size_t>(layer)]; }
  int value_head(int layer) const { return latent() ? value_dim : head_dim[static_cast<size_t>(layer)]; }
};

/// Fills every array by layer with one value where a family has no difference by layer.
void fill_layers(ArchSpec& spec, int heads, int kv_heads, int head_dim, int64_t ffn);

/// Rotary frequencies theta^(-2i/dims), divided by the linear factor and the divisors (transformers'
/// modeling_rope_utils computes them in float32 too).
RopeSpec make_rope(const RopeOrigin& origin, int dims, bool interleaved);

/// Divisors of Llama 3's scaling: long waves are slowed by `factor`, short ones kept, those between blended
/// (transformers' _compute_llama3_parameters).
std::vector<float> llama3_divisors(double theta, int dims, double factor, double low, double high, double old_context);

/// Throws Error bad_model_file when a number is out of range or an array has the wrong length. Every family's result
/// passes through it, so that the code after it may trust the spec.
void check_spec(const ArchSpec& spec);

/// The parameters that this spec's tensors hold, a tied head counted once.
int64_t count_parameters(const ArchSpec& spec);

}  // namespace autoglm
