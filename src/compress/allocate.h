// Which type each tensor gets so that the whole costs least within so many bytes: a knapsack with one choice an item.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace autoglm {

struct Choice {
  int64_t bytes = 0;
  double cost = 0;  // finite, not negative: what the choice costs in quality
};

/// One index an item, so that the sum of bytes is at most `budget` and the sum of costs least; nothing if even the
/// smallest choices are too large. Exact where budget and sizes have at most 65,536 steps between them; beyond that
/// sizes are rounded up to such steps, so the budget is always kept, and at most a step an item is given away. Equal
/// costs go to the smaller choice. Each item has at least one choice.
std::optional<std::vector<int>> allocate(std::span<const std::vector<Choice>> items, int64_t budget);

}  // namespace autoglm
