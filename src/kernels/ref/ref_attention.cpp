// Rotary embedding and softmax attention over paged keys and values.
#include "kernels/ref/ref_attention.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "kernels/ref/ref_backend.h"
#include "kernels/ref/ref_ops.h"

namespace autoglm::ref {

void RefBackend::rotate(int rope, int64_t row, float* values) const {
  if (rope < 0) return;
  const RopeSpec& spec = ropes_[static_cast<size_t>(rope)];
  const int pairs = spec.dims / 2;
  const bool three = static_cast<int64_t>(positions_.size()) == 3 * rows_;
  for (int i = 0; i < pairs; ++i) {
    // M-RoPE: the first sections[0] pairs turn by time, the next by height, the rest by width.
    int axis = 0;
    if (three && !spec.sections.empty()) {
      for (int end = spec.sections[0]; axis < 2 && i >= end;) end += spec.sections[static_cast<size_t>(++axis)];
    }
    const double angle = static_cast<double>(positions_[static_cast<size_t>(axis * rows_ + row)]) * spec.inv_freq[i];
    const double cosine = std::cos(angle) * spec.magnitude, sine = std::sin(angle) * spec.magnitude;
    float& first = values[spec.interleaved ? 2 * i : i];
    float& second = values[spec.interleaved ? 2 * i + 1 : i + pairs];
    const double a = first, b = second;
    first = static_cast<float>(a * cosine - b * sine);
    second = static_cast<float>(a * sine + b * cosine);
  }
}

std::vector<double> attend(const Attend& args, const std::function<std::vector<float>(int64_t)>& key,
                           const std::function<std::vector<float>(int64_t)>& value) {
  const int64_t first = args.window > 0 ? std::max<int64_t>(0, args.position - args.window + 1) : 0;
  std::vector<double> scores;
  for (int64_t p = first; p <= args.position; ++p) {
    const std::vector<float> k = key(p);
    double score = 0.0;
    for (size_t d = 0; d < k.size(); ++d) score += static_cast<double>(args.query[d]) * k[d];
    score *= args.scale;
    if (args.softcap > 0.0f) score = args.softcap * std::tanh(score / args.softcap);
    scores.push_back(score);
  }
  const double largest = *std::max_element(scores.begin(), scores.end());
  double total = 0.0;
  for (double& score : scores) total += score = std::exp(score - largest);
  std::vector<double> out(static_cast<size_t>(args.value_dim));
  for (int64_t p = first; p <= args.position; ++p) {
    const std::vector<float> v = value(p);
    const double weight = scores[static_cast<size_t>(p - first)] / total;
    for (size_t d = 0; d < out.size(); ++d) out[d] += weight * v[d];
  }
  return out;
}

void RefBackend::attention(const AttentionArgs& args) {
  auto& store = static_cast<RefKv&>(*args.kv.store);
  const int layer = args.kv.layer;
  const int group = args.heads / args.kv_heads;  // query heads that share a KV head
  for (const KvSegment& segment : args.kv.segments) {
    for (int64_t r = 0; r < segment.rows; ++r) {  // append first: what is read is what was stored
      const int64_t row = segment.row_begin + r;
      for (int h = 0; h < args.kv_heads; ++h) {
        float* key = row_of(*args.k, row) + h * args.key_dim;
        normalize(args.k_norm, key, args.key_dim);
        rotate(args.rope, row, key);
        store.write_key(layer, segment, segment.past + r, h, key);
        store.write_value(layer, segment, segment.past + r, h, row_of(*args.v, row) + h * args.value_dim);
      }
    }
    for (int64_t r = 0; r < segment.rows; ++r) {
      const int64_t row = segment.row_begin + r;
      int64_t place = row;  // in q and out
      if (args.queries) {
        const auto found = std::ranges::lower_bound(*args.queries, row);
        if (found == args.queries->end() || *found != row) continue;
        place = found - args.queries->begin();
      }
      for (int h = 0; h < args.heads; ++h) {
        float* query = row_of(*args.q, place) + h * args.key_dim;
        normalize(args.q_norm, query, args.key_dim);
        rotate(args.rope, row, query);
        const std::vector<float> rounded = store.query(layer, query);
        const Attend one{rounded.data(), segment.past + r, args.scale, args.softcap, args.window, args.value_dim};
        const std::vector<double> out = attend(
            one, [&](int64_t p) { return store.key(layer, segment, p, h / group); },
            [&](int64_t p) { return store.value(layer, segment, p, h / group); });
        float* to = row_of(*args.out, place) + h * args.value_dim;
        for (size_t d = 0; d < out.size(); ++d) to[d] = static_cast<float>(out[d]);
      }
    }
  }
}

}  // namespace autoglm::ref
