// A against B in pairs of measurements that follow each other: what their ratio is, and how sure that is.
#pragma once

#include <functional>
#include <span>
#include <vector>

namespace autoglm {

/// B's cost by A's, over pairs: below 1, B is cheaper.
struct PairedRatio {
  double ratio = 1;
  double low = 0, high = 0;  // the interval; high is infinite and low 0 where the pairs are too few for it
  int pairs = 0;
};

constexpr double kSigma95 = 1.959964;  // two-sided 95 %

/// From the logarithms of the pairs' ratios: the Hodges-Lehmann estimate (median of the means of all two of them) and
/// the interval that the signed-rank test of Wilcoxon gives at `sigma` standard deviations, by its normal approximation
/// (Hollander, Wolfe, Chicken: Nonparametric statistical methods, 3.2 and 3.3). A few wild pairs move it little. 95 %
/// need 6 pairs.
PairedRatio paired_ratio(std::span<const double> log_ratios, double sigma = kSigma95);

/// Measures A and B in turns, the order turned from pair to pair (AB BA AB ...), so that a machine that drifts meets
/// both. `cost(side)`, 0 for A and 1 for B, gives a number above 0; its first call of each side is a warm-up that does
/// not count if `warm_up`.
PairedRatio compare_in_pairs(const std::function<double(int side)>& cost, int pairs, bool warm_up = true);

}  // namespace autoglm
