#include "model/activations.h"

#include <algorithm>
#include <map>
#include <utility>

namespace autoglm {
namespace {

// Calls visit(slot, width) for every buffer of a layer; slots are numbered in LayerActivations' order.
template <typename F>
void for_each_buffer(const ArchSpec& s, int layer, F&& visit) {
  const auto l = static_cast<size_t>(layer);
  const int64_t heads = s.heads[l];
  visit(0, heads * s.key_dim(layer));
  visit(1, s.latent() ? 0 : int64_t{s.kv_heads[l]} * s.head_dim[l]);
  visit(2, s.latent() ? 0 : int64_t{s.kv_heads[l]} * s.head_dim[l]);
  visit(3, s.q_rank);
  visit(4, s.latent() ? s.kv_rank + s.rope_dim : 0);
  visit(5, heads * s.value_head(layer));
  visit(6, s.is_moe(layer) ? 0 : s.ffn[l]);
}

Buffer& slot_of(LayerActivations& a, int slot) {
  Buffer* slots[] = {&a.q, &a.k, &a.v, &a.q_low, &a.latent, &a.attended, &a.ffn};
  return *slots[slot];
}

}  // namespace

int64_t activation_values(const ArchSpec& spec, int64_t rows, int64_t logit_rows) {
  int64_t values = rows * spec.hidden + 2 * logit_rows * (spec.vocabulary + spec.hidden);
  std::map<std::pair<int, int64_t>, bool> seen;
  for (int layer = 0; layer < spec.layers; ++layer) {
    for_each_buffer(spec, layer, [&](int slot, int64_t width) {
      if (width > 0 && seen.emplace(std::pair(slot, width), true).second) values += rows * width;
    });
  }
  return values;
}

Activations make_activations(const ArchSpec& spec, Backend& backend, int64_t rows, int64_t logit_rows) {
  Activations out;
  out.x = backend.make_buffer(rows, spec.hidden);
  out.logits = backend.make_buffer(logit_rows, spec.vocabulary);
  out.hidden = backend.make_buffer(logit_rows, spec.hidden);
  out.layers.resize(static_cast<size_t>(spec.layers));
  std::map<std::pair<int, int64_t>, Buffer> made;
  for (int layer = 0; layer < spec.layers; ++layer) {
    for_each_buffer(spec, layer, [&](int slot, int64_t width) {
      if (width == 0) return;
      Buffer& buffer = made[{slot, width}];
      if (!buffer) buffer = backend.make_buffer(rows, width);
      slot_of(out.layers[static_cast<size_t>(layer)], slot) = buffer;
    });
  }
  return out;
}

StepLimits step_limits(const ArchSpec& spec, int64_t rows, int64_t context) {
  StepLimits limits{.rows = rows, .widest = spec.hidden, .context = context};
  limits.experts = spec.router.experts;
  limits.top_k = spec.router.top_k;
  limits.expert_width = std::max(spec.expert_ffn, spec.shared_ffn);
  limits.latent = spec.latent();
  for (int layer = 0; layer < spec.layers; ++layer) {
    for_each_buffer(spec, layer, [&](int, int64_t width) { limits.widest = std::max(limits.widest, width); });
    limits.heads = std::max<int64_t>(limits.heads, spec.heads[static_cast<size_t>(layer)]);
    limits.head_dim = std::max<int64_t>(limits.head_dim, spec.key_dim(layer));
  }
  limits.widest = std::max({limits.widest, spec.expert_ffn, spec.shared_ffn});
  limits.head_dim = std::max<int64_t>(limits.head_dim, spec.kv_rank + spec.rope_dim);
  return limits;
}

}  // namespace autoglm
