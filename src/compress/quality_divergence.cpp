#include "compress/quality_divergence.h"

#include <algorithm>
#include <cmath>

namespace autoglm {
namespace {

// The row's largest values, and whether all are finite.
struct Best {
  std::array<int32_t, kBest> ids{};
  bool finite = true;
};

Best best_of(std::span<const float> row) {
  Best out;
  out.ids.fill(-1);
  int count = 0;
  float least = 0;  // the value at the last place
  for (size_t i = 0; i < row.size(); ++i) {
    const float value = row[i];
    if (!std::isfinite(value)) {
      out.finite = false;
      return out;
    }
    if (count == kBest && value <= least) continue;
    int at = count < kBest ? count++ : kBest - 1;
    for (; at > 0 && value > row[static_cast<size_t>(out.ids[static_cast<size_t>(at) - 1])]; --at) {
      out.ids[static_cast<size_t>(at)] = out.ids[static_cast<size_t>(at) - 1];
    }
    out.ids[static_cast<size_t>(at)] = static_cast<int32_t>(i);
    least = row[static_cast<size_t>(out.ids[static_cast<size_t>(count) - 1])];
  }
  return out;
}

double at(std::span<const float> row, int32_t id) { return row[static_cast<size_t>(id)]; }

}  // namespace

RowDivergence compare_rows(std::span<const float> a, std::span<const float> b, int32_t target) {
  RowDivergence out;
  const Best best_a = best_of(a);
  const Best best_b = best_of(b);
  out.finite_a = best_a.finite;
  out.finite_b = best_b.finite;
  if (!out.finite_a || !out.finite_b) return out;
  out.best_a = best_a.ids;
  out.best_b = best_b.ids;
  // With both rows shifted so that their largest value is 0:
  //   KL = sum e^a (a - b) / sum e^a - (log sum e^a - log sum e^b).
  const double top_a = at(a, best_a.ids[0]);
  const double top_b = at(b, best_b.ids[0]);
  double mass_a = 0, mass_b = 0, moment = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    const double x = a[i] - top_a;
    const double y = b[i] - top_b;
    const double weight = std::exp(x);
    mass_a += weight;
    mass_b += std::exp(y);
    moment += weight * (x - y);
  }
  const double log_a = std::log(mass_a);
  const double log_b = std::log(mass_b);
  out.kld = std::max(0.0, moment / mass_a - (log_a - log_b));
  out.loss_a = log_a - (at(a, target) - top_a);
  out.loss_b = log_b - (at(b, target) - top_b);
  return out;
}

double log_probability(std::span<const float> row, int32_t token) {
  const double top = *std::max_element(row.begin(), row.end());
  double mass = 0;
  for (const float value : row) mass += std::exp(value - top);
  return at(row, token) - top - std::log(mass);
}

}  // namespace autoglm
