#include "text/grammar/code_points.h"

#include <algorithm>
#include <array>
#include <string>

#include "text/utf8.h"

namespace autoglm {
namespace {

constexpr char32_t kLast = 0x10FFFF;
constexpr char32_t kSurrogates = 0xD800;
constexpr char32_t kAfterSurrogates = 0xE000;

/// Every character for which `has` is true.
template <class Has>
CodePointSet where(Has has) {
  CodePointSet set;
  char32_t begin = 0;
  bool inside = false;
  for (char32_t c = 0; c <= kLast + 1; ++c) {
    const bool member = c <= kLast && !(c >= kSurrogates && c < kAfterSurrogates) && has(c);
    if (member && !inside) begin = c;
    if (!member && inside) set.add(begin, c - 1);
    inside = member;
  }
  return set;
}

// Splits [low, high] of characters with equally long UTF-8 where a run of byte ranges must be cut: below a border of
// continuation bytes all later ranges must be full (the method of RE2's and Rust's utf8 ranges).
void split(char32_t low, char32_t high, std::vector<ByteRanges>& out) {
  for (int i = 1; i < 4; ++i) {
    const char32_t mask = (char32_t{1} << (6 * i)) - 1;
    if ((low & ~mask) == (high & ~mask)) continue;
    if ((low & mask) != 0) {
      split(low, low | mask, out);
      split((low | mask) + 1, high, out);
      return;
    }
    if ((high & mask) != mask) {
      split(low, (high & ~mask) - 1, out);
      split(high & ~mask, high, out);
      return;
    }
  }
  std::string first;
  std::string last;
  utf8::append(first, low);
  utf8::append(last, high);
  ByteRanges run;
  run.length = static_cast<int>(first.size());
  for (size_t i = 0; i < first.size(); ++i) {
    run.low[i] = static_cast<uint8_t>(first[i]);
    run.high[i] = static_cast<uint8_t>(last[i]);
  }
  out.push_back(run);
}

}  // namespace

CodePointSet CodePointSet::all() { return {0, kLast}; }

void CodePointSet::add(char32_t low, char32_t high) {
  high = std::min(high, kLast);
  if (low > high) return;
  if (low < kAfterSurrogates && high >= kSurrogates) {
    if (low < kSurrogates) add(low, kSurrogates - 1);
    if (high >= kAfterSurrogates) add(kAfterSurrogates, high);
    return;
  }
  auto first = std::find_if(ranges_.begin(), ranges_.end(), [&](const Range& r) { return r.high + 1 >= low; });
  auto last = first;
  while (last != ranges_.end() && last->low <= high + 1) {
    low = std::min(low, last->low);
    high = std::max(high, last->high);
    ++last;
  }
  first = ranges_.erase(first, last);
  ranges_.insert(first, {low, high});
}

void CodePointSet::add(const CodePointSet& other) {
  for (const Range& range : other.ranges_) add(range.low, range.high);
}

CodePointSet CodePointSet::complement() const {
  CodePointSet result;
  char32_t next = 0;
  for (const Range& range : ranges_) {
    if (range.low > next) result.add(next, range.low - 1);
    next = range.high + 1;
  }
  result.add(next, kLast);
  return result;
}

CodePointSet CodePointSet::intersection(const CodePointSet& other) const {
  CodePointSet result;
  auto b = other.ranges_.begin();
  for (const Range& a : ranges_) {
    while (b != other.ranges_.end() && b->high < a.low) ++b;
    for (auto c = b; c != other.ranges_.end() && c->low <= a.high; ++c) {
      result.add(std::max(a.low, c->low), std::min(a.high, c->high));
    }
  }
  return result;
}

CodePointSet CodePointSet::minus(const CodePointSet& other) const { return intersection(other.complement()); }

bool CodePointSet::contains(char32_t c) const {
  return std::any_of(ranges_.begin(), ranges_.end(), [c](const Range& r) { return c >= r.low && c <= r.high; });
}

CodePointSet digits() { return {U'0', U'9'}; }

CodePointSet word_characters() {
  CodePointSet set(U'0', U'9');
  set.add(U'A', U'Z');
  set.add(U'a', U'z');
  set.add(U'_', U'_');
  return set;
}

CodePointSet white_space() {
  CodePointSet set(U'\t', U'\r');
  set.add(U' ', U' ');
  return set;
}

// The Unicode properties are asked for once: a million characters each.
CodePointSet not_digits() {
  static const CodePointSet set = where([](char32_t c) { return !utf8::is_numeric(c); });
  return set;
}

CodePointSet not_word_characters() {
  static const CodePointSet set = where([](char32_t c) { return !utf8::is_word(c) && !utf8::is_numeric(c); });
  return set;
}

// U+001C..1F are white space for Python, U+FEFF for ECMA.
CodePointSet not_white_space() {
  static const CodePointSet set =
      where([](char32_t c) { return !utf8::is_space(c) && !(c >= 0x1C && c <= 0x1F) && c != 0xFEFF; });
  return set;
}

std::vector<ByteRanges> utf8_ranges(const CodePointSet& set) {
  constexpr std::array<char32_t, 4> kLengthEnds = {0x7F, 0x7FF, 0xFFFF, kLast};
  std::vector<ByteRanges> out;
  for (const CodePointSet::Range& range : set.ranges()) {
    char32_t low = range.low;
    for (const char32_t end : kLengthEnds) {
      if (low > end || low > range.high) continue;
      const char32_t high = std::min(range.high, end);
      if (end == 0x7F) {
        out.push_back({1, {static_cast<uint8_t>(low)}, {static_cast<uint8_t>(high)}});
      } else {
        split(low, high, out);
      }
      low = high + 1;
    }
  }
  return out;
}

}  // namespace autoglm
