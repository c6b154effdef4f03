// \x41, \u00e9, \U0001F600: what grammars and patterns have in common.
#pragma once

#include <fmt/format.h>

#include <string>
#include <string_view>

namespace autoglm {

/// The character that `length` hexadecimal digits at `at` name; `at` moves behind them. `wrong` is told what is wrong
/// with them, and does not return.
template <typename Wrong>
char32_t read_hex_escape(std::string_view text, size_t& at, int length, const Wrong& wrong) {
  char32_t value = 0;
  for (int i = 0; i < length; ++i) {
    const char c = at < text.size() ? text[at] : '\0';
    const int digit = c >= '0' && c <= '9'   ? c - '0'
                      : c >= 'a' && c <= 'f' ? c - 'a' + 10
                      : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                             : -1;
    if (digit < 0) wrong(fmt::format("an escape needs {} hexadecimal digits", length));
    value = value * 16 + static_cast<char32_t>(digit);
    ++at;
  }
  if (value > 0x10FFFF || (value >= 0xD800 && value < 0xE000)) wrong("an escape that is no Unicode character");
  return value;
}

}  // namespace autoglm
