#include "text/jinja_text.h"

#include <algorithm>

namespace autoglm::jinja {

bool Text::origin_at(size_t at) const {
  const auto before = std::upper_bound(flips_.begin(), flips_.end(), at) - flips_.begin();
  return first_ != (before % 2 == 1);
}

void Text::append(std::string_view text, bool origin) {
  if (text.empty()) return;
  if (bytes_.empty()) {
    first_ = origin;
    flips_.clear();
  } else if (last_origin() != origin) {
    flips_.push_back(bytes_.size());
  }
  bytes_ += text;
}

void Text::append(const Text& other) { append(other, 0, other.size()); }

void Text::append(const Text& other, size_t begin, size_t end) {
  if (begin >= end) return;
  if (other.flips_.empty()) {
    append(other.view().substr(begin, end - begin), other.first_);
    return;
  }
  auto flip = std::upper_bound(other.flips_.begin(), other.flips_.end(), begin);
  bool origin = other.origin_at(begin);
  while (begin < end) {
    const size_t stop = flip == other.flips_.end() ? end : std::min(end, *flip);
    append(other.view().substr(begin, stop - begin), origin);
    begin = stop;
    origin = !origin;
    if (flip != other.flips_.end()) ++flip;
  }
}

Text Text::slice(size_t begin, size_t end) const {
  Text out;
  out.append(*this, begin, end);
  return out;
}

OriginMask Text::mask() const {
  OriginMask mask(bytes_.size(), first_);
  bool origin = first_;
  for (size_t i = 0; i < flips_.size(); ++i) {
    origin = !origin;
    const size_t end = i + 1 < flips_.size() ? flips_[i + 1] : bytes_.size();
    if (origin != first_)
      std::fill(mask.begin() + static_cast<ptrdiff_t>(flips_[i]), mask.begin() + static_cast<ptrdiff_t>(end), origin);
  }
  return mask;
}

}  // namespace autoglm::jinja
