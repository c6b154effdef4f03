#include "optimize/frontier.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace autoglm {
namespace {

constexpr std::array<std::pair<std::string_view, OptimizeGoal>, 4> kGoals = {{{"latency", OptimizeGoal::latency},
                                                                              {"memory", OptimizeGoal::memory},
                                                                              {"quality", OptimizeGoal::quality},
                                                                              {"balanced", OptimizeGoal::balanced}}};

/// What a factor of e in time or memory, and a divergence as large as the limit, weigh.
struct Weights {
  double ms, memory, kld;
};

Weights weights_of(OptimizeGoal goal) {
  switch (goal) {
    case OptimizeGoal::latency:
      return {1, 0.01, 0.01};
    case OptimizeGoal::memory:
      return {0.01, 1, 0.01};
    case OptimizeGoal::quality:
      return {0.25, 0.25, 1};
    case OptimizeGoal::balanced:
      break;
  }
  return {0.5, 0.5, 0.25};
}

// Divergences below this are alike: what is left is the noise of the measurement.
constexpr double kLeastKld = 1e-6;
constexpr double kNoticeable = 0.02;

double log_ratio(double value, double of) { return value > 0 && of > 0 ? std::log(value / of) : 0; }

double log_kld(double kld) { return std::log(std::max(kld, kLeastKld)); }

// Measured divergence at a predicted one, from the measured forms around it.
double expected_kld(std::span<const ModelForm> forms, double predicted) {
  const ModelForm *below = nullptr, *above = nullptr;
  for (const ModelForm& form : forms) {
    if (!form.measured || form.damaged) continue;
    const double at = form.predicted.kld;
    if (at <= predicted && (!below || at > below->predicted.kld)) below = &form;
    if (at >= predicted && (!above || at < above->predicted.kld)) above = &form;
  }
  if (below && above && above->predicted.kld > below->predicted.kld) {
    const double from = log_kld(below->predicted.kld);
    const double to = log_kld(above->predicted.kld);
    const double share = to > from ? (log_kld(predicted) - from) / (to - from) : 0;
    return std::exp(log_kld(below->measured->kld) * (1 - share) + log_kld(above->measured->kld) * share);
  }
  const ModelForm* nearest = below ? below : above;
  if (!nearest) return predicted;
  return predicted * std::max(nearest->measured->kld, kLeastKld) / std::max(nearest->predicted.kld, kLeastKld);
}

const ModelForm* nearest_in_size(std::span<const ModelForm> forms, int64_t bytes) {
  const ModelForm* nearest = nullptr;
  double least = INFINITY;
  for (const ModelForm& form : forms) {
    if (!form.measured || form.measured->bytes <= 0) continue;
    const double distance = std::abs(log_ratio(static_cast<double>(form.measured->bytes), static_cast<double>(bytes)));
    if (distance < least) {
      least = distance;
      nearest = &form;
    }
  }
  return nearest;
}

FormFigures estimate_one(std::span<const ModelForm> forms, const ModelForm& form) {
  if (form.measured) return *form.measured;
  FormFigures out = form.predicted;
  out.kld = expected_kld(forms, out.kld);
  const ModelForm* nearest = nearest_in_size(forms, out.bytes);
  if (!nearest) return out;
  if (nearest->measured->ms > 0 && nearest->predicted.ms > 0) out.ms *= nearest->measured->ms / nearest->predicted.ms;
  if (nearest->measured->memory > 0 && nearest->predicted.memory > 0) {
    out.memory = static_cast<int64_t>(static_cast<double>(out.memory) * static_cast<double>(nearest->measured->memory) /
                                      static_cast<double>(nearest->predicted.memory));
  }
  return out;
}

// The source competes, and wins ties; unless it breaks a limit itself.
double score_to_beat(const FormFigures& source, const Limits& limits, OptimizeGoal goal) {
  return refusal(source, limits) == Refusal::none ? score(source, source, limits, goal) : INFINITY;
}

}  // namespace

std::string_view name(OptimizeGoal goal) {
  for (const auto& [word, one] : kGoals) {
    if (one == goal) return word;
  }
  return "";
}

std::optional<OptimizeGoal> goal_from_name(std::string_view name) {
  for (const auto& [word, one] : kGoals) {
    if (word == name) return one;
  }
  return std::nullopt;
}

Refusal refusal(const FormFigures& figures, const Limits& limits) {
  if (limits.max_bytes > 0 && figures.bytes > limits.max_bytes) return Refusal::bytes;
  if (limits.max_memory > 0 && figures.memory > limits.max_memory) return Refusal::memory;
  return figures.kld <= limits.max_kld ? Refusal::none : Refusal::quality;
}

std::vector<FormFigures> estimate(std::span<const ModelForm> forms) {
  std::vector<FormFigures> out;
  for (const ModelForm& form : forms) out.push_back(estimate_one(forms, form));
  return out;
}

double score(const FormFigures& figures, const FormFigures& source, const Limits& limits, OptimizeGoal goal) {
  const Weights weights = weights_of(goal);
  // Quality is worth the same however much may be lost.
  const double scale = goal == OptimizeGoal::quality ? std::min(limits.max_kld, kNoticeable) : limits.max_kld;
  return weights.ms * log_ratio(figures.ms, source.ms) +
         weights.memory * log_ratio(static_cast<double>(figures.memory), static_cast<double>(source.memory)) +
         weights.kld * figures.kld / std::max(scale, kLeastKld);
}

std::optional<size_t> next_form(std::span<const ModelForm> forms, const FormFigures& source, const Limits& limits,
                                OptimizeGoal goal) {
  double best = score_to_beat(source, limits, goal);
  if (const auto found = best_form(forms, source, limits, goal)) {
    best = std::min(best, score(*forms[*found].measured, source, limits, goal));
  }
  const std::vector<FormFigures> expected = estimate(forms);
  std::optional<size_t> out;
  for (size_t i = 0; i < forms.size(); ++i) {
    if (forms[i].measured || forms[i].damaged || refusal(expected[i], limits) != Refusal::none) continue;
    const double here = score(expected[i], source, limits, goal);
    if (here < best) {
      best = here;
      out = i;
    }
  }
  return out;
}

std::optional<size_t> best_form(std::span<const ModelForm> forms, const FormFigures& source, const Limits& limits,
                                OptimizeGoal goal) {
  double best = score_to_beat(source, limits, goal);
  std::optional<size_t> out;
  for (size_t i = 0; i < forms.size(); ++i) {
    if (!forms[i].measured || forms[i].damaged || refusal(*forms[i].measured, limits) != Refusal::none) continue;
    const double here = score(*forms[i].measured, source, limits, goal);
    if (here < best) {
      best = here;
      out = i;
    }
  }
  return out;
}

bool on_frontier(std::span<const FormFigures> all, size_t index) {
  const FormFigures& one = all[index];
  return std::ranges::none_of(all, [&](const FormFigures& other) {
    return other.bytes <= one.bytes && other.kld <= one.kld && (other.bytes < one.bytes || other.kld < one.kld);
  });
}

}  // namespace autoglm
