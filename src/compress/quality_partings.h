// The places where two models find another token likeliest: the few where they differ most are kept.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "compress/quality_divergence.h"
#include "compress/quality_report.h"

namespace autoglm {

class PartingKeeper {
 public:
  /// Keeps the `most` with the largest divergence; equal ones in the order in which they came.
  PartingKeeper(const QualityModel& a, int most) : a_(&a), most_(static_cast<size_t>(most)) {}
  /// The logits are read only if the place is kept.
  void offer(int64_t window, int64_t position, std::span<const int32_t> tokens, const RowDivergence& row,
             std::span<const float> logits_a, std::span<const float> logits_b, const EvaluationText& text);
  /// Largest divergence first.
  std::vector<Parting> take() { return std::move(kept_); }

 private:
  const QualityModel* a_;
  size_t most_;
  std::vector<Parting> kept_;
};

}  // namespace autoglm
