// What Python's str methods know about characters: classes, case mappings, UTF-8.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace autoglm::jinja {

/// Characters first, first + stride, ... last.
struct Range {
  uint32_t first;
  uint32_t last = first;
  uint32_t stride = 1;
};
/// Characters first, first + stride, ... last map to themselves plus delta.
struct CaseRun {
  uint32_t first, last;
  int stride;
  int delta;
};
/// A character that maps to up to three (0 ends them).
struct CaseSpecial {
  uint32_t from;
  uint32_t to[3];
};

// The tables of jinja_unicode_tables.cpp. Those of one kind build on each other: kDigit has only the digits that are no
// decimals, kNumeric the numerics that are no digits, kToTitle the characters whose title form is not their upper form.
extern const Range kAlpha[], kDecimal[], kDigit[], kNumeric[], kLower[], kUpper[], kTitle[], kPrintable[], kCased[],
    kCaseIgnorable[];
extern const size_t kAlphaSize, kDecimalSize, kDigitSize, kNumericSize, kLowerSize, kUpperSize, kTitleSize,
    kPrintableSize, kCasedSize, kCaseIgnorableSize;
extern const CaseRun kToUpper[], kToLower[], kToTitle[];
extern const size_t kToUpperSize, kToLowerSize, kToTitleSize;
extern const CaseSpecial kToUpperSpecial[], kToLowerSpecial[], kToTitleSpecial[];
extern const size_t kToUpperSpecialSize, kToLowerSpecialSize, kToTitleSpecialSize;

bool is_alpha(uint32_t c);
bool is_decimal(uint32_t c);
bool is_digit(uint32_t c);
bool is_numeric(uint32_t c);
bool is_lower(uint32_t c);
bool is_upper(uint32_t c);
bool is_title(uint32_t c);
bool is_printable(uint32_t c);
bool is_space(uint32_t c);
bool is_cased(uint32_t c);
bool is_case_ignorable(uint32_t c);
inline bool is_alnum(uint32_t c) { return is_alpha(c) || is_numeric(c); }

enum class Case { upper, lower, title };
/// Appends the mapping of one character (without the final-sigma rule, which needs its neighbours).
void append_case(std::string& out, uint32_t c, Case to);

void append_utf8(std::string& out, uint32_t c);
/// The character at `at`, and moves `at` behind it. A byte that is not UTF-8 is taken as one character.
uint32_t next_char(std::string_view text, size_t& at);
/// Bytes of the character that starts with this byte.
inline size_t char_bytes(std::string_view text, size_t at) {
  const size_t from = at;
  next_char(text, at);
  return at - from;
}
size_t count_chars(std::string_view text);
/// Byte offset of character `index` (or the size, if there are fewer).
size_t char_offset(std::string_view text, size_t index);
bool valid_utf8(std::string_view text);

}  // namespace autoglm::jinja
