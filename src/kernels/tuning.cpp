#include "kernels/tuning.h"

#include <algorithm>

namespace autoglm {

const std::vector<TuningField>& tuning_fields() {
  static const std::vector<TuningField> fields = {
      {"expand_rows", &ShapeTuning::expand_rows, 2, 1024},
      {"tile_rows", &ShapeTuning::tile_rows, 4, 1024},
      {"prefetch", &ShapeTuning::prefetch, 0, 1 << 20},
  };
  return fields;
}

ShapeTuning KernelTuning::of(Type type, int64_t rows, int64_t cols) const {
  for (const Entry& entry : entries_) {
    if (entry.type == type && entry.rows == rows && entry.cols == cols) return entry.tuning;
  }
  return {};
}

void KernelTuning::set(const Entry& entry) {
  const auto same = [&](const Entry& e) {
    return e.type == entry.type && e.rows == entry.rows && e.cols == entry.cols;
  };
  const auto found = std::find_if(entries_.begin(), entries_.end(), same);
  if (found == entries_.end()) {
    entries_.push_back(entry);
  } else {
    *found = entry;
  }
}

}  // namespace autoglm
