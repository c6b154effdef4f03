// A string that knows who wrote each byte: true where the template did, false where a message, tool or variable did.
//
// The mask is kept as the places where it changes, so a string from one hand costs nothing extra.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "text/tokenizer.h"

namespace autoglm::jinja {

class Text {
 public:
  Text() = default;
  Text(std::string bytes, bool origin) : bytes_(std::move(bytes)), first_(origin) {}

  const std::string& bytes() const { return bytes_; }
  std::string_view view() const { return bytes_; }
  size_t size() const { return bytes_.size(); }
  bool empty() const { return bytes_.empty(); }
  size_t memory() const { return bytes_.capacity() + flips_.capacity() * sizeof(size_t); }

  bool origin_at(size_t at) const;
  void append(std::string_view text, bool origin);
  void append(const Text& other);
  void append(const Text& other, size_t begin, size_t end);
  Text slice(size_t begin, size_t end) const;
  /// All bytes from one hand, or not: `origin` of an empty text is true.
  bool uniform() const { return flips_.empty(); }
  bool first_origin() const { return bytes_.empty() || first_; }
  /// False if any byte is not the template's.
  bool all_template() const { return bytes_.empty() || (flips_.empty() && first_); }
  OriginMask mask() const;

 private:
  bool last_origin() const { return first_ != (flips_.size() % 2 == 1); }

  std::string bytes_;
  bool first_ = true;
  std::vector<size_t> flips_;  // ascending offsets in (0, size) where the origin changes
};

}  // namespace autoglm::jinja
