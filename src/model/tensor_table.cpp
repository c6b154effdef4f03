#include "model/tensor_table.h"

#include <array>

#include "base/error.h"

namespace autoglm {
namespace {

using Spec = const ArchSpec&;

// Shapes. `at` reads an array by layer.
template <typename V>
auto at(const V& values, int layer) {
  return values[static_cast<size_t>(layer)];
}
TensorShape matrix(int64_t rows, int64_t cols) { return {1, rows, cols}; }
TensorShape vec(int64_t n) { return {1, 1, n}; }
TensorShape only(bool condition, TensorShape shape) { return condition ? shape : TensorShape{}; }

int64_t q_rows(Spec s, int l) { return int64_t{at(s.heads, l)} * s.key_dim(l); }
int64_t k_rows(Spec s, int l) { return int64_t{at(s.kv_heads, l)} * s.head_dim[static_cast<size_t>(l)]; }
int64_t out_cols(Spec s, int l) { return int64_t{at(s.heads, l)} * s.value_head(l); }
int64_t qkv_rows(Spec s, int l) { return q_rows(s, l) + 2 * k_rows(s, l); }
int64_t zero(Spec, int) { return 0; }
int64_t kv_b_rows(Spec s, int) { return s.nope_dim + s.value_dim; }
int64_t nope_rows(Spec s, int) { return s.nope_dim; }
int64_t ffn(Spec s, int l) { return at(s.ffn, l); }
int64_t two_ffn(Spec s, int l) { return 2 * at(s.ffn, l); }
int64_t expert_ffn(Spec s, int) { return s.expert_ffn; }
int64_t two_expert_ffn(Spec s, int) { return 2 * s.expert_ffn; }

TensorShape embedding(Spec s, int) { return matrix(s.vocabulary, s.hidden); }
TensorShape hidden_norm(Spec s, int) { return vec(s.hidden); }
TensorShape pre_norm(Spec s, int) { return only(s.pre_norms, vec(s.hidden)); }
TensorShape post_norm(Spec s, int) { return only(s.post_norms, vec(s.hidden)); }
TensorShape head_norm(Spec s, int l) { return only(s.qk_norm, vec(at(s.head_dim, l))); }
TensorShape q_shape(Spec s, int l) { return only(s.q_rank == 0, matrix(q_rows(s, l), s.hidden)); }
TensorShape kv_shape(Spec s, int l) { return only(!s.latent(), matrix(k_rows(s, l), s.hidden)); }
TensorShape q_bias_shape(Spec s, int l) { return only(s.qkv_bias, vec(q_rows(s, l))); }
TensorShape kv_bias_shape(Spec s, int l) { return only(s.qkv_bias, vec(k_rows(s, l))); }
TensorShape hidden_if_output_bias(Spec s, int) { return only(s.output_bias, vec(s.hidden)); }
TensorShape gate_shape(Spec s, int l) { return only(!s.is_moe(l), matrix(ffn(s, l), s.hidden)); }
TensorShape down_shape(Spec s, int l) { return only(!s.is_moe(l), matrix(s.hidden, ffn(s, l))); }
TensorShape gate_bias_shape(Spec s, int l) { return only(s.ffn_bias && !s.is_moe(l), vec(ffn(s, l))); }
TensorShape down_bias_shape(Spec s, int l) { return only(s.ffn_bias && !s.is_moe(l), vec(s.hidden)); }
TensorShape experts_in(Spec s, int l) { return only(s.is_moe(l), {s.router.experts, s.expert_ffn, s.hidden}); }
TensorShape shared_in(Spec s, int l) { return only(s.is_moe(l) && s.shared_ffn > 0, matrix(s.shared_ffn, s.hidden)); }

#define SHAPE(expression) [](Spec s, [[maybe_unused]] int l) -> TensorShape { return expression; }

// Role, word, form, shard, shape, GGUF name, Hugging Face name, and the tensor that may hold it among others.
constexpr std::array kTable = {
    TensorRow{Role::token_embedding, "token embedding", Form::matrix, Shard::replicated, embedding, "token_embd.weight",
              "model.embed_tokens.weight"},
    TensorRow{Role::output_norm, "output norm", Form::norm, Shard::replicated, hidden_norm, "output_norm.weight",
              "model.norm.weight"},
    TensorRow{Role::output, "output head", Form::matrix, Shard::rows, SHAPE(only(!s.tied_head, embedding(s, l))),
              "output.weight", "lm_head.weight"},
    TensorRow{Role::rope_factors, "rope factors", Form::bias, Shard::replicated,
              SHAPE(s.rope_origins.empty() || s.rope_origins[0].divisors.empty()
                        ? TensorShape{}
                        : vec(static_cast<int64_t>(s.rope_origins[0].divisors.size()))),
              "rope_freqs.weight", ""},

    TensorRow{Role::attention_norm, "attention norm", Form::norm, Shard::replicated, pre_norm,
              "blk.{l}.attn_norm.weight", "model.layers.{l}.input_layernorm.weight"},
    TensorRow{Role::q, "q", Form::matrix, Shard::rows, q_shape, "blk.{l}.attn_q.weight",
              "model.layers.{l}.self_attn.q_proj.weight", "blk.{l}.attn_qkv.weight", "", zero, qkv_rows},
    TensorRow{Role::k, "k", Form::matrix, Shard::rows, kv_shape, "blk.{l}.attn_k.weight",
              "model.layers.{l}.self_attn.k_proj.weight", "blk.{l}.attn_qkv.weight", "", q_rows, qkv_rows},
    TensorRow{Role::v, "v", Form::matrix, Shard::rows, kv_shape, "blk.{l}.attn_v.weight",
              "model.layers.{l}.self_attn.v_proj.weight", "blk.{l}.attn_qkv.weight", "",
              [](Spec s, int l) { return q_rows(s, l) + k_rows(s, l); }, qkv_rows},
    TensorRow{Role::attention_output, "attention output", Form::matrix, Shard::columns,
              SHAPE(matrix(s.hidden, out_cols(s, l))), "blk.{l}.attn_output.weight",
              "model.layers.{l}.self_attn.o_proj.weight"},
    TensorRow{Role::q_bias, "q bias", Form::bias, Shard::rows, q_bias_shape, "blk.{l}.attn_q.bias",
              "model.layers.{l}.self_attn.q_proj.bias", "blk.{l}.attn_qkv.bias", "", zero, qkv_rows},
    TensorRow{Role::k_bias, "k bias", Form::bias, Shard::rows, kv_bias_shape, "blk.{l}.attn_k.bias",
              "model.layers.{l}.self_attn.k_proj.bias", "blk.{l}.attn_qkv.bias", "", q_rows, qkv_rows},
    TensorRow{Role::v_bias, "v bias", Form::bias, Shard::rows, kv_bias_shape, "blk.{l}.attn_v.bias",
              "model.layers.{l}.self_attn.v_proj.bias", "blk.{l}.attn_qkv.bias", "",
              [](Spec s, int l) { return q_rows(s, l) + k_rows(s, l); }, qkv_rows},
    TensorRow{Role::attention_output_bias, "attention output bias", Form::bias, Shard::replicated,
              hidden_if_output_bias, "blk.{l}.attn_output.bias", "model.layers.{l}.self_attn.o_proj.bias"},
    TensorRow{Role::q_norm, "q norm", Form::norm, Shard::replicated, head_norm, "blk.{l}.attn_q_norm.weight",
              "model.layers.{l}.self_attn.q_norm.weight"},
    TensorRow{Role::k_norm, "k norm", Form::norm, Shard::replicated, head_norm, "blk.{l}.attn_k_norm.weight",
              "model.layers.{l}.self_attn.k_norm.weight"},
    TensorRow{Role::attention_post_norm, "norm after attention", Form::norm, Shard::replicated, post_norm,
              "blk.{l}.post_attention_norm.weight", "model.layers.{l}.post_self_attn_layernorm.weight"},

    TensorRow{Role::q_a, "q_a", Form::matrix, Shard::replicated, SHAPE(only(s.q_rank > 0, matrix(s.q_rank, s.hidden))),
              "blk.{l}.attn_q_a.weight", "model.layers.{l}.self_attn.q_a_proj.weight"},
    TensorRow{Role::q_a_norm, "q_a norm", Form::norm, Shard::replicated, SHAPE(only(s.q_rank > 0, vec(s.q_rank))),
              "blk.{l}.attn_q_a_norm.weight", "model.layers.{l}.self_attn.q_a_layernorm.weight"},
    TensorRow{Role::q_b, "q_b", Form::matrix, Shard::rows, SHAPE(only(s.q_rank > 0, matrix(q_rows(s, l), s.q_rank))),
              "blk.{l}.attn_q_b.weight", "model.layers.{l}.self_attn.q_b_proj.weight"},
    TensorRow{Role::kv_a, "kv_a", Form::matrix, Shard::replicated,
              SHAPE(only(s.latent(), matrix(s.kv_rank + s.rope_dim, s.hidden))), "blk.{l}.attn_kv_a_mqa.weight",
              "model.layers.{l}.self_attn.kv_a_proj_with_mqa.weight"},
    TensorRow{Role::kv_a_norm, "kv_a norm", Form::norm, Shard::replicated, SHAPE(only(s.latent(), vec(s.kv_rank))),
              "blk.{l}.attn_kv_a_norm.weight", "model.layers.{l}.self_attn.kv_a_layernorm.weight"},
    // A head of kv_b is [nope | value] rows of kv_rank columns. k_b is kept transposed (kv_rank x nope), as GGUF has
    // it.
    TensorRow{Role::k_b, "k_b", Form::matrix, Shard::experts,
              SHAPE(only(s.latent(), {at(s.heads, l), s.kv_rank, s.nope_dim})), "blk.{l}.attn_k_b.weight", "", "",
              "model.layers.{l}.self_attn.kv_b_proj.weight", zero, kv_b_rows},
    TensorRow{Role::v_b, "v_b", Form::matrix, Shard::experts,
              SHAPE(only(s.latent(), {at(s.heads, l), s.value_dim, s.kv_rank})), "blk.{l}.attn_v_b.weight", "", "",
              "model.layers.{l}.self_attn.kv_b_proj.weight", nope_rows, kv_b_rows},

    TensorRow{Role::ffn_norm, "ffn norm", Form::norm, Shard::replicated, pre_norm, "blk.{l}.ffn_norm.weight",
              "model.layers.{l}.post_attention_layernorm.weight"},
    TensorRow{Role::gate, "gate", Form::matrix, Shard::rows, gate_shape, "blk.{l}.ffn_gate.weight",
              "model.layers.{l}.mlp.gate_proj.weight", "blk.{l}.ffn_up.weight",
              "model.layers.{l}.mlp.gate_up_proj.weight", zero, two_ffn},
    TensorRow{Role::up, "up", Form::matrix, Shard::rows, gate_shape, "blk.{l}.ffn_up.weight",
              "model.layers.{l}.mlp.up_proj.weight", "blk.{l}.ffn_up.weight",
              "model.layers.{l}.mlp.gate_up_proj.weight", ffn, two_ffn},
    TensorRow{Role::down, "down", Form::matrix, Shard::columns, down_shape, "blk.{l}.ffn_down.weight",
              "model.layers.{l}.mlp.down_proj.weight"},
    TensorRow{Role::gate_bias, "gate bias", Form::bias, Shard::rows, gate_bias_shape, "blk.{l}.ffn_gate.bias",
              "model.layers.{l}.mlp.gate_proj.bias"},
    TensorRow{Role::up_bias, "up bias", Form::bias, Shard::rows, gate_bias_shape, "blk.{l}.ffn_up.bias",
              "model.layers.{l}.mlp.up_proj.bias"},
    TensorRow{Role::down_bias, "down bias", Form::bias, Shard::replicated, down_bias_shape, "blk.{l}.ffn_down.bias",
              "model.layers.{l}.mlp.down_proj.bias"},
    TensorRow{Role::router, "router", Form::matrix, Shard::replicated,
              SHAPE(only(s.is_moe(l), matrix(s.router.experts, s.hidden))), "blk.{l}.ffn_gate_inp.weight",
              "model.layers.{l}.mlp.gate.weight"},
    TensorRow{Role::router_correction, "router correction", Form::bias, Shard::replicated,
              SHAPE(only(s.is_moe(l) && s.router_correction, vec(s.router.experts))), "blk.{l}.exp_probs_b.bias",
              "model.layers.{l}.mlp.gate.e_score_correction_bias"},
    TensorRow{Role::expert_gate, "experts' gate", Form::matrix, Shard::experts, experts_in,
              "blk.{l}.ffn_gate_exps.weight", "model.layers.{l}.mlp.experts.{e}.gate_proj.weight",
              "blk.{l}.ffn_gate_up_exps.weight", "model.layers.{l}.mlp.experts.gate_up_proj", zero, two_expert_ffn},
    TensorRow{Role::expert_up, "experts' up", Form::matrix, Shard::experts, experts_in, "blk.{l}.ffn_up_exps.weight",
              "model.layers.{l}.mlp.experts.{e}.up_proj.weight", "blk.{l}.ffn_gate_up_exps.weight",
              "model.layers.{l}.mlp.experts.gate_up_proj", expert_ffn, two_expert_ffn},
    TensorRow{Role::expert_down, "experts' down", Form::matrix, Shard::experts,
              SHAPE(only(s.is_moe(l), {s.router.experts, s.hidden, s.expert_ffn})), "blk.{l}.ffn_down_exps.weight",
              "model.layers.{l}.mlp.experts.{e}.down_proj.weight", "", "model.layers.{l}.mlp.experts.down_proj", zero,
              [](Spec s, int) { return s.hidden; }},
    TensorRow{Role::shared_gate, "shared expert's gate", Form::matrix, Shard::rows, shared_in,
              "blk.{l}.ffn_gate_shexp.weight", "model.layers.{l}.mlp.shared_experts.gate_proj.weight"},
    TensorRow{Role::shared_up, "shared expert's up", Form::matrix, Shard::rows, shared_in,
              "blk.{l}.ffn_up_shexp.weight", "model.layers.{l}.mlp.shared_experts.up_proj.weight"},
    TensorRow{Role::shared_down, "shared expert's down", Form::matrix, Shard::columns,
              SHAPE(only(s.is_moe(l) && s.shared_ffn > 0, matrix(s.hidden, s.shared_ffn))),
              "blk.{l}.ffn_down_shexp.weight", "model.layers.{l}.mlp.shared_experts.down_proj.weight"},
    TensorRow{Role::ffn_post_norm, "norm after ffn", Form::norm, Shard::replicated, post_norm,
              "blk.{l}.post_ffw_norm.weight", "model.layers.{l}.post_mlp_layernorm.weight"},
};
static_assert(kTable.size() == static_cast<size_t>(Role::count_));

bool outside_layers(Role role) { return role <= Role::rope_factors; }

}  // namespace

std::span<const TensorRow> tensor_table() { return kTable; }

const TensorRow& tensor_row(Role role) {
  const TensorRow& row = kTable[static_cast<size_t>(role)];
  AUTOGLM_CHECK(row.role == role, "the tensor table is not in the order of Role");
  return row;
}

void for_each_tensor(const ArchSpec& spec,
                     const std::function<void(const TensorRow&, int, const TensorShape&)>& visit) {
  const auto visit_one = [&](const TensorRow& row, int layer) {
    const TensorShape shape = row.shape(spec, layer);
    if (!shape.none()) visit(row, layer, shape);
  };
  for (const TensorRow& row : kTable) {
    if (outside_layers(row.role)) visit_one(row, -1);
  }
  for (int layer = 0; layer < spec.layers; ++layer) {
    for (const TensorRow& row : kTable) {
      if (!outside_layers(row.role)) visit_one(row, layer);
    }
  }
}

int64_t count_parameters(const ArchSpec& spec) {
  int64_t total = 0;
  for_each_tensor(spec, [&](const TensorRow& row, int, const TensorShape& shape) {
    if (row.role != Role::rope_factors) total += shape.elements();
  });
  return total;
}

}  // namespace autoglm
