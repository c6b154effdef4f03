#include "kernels/cpu/router.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace autoglm::cpu {
namespace {

constexpr float kTaken = -std::numeric_limits<float>::infinity();

void to_scores(const RouterSpec& spec, float* logits) {
  if (spec.sigmoid) {
    for (int e = 0; e < spec.experts; ++e) logits[e] = 1.0f / (1.0f + std::exp(-logits[e]));
    return;
  }
  const float largest = *std::max_element(logits, logits + spec.experts);
  float total = 0.0f;
  for (int e = 0; e < spec.experts; ++e) total += logits[e] = std::exp(logits[e] - largest);
  for (int e = 0; e < spec.experts; ++e) logits[e] /= total;
}

/// Score by which experts compete. NaN ranks lowest, but above what is excluded.
float rank_of(const float* scores, const float* correction, int e) {
  const float rank = scores[e] + (correction != nullptr ? correction[e] : 0.0f);
  return std::isnan(rank) ? std::numeric_limits<float>::lowest() : rank;
}

/// The sum of a group's two best ranks.
float group_rank(const RouterSpec& spec, const float* scores, const float* correction, int group) {
  const int size = spec.experts / spec.groups;
  float best = kTaken, second = kTaken;
  for (int e = group * size; e < (group + 1) * size; ++e) {
    const float rank = rank_of(scores, correction, e);
    if (rank > best) {
      second = best;
      best = rank;
    } else {
      second = std::max(second, rank);
    }
  }
  return size > 1 ? best + second : best;
}

/// Whether `group` is among the groups_used best; ties go to the lower index.
bool group_allowed(const RouterSpec& spec, const float* scores, const float* correction, int group) {
  if (spec.groups <= 1) return true;
  const float own = group_rank(spec, scores, correction, group);
  int better = 0;
  for (int g = 0; g < spec.groups; ++g) {
    const float other = group_rank(spec, scores, correction, g);
    better += other > own || (other == own && g < group) ? 1 : 0;
  }
  return better < spec.groups_used;
}

}  // namespace

void route(const RouterSpec& spec, float* logits, const float* correction, Choice* out) {
  to_scores(spec, logits);
  const float* scores = logits;
  for (int k = 0; k < spec.top_k; ++k) out[k].expert = -1;
  // Insertion into the list of the best so far, best first. A later equal rank stays behind: ties to the lower index.
  const int size = spec.experts / std::max(1, spec.groups);
  bool allowed = true;
  for (int e = 0; e < spec.experts; ++e) {
    if (e % size == 0) allowed = group_allowed(spec, scores, correction, e / size);
    if (!allowed) continue;
    const float rank = rank_of(scores, correction, e);
    int at = spec.top_k;
    while (at > 0 && (out[at - 1].expert < 0 || rank > out[at - 1].weight)) --at;
    if (at == spec.top_k) continue;
    std::move_backward(out + at, out + spec.top_k - 1, out + spec.top_k);
    out[at] = {e, rank};
  }
  int chosen = spec.top_k;
  while (chosen > 0 && out[chosen - 1].expert < 0) --chosen;
  std::sort(out, out + chosen, [](const Choice& a, const Choice& b) { return a.expert < b.expert; });
  float total = spec.sigmoid ? 1e-20f : 0.0f;
  for (int k = 0; k < chosen; ++k) {
    out[k].weight = scores[out[k].expert];
    total += out[k].weight;
  }
  for (int k = 0; k < chosen; ++k) out[k].weight *= spec.scale / (spec.normalize ? total : 1.0f);
  // Fewer allowed experts than top_k: the rest count for nothing.
  for (int k = chosen; k < spec.top_k; ++k) out[k] = {out[0].expert, 0.0f};
}

}  // namespace autoglm::cpu
