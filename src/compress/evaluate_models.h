// Two models over the same windows, in step.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "compress/quality_divergence.h"
#include "compress/quality_report.h"

namespace autoglm {

/// Reads `tokens` into a fresh sequence of each model and compares the rows from `first` on that have a next token.
class LockstepReader {
 public:
  /// `suspect`: the tensor to name when logits are not finite; may be empty.
  LockstepReader(const QualityModel& a, const QualityModel& b, WorkerPool& pool, std::string suspect);
  ~LockstepReader();

  /// Calls visit(position, figures, A's logits, B's logits) in order; check(tokens read) after every chunk. The logits
  /// live until visit returns. Error numeric for a logit that is not finite, naming model and position.
  void read(
      std::span<const int32_t> tokens, int64_t first, const std::function<void(int64_t done)>& check,
      const std::function<void(int64_t, const RowDivergence&, std::span<const float>, std::span<const float>)>& visit);

  int64_t rows() const { return rows_; }
  double seconds_a() const { return seconds_a_; }
  double seconds_b() const { return seconds_b_; }

 private:
  std::span<const float> step(const QualityModel& side, KvCache& kv, SequenceId sequence,
                              std::span<const int32_t> tokens, double& seconds);

  const QualityModel &a_, &b_;
  WorkerPool& pool_;
  std::string suspect_;
  std::unique_ptr<KvCache> kv_a_, kv_b_;
  std::vector<int32_t> logit_rows_;
  std::vector<RowDivergence> figures_;
  int64_t rows_ = 0;
  double seconds_a_ = 0, seconds_b_ = 0;
};

/// Median tokens per second of single steps after a prompt, both models by turns.
struct DecodeSpeed {
  double a = 0, b = 0;
};
DecodeSpeed measure_decoding(const QualityModel& a, const QualityModel& b, std::span<const int32_t> prompt,
                             const std::function<void(int64_t done, int64_t total)>& progress);

}  // namespace autoglm
