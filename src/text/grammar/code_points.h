// Sets of Unicode characters, for classes in grammars.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

namespace autoglm {

/// Ranges of code points, sorted and apart. Surrogates are no characters and never members.
class CodePointSet {
 public:
  struct Range {
    char32_t low;
    char32_t high;  // inclusive
    friend bool operator==(const Range&, const Range&) = default;
  };

  CodePointSet() = default;
  CodePointSet(char32_t low, char32_t high) { add(low, high); }
  static CodePointSet all();

  void add(char32_t low, char32_t high);
  void add(const CodePointSet& other);
  CodePointSet complement() const;
  CodePointSet minus(const CodePointSet& other) const;
  CodePointSet intersection(const CodePointSet& other) const;
  bool contains(char32_t c) const;
  bool empty() const { return ranges_.empty(); }
  const std::vector<Range>& ranges() const { return ranges_; }

 private:
  std::vector<Range> ranges_;
};

/// \s and friends in the sense that ECMA 262 and Python share: what both call a digit is one for us, and what either
/// calls one is no \D.
CodePointSet digits();
CodePointSet word_characters();
CodePointSet white_space();
CodePointSet not_digits();
CodePointSet not_word_characters();
CodePointSet not_white_space();

/// A run of 1 to 4 bytes, each from a range: the UTF-8 of some characters.
struct ByteRanges {
  int length = 0;
  uint8_t low[4] = {};
  uint8_t high[4] = {};
};

/// The UTF-8 of every member, as few runs as ranges allow.
std::vector<ByteRanges> utf8_ranges(const CodePointSet& set);

}  // namespace autoglm
