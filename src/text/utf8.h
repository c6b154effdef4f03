// UTF-8 and the few properties of characters that tokenizers ask for.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace autoglm::utf8 {

/// U+FFFD, what stands for bytes that are no character.
inline constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

/// What lies at one place of a byte string that may be anything.
struct Scan {
  size_t length = 0;  // bytes of the character, or of the maximal ill-formed part (Unicode 3.9, table 3-7)
  bool valid = false;
  bool incomplete = false;  // ill-formed only because the text ends here
};
Scan scan(std::string_view text, size_t at);

bool valid(std::string_view text);

/// The text with each maximal ill-formed part replaced by U+FFFD, as Python and Rust do.
std::string lossy(std::string_view text);

/// Bytes of the character whose first byte is `lead`. Valid UTF-8 only.
inline size_t length(char lead) {
  const auto byte = static_cast<unsigned char>(lead);
  return byte < 0x80 ? 1 : byte < 0xE0 ? 2 : byte < 0xF0 ? 3 : 4;
}

/// The character at `at`, which moves behind it. Valid UTF-8 only.
char32_t next(std::string_view text, size_t& at);

/// Where the last character of text[0, end) begins. Valid UTF-8 only; end > 0.
size_t previous(std::string_view text, size_t end);

void append(std::string& out, char32_t character);

/// The property White_Space.
bool is_space(char32_t character);
/// The general categories N*.
bool is_numeric(char32_t character);
/// A word character of UTS 18: Alphabetic, M*, Nd, Pc.
bool is_word(char32_t character);
/// ASCII punctuation, or the general categories P*.
bool is_punctuation(char32_t character);

}  // namespace autoglm::utf8
