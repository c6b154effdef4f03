#include "compress/allocate.h"

#include <algorithm>
#include <limits>
#include <numeric>
#include <utility>

#include "base/error.h"

namespace autoglm {
namespace {

constexpr int64_t kSteps = 65'536;
constexpr double kNever = std::numeric_limits<double>::infinity();

int64_t smallest(const std::vector<Choice>& choices) {
  AUTOGLM_CHECK(!choices.empty(), "an item without a choice");
  return std::ranges::min_element(choices, {}, &Choice::bytes)->bytes;
}

// What all sizes above the smallest are multiples of.
int64_t common_step(std::span<const std::vector<Choice>> items) {
  int64_t step = 0;
  for (const auto& choices : items) {
    const int64_t least = smallest(choices);
    for (const Choice& choice : choices) step = std::gcd(step, choice.bytes - least);
  }
  return std::max<int64_t>(step, 1);
}

}  // namespace

// best[b]: the least cost of the items so far with at most b steps above their smallest choices; taken[item][b]: how.
std::optional<std::vector<int>> allocate(std::span<const std::vector<Choice>> items, int64_t budget) {
  int64_t least = 0;
  int64_t most = 0;
  for (const auto& choices : items) {
    least += smallest(choices);
    most += std::ranges::max_element(choices, {}, &Choice::bytes)->bytes;
  }
  if (least > budget) return std::nullopt;
  if (budget >= most) {
    std::vector<int> out;
    for (const auto& choices : items) {
      const auto best =
          std::ranges::min_element(choices, {}, [](const Choice& c) { return std::pair(c.cost, c.bytes); });
      out.push_back(static_cast<int>(best - choices.begin()));
    }
    return out;
  }
  const int64_t room = budget - least;
  int64_t step = common_step(items);
  if (room / step > kSteps) step = (room + kSteps - 1) / kSteps;
  const auto cells = static_cast<size_t>(room / step) + 1;

  std::vector<double> best(cells, 0.0);
  std::vector<std::vector<uint8_t>> taken(items.size(), std::vector<uint8_t>(cells));
  for (size_t i = 0; i < items.size(); ++i) {
    AUTOGLM_CHECK(items[i].size() <= 255, "few choices an item");
    const int64_t base = smallest(items[i]);
    std::vector<size_t> order(items[i].size());  // smaller choices first
    std::iota(order.begin(), order.end(), size_t{0});
    std::ranges::sort(order, {}, [&](size_t c) { return std::pair(items[i][c].bytes, c); });
    std::vector<double> next(cells, kNever);
    for (const size_t c : order) {
      const auto size = static_cast<size_t>((items[i][c].bytes - base + step - 1) / step);
      for (size_t b = size; b < cells; ++b) {
        const double cost = best[b - size] + items[i][c].cost;
        if (cost < next[b]) {
          next[b] = cost;
          taken[i][b] = static_cast<uint8_t>(c);
        }
      }
    }
    best = std::move(next);
  }

  std::vector<int> out(items.size());
  size_t left = cells - 1;
  for (size_t i = items.size(); i-- > 0;) {
    const int choice = taken[i][left];
    out[i] = choice;
    left -= static_cast<size_t>((items[i][static_cast<size_t>(choice)].bytes - smallest(items[i]) + step - 1) / step);
  }
  return out;
}

}  // namespace autoglm
