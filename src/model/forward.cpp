// The only inference layer loop. Shapes in comments: n rows (tokens of all sequences of the step), m of them whose
// result is wanted in the last layer (before it m is n), H hidden, h query heads, g KV heads, d head dimension, F
// feed-forward width. Weights are [outputs, inputs].
#include "model/forward.h"

#include <array>

#include "base/zone.h"

namespace autoglm {
namespace {

const Norm* if_set(const Norm& norm) { return norm.weight ? &norm : nullptr; }
const Buffer* if_set(const Buffer& buffer) { return buffer ? &buffer : nullptr; }

/// What a layer's two halves share.
struct Step {
  const ArchSpec& spec;
  Backend& backend;
  Buffer& x;     // [m, H]
  int64_t rows;  // m: n, or fewer from the last layer's attention on
  int64_t all;   // n
  /// The rows that are left when this layer's keys and values are stored; not given: all.
  std::optional<std::span<const int32_t>> wanted;
  KvView kv;
  int rope;  // the backend's number, -1: none
  ZoneStamp& zone;
};

/// Goes on with the rows that are wanted.
void narrow(Step& s, std::span<Buffer* const> buffers) {
  s.backend.keep_rows({.rows = *s.wanted, .buffers = buffers});
  s.rows = std::ssize(*s.wanted);
}

// a.attended [m, h*d] = attention of all heads over the sequence so far.
void attend(Step& s, const LayerWeights& w, LayerActivations& a) {
  const auto l = static_cast<size_t>(s.kv.layer);
  const Projection all[] = {
      {.weight = &w.q, .bias = if_set(w.q_bias), .out = &a.q},  // w.q [h*d, H]
      {.weight = &w.k, .bias = if_set(w.k_bias), .out = &a.k},  // w.k [g*d, H]
      {.weight = &w.v, .bias = if_set(w.v_bias), .out = &a.v},  // w.v [g*d, H]
  };
  const std::span<const Projection> qkv(all);
  const auto project = [&](std::span<const Projection> maps) {
    s.backend.project({.rows = s.rows, .x = &s.x, .norm = if_set(w.attention_norm), .projections = maps});
  };
  s.zone.next(Zone::norm_qkv);
  if (s.wanted) {
    project(qkv.last(2));
    narrow(s, std::array{&s.x});
    if (s.rows > 0) project(qkv.first(1));
  } else {
    project(qkv);
  }
  s.zone.next(Zone::attention);
  s.backend.attention({.rows = s.all,
                       .queries = s.wanted,
                       .q = &a.q,  // [m, h*d]
                       .k = &a.k,  // [n, g*d]
                       .v = &a.v,  // [n, g*d]
                       .q_norm = if_set(w.q_norm),
                       .k_norm = if_set(w.k_norm),
                       .rope = s.rope,
                       .heads = s.spec.heads[l],
                       .kv_heads = s.spec.kv_heads[l],
                       .key_dim = s.spec.head_dim[l],
                       .value_dim = s.spec.head_dim[l],
                       .scale = s.spec.attention_scale,
                       .softcap = s.spec.attention_softcap,
                       .window = s.spec.window[l],
                       .kv = s.kv,
                       .out = &a.attended,
                       .next = &w.attention_output});
}

// The same with multi-head latent attention: r = kv_rank, p = rope_dim, o = nope_dim, t = q_rank, e = value_dim.
void attend_latent(Step& s, const LayerWeights& w, LayerActivations& a) {
  const bool low_rank = s.spec.q_rank > 0;
  const Projection down[] = {
      {.weight = &w.kv_a, .out = &a.latent},                                    // w.kv_a [r+p, H]
      {.weight = low_rank ? &w.q_a : &w.q, .out = low_rank ? &a.q_low : &a.q},  // w.q_a [t, H] or w.q [h*(o+p), H]
  };
  s.zone.next(Zone::norm_qkv);
  s.backend.project({.rows = s.rows, .x = &s.x, .norm = if_set(w.attention_norm), .projections = down});
  if (low_rank) {
    const Projection up[] = {{.weight = &w.q_b, .out = &a.q}};  // w.q_b [h*(o+p), t]
    s.backend.project({.rows = s.rows, .x = &a.q_low, .norm = &w.q_a_norm, .projections = up});
  }
  s.zone.next(Zone::attention);
  s.backend.latent_attention({.rows = s.rows,
                              .q = &a.q,            // [n, h*(o+p)]
                              .latent = &a.latent,  // [n, r+p]
                              .latent_norm = &w.kv_a_norm,
                              .k_b = &w.k_b,  // h x [r, o]
                              .v_b = &w.v_b,  // h x [e, r]
                              .rope = s.rope,
                              .heads = s.spec.heads[static_cast<size_t>(s.kv.layer)],
                              .nope = s.spec.nope_dim,
                              .rope_dims = s.spec.rope_dim,
                              .kv_rank = s.spec.kv_rank,
                              .value_dim = s.spec.value_dim,
                              .scale = s.spec.attention_scale,
                              .kv = s.kv,
                              .out = &a.attended});  // [n, h*e]
  if (s.wanted) narrow(s, std::array{&s.x, &a.attended});
}

// x += norm(down(act(gate n(x)) * up n(x)))
void feed_forward(const Step& s, const LayerWeights& w, LayerActivations& a) {
  s.zone.next(Zone::gate_up);
  s.backend.gate_up({.rows = s.rows,
                     .x = &s.x,
                     .norm = if_set(w.ffn_norm),
                     .gate = &w.gate,  // [F, H]
                     .up = &w.up,      // [F, H]
                     .gate_bias = if_set(w.gate_bias),
                     .up_bias = if_set(w.up_bias),
                     .activation = s.spec.activation,
                     .out = &a.ffn,  // [n, F]
                     .next = &w.down});
  s.zone.next(Zone::down);
  s.backend.project_add({.rows = s.rows,
                         .x = &a.ffn,
                         .weight = &w.down,  // [H, F]
                         .bias = if_set(w.down_bias),
                         .post_norm = if_set(w.ffn_post_norm),
                         .residual = &s.x});
}

// x += norm(sum of the chosen experts + the shared expert). E experts of width f.
void mixture(const Step& s, const LayerWeights& w) {
  const bool shared = s.spec.shared_ffn > 0;
  s.zone.next(Zone::experts);
  s.backend.experts({.rows = s.rows,
                     .x = &s.x,
                     .norm = if_set(w.ffn_norm),
                     .router = &w.router,                        // [E, H]
                     .correction = if_set(w.router_correction),  // [1, E]
                     .spec = s.spec.router,
                     .gate = &w.expert_gate,  // E x [f, H]
                     .up = &w.expert_up,      // E x [f, H]
                     .down = &w.expert_down,  // E x [H, f]
                     .shared_gate = shared ? &w.shared_gate : nullptr,
                     .shared_up = shared ? &w.shared_up : nullptr,
                     .shared_down = shared ? &w.shared_down : nullptr,
                     .activation = s.spec.activation,
                     .post_norm = if_set(w.ffn_post_norm),
                     .residual = &s.x});
}

}  // namespace

void forward_layers(const ArchSpec& spec, const ModelWeights& weights, Backend& backend, Activations& a,
                    std::span<const int> ropes, int64_t rows, KvView kv,
                    std::optional<std::span<const int32_t>> wanted) {
  ZoneStamp zone(Zone::other);
  Step step{.spec = spec,
            .backend = backend,
            .x = a.x,
            .rows = rows,
            .all = rows,
            .wanted = {},
            .kv = kv,
            .rope = -1,
            .zone = zone};
  for (int layer = 0; layer < spec.layers; ++layer) {
    const auto l = static_cast<size_t>(layer);
    const LayerWeights& w = weights.layers[l];
    LayerActivations& act = a.layers[l];
    step.kv.layer = layer;
    if (layer + 1 == spec.layers) step.wanted = wanted;
    step.rope = spec.rope[l] < 0 ? -1 : ropes[static_cast<size_t>(spec.rope[l])];

    if (spec.latent()) {
      attend_latent(step, w, act);
    } else {
      attend(step, w, act);
    }
    if (step.rows == 0) return;
    zone.next(Zone::output);
    // x += norm(attention_output(attended)). With tensor parallelism an all-reduce stands inside this phase.
    backend.project_add({.rows = step.rows,
                         .x = &act.attended,
                         .weight = &w.attention_output,  // [H, h*d]
                         .bias = if_set(w.attention_output_bias),
                         .post_norm = if_set(w.attention_post_norm),
                         .residual = &a.x});

    if (spec.is_moe(layer)) {
      mixture(step, w);
    } else {
      feed_forward(step, w, act);
    }
  }
}

}  // namespace autoglm
