// Figures of scored tokens: exact quantiles, perplexities, and intervals from a paired bootstrap.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "compress/quality_report.h"

namespace autoglm {

/// What is kept of a scored token.
struct TokenFigures {
  float kld = 0;
  float loss_a = 0;
  float loss_b = 0;
  uint8_t agreement = 0;  // bit 7: the same likeliest token; the rest: how many of A's five best are among B's
};
inline constexpr int64_t kTokenBytes = sizeof(TokenFigures);

/// The value that a share `q` of the sorted values does not exceed, linear between neighbours (type 7 of Hyndman and
/// Fan, "Sample quantiles in statistical packages", 1996).
double quantile(std::span<const float> sorted, double q);

/// The figures of some tokens. They come in runs of `run` tokens that are resampled as one, so that neighbours, which
/// are alike, do not make an interval too narrow. Percentile intervals of a paired bootstrap: Efron and Tibshirani, "An
/// Introduction to the Bootstrap", 1993, chapter 13; runs: Künsch, "The jackknife and the bootstrap for general
/// stationary observations", 1989 (with fixed borders); paired by resampling tokens with both models' figures. The same
/// seed gives the same interval everywhere. No tokens: all zero.
DivergenceSummary summarize(std::span<const TokenFigures> tokens, int64_t run, uint64_t seed, int resamples);

/// 33 points of the distribution of divergences, denser towards the large ones.
std::vector<QuantilePoint> quantile_curve(std::span<const TokenFigures> tokens);

}  // namespace autoglm
