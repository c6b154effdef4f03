#include "compress/moments.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "compress/sums.h"

namespace autoglm {
namespace {

constexpr int64_t kTile = 64;

}  // namespace

Moments::Moments(int64_t width, bool full) : width_(width), squares_(static_cast<size_t>(width)) {
  if (full) products_.resize(static_cast<size_t>(width * width));
}

void Moments::add(WorkerPool& pool, std::span<const float> x) {
  AUTOGLM_CHECK(width_ > 0 && std::ssize(x) % width_ == 0, "whole rows");
  const int64_t rows = std::ssize(x) / width_;
  rows_ += rows;
  const int64_t tiles = (width_ + kTile - 1) / kTile;
  pool.parallel_for(tiles, 1, [&](int64_t begin, int64_t end) {
    for (int64_t tile = begin; tile < end; ++tile) {
      const int64_t first = tile * kTile;
      const int64_t last = std::min(first + kTile, width_);
      for (int64_t r = 0; r < rows; ++r) {
        const float* row = x.data() + r * width_;
        for (int64_t i = first; i < last; ++i) squares_[static_cast<size_t>(i)] += row[i] * row[i];
      }
    }
  });
  if (!full()) return;
  pool.parallel_for(tiles * tiles, 1, [&](int64_t begin, int64_t end) {
    for (int64_t tile = begin; tile < end; ++tile) {
      const int64_t i = tile / tiles * kTile;
      const int64_t j = tile % tiles * kTile;
      if (j < i) continue;
      add_moments(x.data(), rows, width_, i, static_cast<int>(std::min(kTile, width_ - i)), j,
                  static_cast<int>(std::min(kTile, width_ - j)), products_.data() + i * width_ + j, width_);
    }
  });
}

std::vector<float> Moments::diagonal() const {
  std::vector<float> out(squares_);
  for (float& value : out) value /= static_cast<float>(std::max<int64_t>(rows_, 1));
  return out;
}

float Moments::product(int64_t i, int64_t j) const {
  const auto [low, high] = std::minmax(i, j);
  return products_[static_cast<size_t>(low * width_ + high)] / static_cast<float>(std::max<int64_t>(rows_, 1));
}

std::vector<float> coarse_rounding(std::span<const float> x, int64_t width) {
  constexpr int64_t kCoarse = 256, kFine = 32;
  if (width % kCoarse != 0 || x.empty()) return {};
  const int64_t rows = std::ssize(x) / width;
  std::vector<double> sums(static_cast<size_t>(width / kFine));  // of squared steps, in excess of the fine ones
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t block = 0; block < width / kCoarse; ++block) {
      double largest[kCoarse / kFine] = {};
      for (int64_t i = 0; i < kCoarse; ++i) {
        double& of_fine = largest[i / kFine];
        const auto at = static_cast<size_t>(r * width + block * kCoarse + i);
        of_fine = std::max(of_fine, std::abs(static_cast<double>(x[at])));
      }
      const double coarse = *std::ranges::max_element(largest);
      for (int64_t f = 0; f < kCoarse / kFine; ++f) {
        sums[static_cast<size_t>(block * (kCoarse / kFine) + f)] += coarse * coarse - largest[f] * largest[f];
      }
    }
  }
  std::vector<float> out(static_cast<size_t>(width));
  for (size_t i = 0; i < out.size(); ++i) {
    out[i] = static_cast<float>(sums[i / kFine] / (127.0 * 127.0 * 12.0 * static_cast<double>(rows)));
  }
  return out;
}

}  // namespace autoglm
