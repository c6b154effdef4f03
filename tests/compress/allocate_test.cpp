#include "compress/allocate.h"

#include <gtest/gtest.h>

#include <limits>
#include <random>

namespace autoglm {
namespace {

using Items = std::vector<std::vector<Choice>>;

int64_t bytes_of(const Items& items, const std::vector<int>& chosen) {
  int64_t sum = 0;
  for (size_t i = 0; i < items.size(); ++i) sum += items[i][static_cast<size_t>(chosen[i])].bytes;
  return sum;
}

double cost_of(const Items& items, const std::vector<int>& chosen) {
  double sum = 0;
  for (size_t i = 0; i < items.size(); ++i) sum += items[i][static_cast<size_t>(chosen[i])].cost;
  return sum;
}

// Every combination. Infinity: none fits.
double brute_force(const Items& items, int64_t budget) {
  std::vector<int> chosen(items.size(), 0);
  double best = std::numeric_limits<double>::infinity();
  while (true) {
    if (bytes_of(items, chosen) <= budget) best = std::min(best, cost_of(items, chosen));
    size_t i = 0;
    while (i < items.size() && ++chosen[i] == static_cast<int>(items[i].size())) chosen[i++] = 0;
    if (i == items.size()) return best;
  }
}

Items random_items(std::mt19937& random, int64_t unit) {
  Items items(1 + random() % 6);
  for (auto& choices : items) {
    choices.resize(1 + random() % 4);
    for (Choice& choice : choices) {
      choice.bytes = unit * static_cast<int64_t>(1 + random() % 50);
      choice.cost = static_cast<double>(random() % 1000) / 8.0;
    }
  }
  return items;
}

TEST(Allocate, EqualsBruteForce) {
  std::mt19937 random(1);
  for (int round = 0; round < 500; ++round) {
    const Items items = random_items(random, 1 + static_cast<int64_t>(random() % 1000));
    int64_t sum = 0;
    for (const auto& choices : items) sum += choices.back().bytes;
    const int64_t budget = static_cast<int64_t>(random() % static_cast<uint32_t>(2 * sum + 1));
    const double expected = brute_force(items, budget);
    const auto chosen = allocate(items, budget);
    ASSERT_EQ(chosen.has_value(), expected < std::numeric_limits<double>::infinity());
    if (!chosen) continue;
    EXPECT_LE(bytes_of(items, *chosen), budget);
    EXPECT_DOUBLE_EQ(cost_of(items, *chosen), expected);
  }
}

// Sizes of a real model: many steps, so sizes are rounded, but the budget is kept and nearly all of it is used.
TEST(Allocate, LargeSizesKeepTheBudget) {
  std::mt19937 random(2);
  Items items(200);
  int64_t least = 0;
  for (auto& choices : items) {
    const auto values = static_cast<int64_t>(100'000 + random() % 30'000'000);
    double cost = 1.0 + static_cast<double>(random() % 100);
    for (const int bits : {4, 5, 6, 8}) {
      choices.push_back({values * bits / 8 + static_cast<int64_t>(random() % 7), cost});
      cost /= 4;
    }
    least += choices.front().bytes;
  }
  for (const double factor : {1.0, 1.2, 3.0}) {
    const auto budget = static_cast<int64_t>(factor * static_cast<double>(least));
    const auto chosen = allocate(items, budget);
    ASSERT_TRUE(chosen.has_value());
    EXPECT_LE(bytes_of(items, *chosen), budget);
    if (factor > 1.1 && factor < 2) EXPECT_GT(bytes_of(items, *chosen), budget - budget / 100);
    if (factor == 3.0) EXPECT_EQ(*chosen, std::vector<int>(items.size(), 3));
  }
  EXPECT_FALSE(allocate(items, least - 1).has_value());
}

}  // namespace
}  // namespace autoglm
