// What is known about characters, against Python: every one of them, in one number.
#include "text/jinja_unicode.h"

#include <gtest/gtest.h>

namespace autoglm::jinja {
namespace {

TEST(JinjaUnicode, EveryCharacterIsAsInPython) {
  constexpr bool (*kClasses[])(uint32_t) = {is_alpha, is_decimal,   is_digit, is_numeric, is_lower,         is_upper,
                                            is_title, is_printable, is_space, is_cased,   is_case_ignorable};
  uint64_t digest = 0xcbf29ce484222325;  // FNV-1a
  std::string text;
  for (uint32_t c = 0; c < 0x110000; ++c) {
    if (c >= 0xd800 && c < 0xe000) continue;  // surrogates are no characters
    text.clear();
    for (const auto is : kClasses) text += is(c) ? '1' : '0';
    for (const Case to : {Case::upper, Case::lower, Case::title}) append_case(text, c, to);
    for (const char byte : text) digest = (digest ^ static_cast<uint8_t>(byte)) * 0x100000001b3;
  }
  EXPECT_EQ(digest, 0xd5305a5e424149d0) << "tools/make_unicode_tables.py --digest";
}

}  // namespace
}  // namespace autoglm::jinja
