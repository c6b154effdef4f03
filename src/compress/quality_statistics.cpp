#include "compress/quality_statistics.h"

#include <algorithm>
#include <cmath>

#include "base/split_mix.h"

namespace autoglm {
namespace {

class Random : public SplitMix64 {
 public:
  using SplitMix64::SplitMix64;
  /// Below n < 2^32. The bias of the multiplication (n / 2^32) is far below what a bootstrap resolves.
  size_t below(size_t n) { return static_cast<size_t>(((next() >> 32) * n) >> 32); }
};

struct RunSums {
  double difference = 0;  // of losses, b - a
  double kld = 0;
  double count = 0;
};

std::vector<RunSums> sums_by_run(std::span<const TokenFigures> tokens, int64_t run) {
  std::vector<RunSums> out;
  for (size_t begin = 0; begin < tokens.size(); begin += static_cast<size_t>(run)) {
    RunSums sums;
    for (const TokenFigures& token : tokens.subspan(begin, std::min(static_cast<size_t>(run), tokens.size() - begin))) {
      sums.difference += double{token.loss_b} - double{token.loss_a};
      sums.kld += token.kld;
      sums.count += 1;
    }
    out.push_back(sums);
  }
  return out;
}

Interval percentiles(std::vector<double>& values) {
  std::sort(values.begin(), values.end());
  const auto at = [&](double q) {
    return values[static_cast<size_t>(std::lround(q * static_cast<double>(values.size() - 1)))];
  };
  return {at(0.025), at(0.975)};
}

void bootstrap(const std::vector<RunSums>& runs, uint64_t seed, int resamples, DivergenceSummary& out) {
  std::vector<double> ratios, klds;
  Random random(seed);
  for (int i = 0; i < resamples; ++i) {
    RunSums sums;
    for (size_t draw = 0; draw < runs.size(); ++draw) {
      const RunSums& run = runs[random.below(runs.size())];
      sums.difference += run.difference;
      sums.kld += run.kld;
      sums.count += run.count;
    }
    ratios.push_back(std::exp(sums.difference / sums.count));
    klds.push_back(sums.kld / sums.count);
  }
  if (ratios.empty()) return;
  out.ppl_ratio_ci = percentiles(ratios);
  out.kld_mean_ci = percentiles(klds);
}

}  // namespace

double quantile(std::span<const float> sorted, double q) {
  if (sorted.empty()) return 0;
  const double place = q * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<size_t>(place);
  const size_t above = std::min(below + 1, sorted.size() - 1);
  const double part = place - static_cast<double>(below);
  return (1 - part) * sorted[below] + part * sorted[above];
}

DivergenceSummary summarize(std::span<const TokenFigures> tokens, int64_t run, uint64_t seed, int resamples) {
  DivergenceSummary out;
  if (tokens.empty()) return out;
  out.tokens = std::ssize(tokens);
  const auto count = static_cast<double>(tokens.size());
  double kld = 0, loss_a = 0, loss_b = 0, same = 0, among = 0;
  std::vector<float> sorted;
  sorted.reserve(tokens.size());
  for (const TokenFigures& token : tokens) {
    kld += token.kld;
    loss_a += token.loss_a;
    loss_b += token.loss_b;
    same += token.agreement >> 7;
    among += token.agreement & 0x7f;
    sorted.push_back(token.kld);
  }
  std::sort(sorted.begin(), sorted.end());
  out.kld_mean = kld / count;
  out.kld_median = quantile(sorted, 0.5);
  out.kld_p90 = quantile(sorted, 0.9);
  out.kld_p99 = quantile(sorted, 0.99);
  out.kld_max = sorted.back();
  out.top1_agreement = same / count;
  out.top5_agreement = among / (5 * count);
  out.ppl_a = std::exp(loss_a / count);
  out.ppl_b = std::exp(loss_b / count);
  out.ppl_ratio = std::exp((loss_b - loss_a) / count);
  out.ppl_ratio_ci = {out.ppl_ratio, out.ppl_ratio};
  out.kld_mean_ci = {out.kld_mean, out.kld_mean};
  bootstrap(sums_by_run(tokens, run), seed, resamples, out);
  return out;
}

std::vector<QuantilePoint> quantile_curve(std::span<const TokenFigures> tokens) {
  std::vector<float> sorted;
  sorted.reserve(tokens.size());
  for (const TokenFigures& token : tokens) sorted.push_back(token.kld);
  std::sort(sorted.begin(), sorted.end());
  std::vector<QuantilePoint> out;
  if (sorted.empty()) return out;
  constexpr int kPoints = 32;
  for (int i = 0; i <= kPoints; ++i) {
    // 1 - share falls from 1 to 0.001 by equal factors; the last point is the largest value.
    const double share = i == kPoints ? 1.0 : 1.0 - std::pow(0.001, static_cast<double>(i) / (kPoints - 1));
    out.push_back({share, quantile(sorted, share)});
  }
  return out;
}

}  // namespace autoglm
