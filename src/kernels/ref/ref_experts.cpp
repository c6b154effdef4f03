// Mixture of experts: choose, compute, sum.
#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "kernels/ref/ref_backend.h"
#include "kernels/ref/ref_ops.h"

namespace autoglm::ref {
namespace {

struct Choice {
  int expert;
  double weight;
};

std::vector<double> scores_of(const RouterSpec& spec, const float* logits) {
  std::vector<double> scores(logits, logits + spec.experts);
  if (spec.sigmoid) {
    for (double& s : scores) s = 1.0 / (1.0 + std::exp(-s));
    return scores;
  }
  const double largest = *std::max_element(scores.begin(), scores.end());
  double total = 0.0;
  for (double& s : scores) total += s = std::exp(s - largest);
  for (double& s : scores) s /= total;
  return scores;
}

/// The `count` largest of `values` among those allowed; ties go to the lower index. Ascending indices.
std::vector<int> best(const std::vector<double>& values, int count, const std::vector<bool>& allowed) {
  std::vector<int> order;
  for (size_t i = 0; i < values.size(); ++i) {
    if (allowed[i]) order.push_back(static_cast<int>(i));
  }
  // A NaN counts as the lowest value: comparing it plainly would break the sort's order.
  const auto rank = [&](int i) { return std::isnan(values[i]) ? -HUGE_VAL : values[i]; };
  std::sort(order.begin(), order.end(), [&](int a, int b) { return rank(a) != rank(b) ? rank(a) > rank(b) : a < b; });
  order.resize(std::min<size_t>(order.size(), static_cast<size_t>(count)));
  std::sort(order.begin(), order.end());
  return order;
}

/// Which experts the best groups hold; a group's score is the sum of its two best.
std::vector<bool> in_best_groups(const RouterSpec& spec, const std::vector<double>& values) {
  const int size = spec.experts / spec.groups;
  std::vector<double> group_scores;
  for (int g = 0; g < spec.groups; ++g) {
    std::vector<bool> members(values.size(), false);
    std::fill_n(members.begin() + g * size, size, true);
    double score = 0.0;
    for (int e : best(values, 2, members)) score += values[static_cast<size_t>(e)];
    group_scores.push_back(score);
  }
  std::vector<bool> allowed(values.size(), false);
  for (int g : best(group_scores, spec.groups_used, std::vector<bool>(group_scores.size(), true))) {
    std::fill_n(allowed.begin() + g * size, size, true);
  }
  return allowed;
}

/// The chosen experts in ascending order with their weights.
std::vector<Choice> route(const RouterSpec& spec, const float* logits, const float* correction) {
  const std::vector<double> scores = scores_of(spec, logits);
  std::vector<double> ranked = scores;
  for (size_t e = 0; e < ranked.size() && correction != nullptr; ++e) ranked[e] += correction[e];
  std::vector<bool> allowed(scores.size(), true);
  if (spec.groups > 1) allowed = in_best_groups(spec, ranked);
  std::vector<Choice> chosen;
  double total = spec.sigmoid ? 1e-20 : 0.0;
  for (int e : best(ranked, spec.top_k, allowed)) {
    chosen.push_back({e, scores[static_cast<size_t>(e)]});
    total += chosen.back().weight;
  }
  for (Choice& choice : chosen) choice.weight *= spec.scale / (spec.normalize ? total : 1.0);
  return chosen;
}

}  // namespace

void RefBackend::experts(const ExpertsArgs& args) {
  Rows x = take(*args.x, args.rows, 0, args.router->cols);
  normalize(args.norm, x);
  const Rows logits = multiply(*args.router, 0, x);
  const float* correction = args.correction != nullptr && *args.correction ? row_of(*args.correction, 0) : nullptr;
  for (int64_t r = 0; r < args.rows; ++r) {
    Rows row(1, x.cols);
    std::copy_n(x[r], x.cols, row[0]);
    std::vector<double> sum(static_cast<size_t>(args.residual->cols));
    for (const Choice& choice : route(args.spec, logits[r], correction)) {
      const Rows inner = gated(*args.gate, *args.up, choice.expert, row, args.activation);
      const Rows out = multiply(*args.down, choice.expert, inner);
      for (size_t c = 0; c < sum.size(); ++c) sum[c] += choice.weight * out.values[c];
    }
    if (args.shared_gate != nullptr) {
      const Rows inner = gated(*args.shared_gate, *args.shared_up, 0, row, args.activation);
      const Rows out = multiply(*args.shared_down, 0, inner);
      for (size_t c = 0; c < sum.size(); ++c) sum[c] += out.values[c];
    }
    std::vector<float> update(sum.begin(), sum.end());
    normalize(args.post_norm, update.data(), std::ssize(update));
    float* residual = row_of(*args.residual, r);
    for (size_t c = 0; c < update.size(); ++c) residual[c] += update[c];
  }
}

}  // namespace autoglm::ref
