#include "tune/paired.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/error.h"

namespace autoglm {

PairedRatio paired_ratio(std::span<const double> log_ratios, double sigma) {
  PairedRatio out;
  out.high = std::numeric_limits<double>::infinity();
  out.pairs = static_cast<int>(log_ratios.size());
  if (log_ratios.empty()) return out;
  std::vector<double> means;  // of all pairs of ratios, each with itself too
  means.reserve(log_ratios.size() * (log_ratios.size() + 1) / 2);
  for (size_t i = 0; i < log_ratios.size(); ++i) {
    for (size_t j = i; j < log_ratios.size(); ++j) means.push_back((log_ratios[i] + log_ratios[j]) / 2);
  }
  std::ranges::sort(means);
  const size_t count = means.size();
  out.ratio = std::exp((means[(count - 1) / 2] + means[count / 2]) / 2);
  const double n = static_cast<double>(log_ratios.size());
  // So many of the smallest means lie outside the interval, and of the largest.
  const double outside = n * (n + 1) / 4 - sigma * std::sqrt(n * (n + 1) * (2 * n + 1) / 24);
  if (outside < 0) return out;
  const auto at = std::min(static_cast<size_t>(outside), (count - 1) / 2);
  out.low = std::exp(means[at]);
  out.high = std::exp(means[count - 1 - at]);
  return out;
}

PairedRatio compare_in_pairs(const std::function<double(int side)>& cost, int pairs, bool warm_up) {
  if (warm_up) {
    cost(0);
    cost(1);
  }
  std::vector<double> logs;
  for (int pair = 0; pair < pairs; ++pair) {
    const int first = pair % 2;
    double costs[2];
    costs[first] = cost(first);
    costs[1 - first] = cost(1 - first);
    AUTOGLM_CHECK(costs[0] > 0 && costs[1] > 0, "costs are above 0");
    logs.push_back(std::log(costs[1] / costs[0]));
  }
  return paired_ratio(logs);
}

}  // namespace autoglm
