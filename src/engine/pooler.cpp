#include "engine/pooler.h"

#include <algorithm>

namespace autoglm {

Pooler::Pooler(Pooling pooling, int64_t hidden, int64_t tokens)
    : pooling_(pooling),
      tokens_(tokens),
      next_(pooling == Pooling::last ? tokens - 1 : 0),
      sum_(static_cast<size_t>(hidden), 0.0) {}

bool Pooler::wants(int64_t position) const {
  return position >= next_ && (pooling_ != Pooling::first || position == 0);
}

void Pooler::add(std::span<const float> row) {
  std::ranges::transform(row, sum_, sum_.begin(), [](float value, double sum) { return sum + value; });
  ++next_;
}

std::vector<float> Pooler::result() const {
  const double rows = pooling_ == Pooling::mean ? static_cast<double>(tokens_) : 1.0;
  std::vector<float> vector(sum_.size());
  std::ranges::transform(sum_, vector.begin(), [rows](double sum) { return static_cast<float>(sum / rows); });
  return vector;
}

}  // namespace autoglm
