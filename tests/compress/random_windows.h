// Calibration texts that need no words.
#pragma once

#include <cstdint>
#include <random>
#include <vector>

namespace autoglm::test {

/// `count` windows of 40 tokens below `vocabulary`.
inline std::vector<std::vector<int32_t>> random_windows(int64_t vocabulary, int count = 6) {
  std::mt19937 random(5);
  std::vector<std::vector<int32_t>> windows(static_cast<size_t>(count));
  for (auto& window : windows) {
    for (int i = 0; i < 40; ++i) window.push_back(static_cast<int32_t>(random() % static_cast<uint32_t>(vocabulary)));
  }
  return windows;
}

}  // namespace autoglm::test
