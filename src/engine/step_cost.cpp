#include "engine/step_cost.h"

#include <algorithm>
#include <cmath>

namespace autoglm {
namespace {

// What a step's terms cost in prefill rows, where measurements do not tell: a step reads all weights once, a position
// of depth costs little against the matrices, logits are a large matrix. Only a start: each observation outweighs it.
constexpr std::array<double, 6> kGuess = {16, 1, 1.0 / 4096, 1.5, 1.0 / 2048, 1};
constexpr double kGuessWeight = 0.02;  // of one observation
constexpr double kGuessUnit = 1e-3;    // seconds

constexpr double kKeep = 0.99;        // about the last hundred steps of a kind count
constexpr double kFactorGain = 0.25;  // a machine that changed its speed is followed within some ten steps
constexpr double kSpreadGain = 0.1;   // how quickly it is learned what is usual
constexpr double kLeastTolerance = 0.25;
constexpr double kTolerance = 3;  // spreads; a step beyond counts as one at this border
constexpr int kSweeps = 40;

double dot(const std::array<double, 6>& a, const std::array<double, 6>& b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

}  // namespace

void StepShape::add_prefill(int64_t begin, int64_t rows, bool ends) {
  prefill_rows += rows;
  prefill_depth += rows * begin + rows * (rows - 1) / 2;
  logit_rows += ends ? 1 : 0;
}

void StepShape::add_decode(int64_t position, int64_t rows) {
  decode_rows += rows;
  decode_depth += rows * position + rows * (rows - 1) / 2;
  logit_rows += rows;
}

StepCostModel::StepCostModel() : unit_(kGuessUnit) { fit(); }

StepCostModel::Terms StepCostModel::terms(const StepShape& step) {
  return {1,
          static_cast<double>(step.prefill_rows),
          static_cast<double>(step.prefill_depth),
          static_cast<double>(step.decode_rows),
          static_cast<double>(step.decode_depth),
          static_cast<double>(step.logit_rows)};
}

double StepCostModel::predict(const StepShape& step) const {
  return kinds_[step.prefill_rows > 0 ? 1 : 0].factor * dot(weights_, terms(step));
}

void StepCostModel::observe(const StepShape& step, double seconds) {
  if (!(seconds > 0) || !std::isfinite(seconds)) return;
  Terms x = terms(step);
  Kind& kind = kinds_[step.prefill_rows > 0 ? 1 : 0];
  if (observed_++ == 0) {
    unit_ = seconds / dot(kGuess, x);
    fit();
  }
  // What lies far from the expected is believed only as far as steps usually stray, so that one bad moment (a page
  // fault, another program) does little. If it goes on, straying becomes usual.
  const double predicted = predict(step);
  const double log_ratio = std::log(seconds / predicted);
  const double border = std::max(kLeastTolerance, kTolerance * kind.spread);
  const double believed = std::clamp(log_ratio, -border, border);
  kind.spread += kSpreadGain * (std::min(std::abs(log_ratio), 1.0) - kind.spread);
  kind.factor *= std::exp(kFactorGain * believed);

  const double target = predicted * std::exp(believed);
  unit_ += 0.05 * (target / dot(kGuess, x) - unit_);
  for (double& value : x) value /= target;  // errors count relative to the step's length
  for (size_t i = 0; i < kTerms; ++i) {
    for (size_t j = 0; j < kTerms; ++j) kind.squares[i][j] = kind.squares[i][j] * kKeep + x[i] * x[j];
    kind.sums[i] = kind.sums[i] * kKeep + x[i];
  }
  fit();
}

// Minimizes the sum of squared relative errors, with the guess as a weak further observation of each weight, by
// coordinate descent from the last solution: with weights bounded below it converges to the optimum.
void StepCostModel::fit() {
  if (observed_ == 0) {
    for (size_t i = 0; i < kTerms; ++i) weights_[i] = unit_ * kGuess[i];
    return;
  }
  std::array<Terms, kTerms> squares{};
  Terms sums{};
  for (size_t i = 0; i < kTerms; ++i) {
    const double guess = unit_ * kGuess[i];
    for (size_t j = 0; j < kTerms; ++j) squares[i][j] = kinds_[0].squares[i][j] + kinds_[1].squares[i][j];
    squares[i][i] += kGuessWeight / (guess * guess);
    sums[i] = kinds_[0].sums[i] + kinds_[1].sums[i] + kGuessWeight / guess;
  }
  for (int sweep = 0; sweep < kSweeps; ++sweep) {
    for (size_t i = 0; i < kTerms; ++i) {
      const double others = dot(squares[i], weights_) - squares[i][i] * weights_[i];
      weights_[i] = std::max(0.0, (sums[i] - others) / squares[i][i]);
    }
  }
}

}  // namespace autoglm
