// What a step will cost, learned from the steps themselves. Pure: it is told what was computed and how long it took.
//
// Seconds are a linear function of a step's work with weights >= 0, fitted by least squares on relative errors that
// forgets. Linear is enough: what bends (kernels that like many rows, a decode bound by memory) bends slowly, and the
// steps that matter are much alike.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace autoglm {

/// The work of a step, as far as its cost depends on it. A row's depth: how many positions come before it.
struct StepShape {
  int64_t prefill_rows = 0;
  int64_t prefill_depth = 0;  // sum over these rows
  int64_t decode_rows = 0;
  int64_t decode_depth = 0;
  int64_t logit_rows = 0;

  /// Rows [begin, begin + rows) of a prompt; `ends`: its last row gives a token.
  void add_prefill(int64_t begin, int64_t rows, bool ends);
  /// `rows` rows from `position` on, each of which gives logits: a token, and what was drafted after it.
  void add_decode(int64_t position, int64_t rows = 1);
};

class StepCostModel {
 public:
  StepCostModel();

  /// Seconds; > 0 for a step with work. More work never costs less. Before the first observation it is a guess.
  double predict(const StepShape& step) const;
  void observe(const StepShape& step, double seconds);
  int64_t observed() const { return observed_; }

 private:
  static constexpr size_t kTerms = 6;
  using Terms = std::array<double, kTerms>;

  /// Steps that only decode, and the others. Each kind forgets by its own steps: after an hour of decoding it is still
  /// known what a prompt's chunk costs. And each follows the machine by a factor of its own, which is quick where the
  /// fit is thorough.
  struct Kind {
    std::array<Terms, kTerms> squares{};  // sum of x x^T, x = terms / seconds
    Terms sums{};                         // sum of x
    double factor = 1;                    // recent seconds over fitted ones
    double spread = 0.1;                  // recent |log(seconds / predicted)|
  };

  static Terms terms(const StepShape& step);
  void fit();

  std::array<Kind, 2> kinds_;
  Terms weights_{};
  double unit_;  // seconds of one prefill row, for what no step has shown yet
  int64_t observed_ = 0;
};

}  // namespace autoglm
