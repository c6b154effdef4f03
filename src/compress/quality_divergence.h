// Two rows of logits for the same place of a text, compared.
#pragma once

#include <array>
#include <cstdint>
#include <span>

namespace autoglm {

inline constexpr int kBest = 5;

/// Natural logarithms; distributions are softmax over the whole vocabulary.
struct RowDivergence {
  double kld = 0;     // KL(A || B) = sum p_a (log p_a - log p_b), never below 0
  double loss_a = 0;  // -log p_a(target)
  double loss_b = 0;
  std::array<int32_t, kBest> best_a{}, best_b{};  // likeliest first; the lower id where they are equal; -1: none
  bool finite_a = true, finite_b = true;          // false: the rest means nothing
};

/// Both rows are as long; the target is inside. Sums in double over differences of float32 logits: a difference of
/// whole rows by a constant, which softmax does not see, does not enter the divergence.
RowDivergence compare_rows(std::span<const float> a, std::span<const float> b, int32_t target);

/// log p(token) of a row.
double log_probability(std::span<const float> row, int32_t token);

}  // namespace autoglm
