#include "cli/display.h"

#include <cstdint>
#include <utility>

namespace autoglm {
namespace {

// One character and its length in bytes. Bytes that are no UTF-8 count as one column each.
struct Character {
  uint32_t code = 0;
  size_t bytes = 1;
};

Character decode(std::string_view text) {
  const auto first = static_cast<unsigned char>(text[0]);
  const size_t length = first < 0x80 ? 1 : first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : first >= 0xc0 ? 2 : 1;
  if (length == 1 || length > text.size()) return {first, 1};
  uint32_t code = first & (0x7fu >> length);
  for (size_t i = 1; i < length; ++i) code = (code << 6) | (static_cast<unsigned char>(text[i]) & 0x3fu);
  return {code, length};
}

// The blocks that matter for our own texts and for model names (Unicode TR11, simplified).
int columns_of(uint32_t code) {
  if (code < 0x20 || (code >= 0x300 && code <= 0x36f)) return 0;
  const bool wide = (code >= 0x1100 && code <= 0x115f) || (code >= 0x2e80 && code <= 0xa4cf) ||
                    (code >= 0xac00 && code <= 0xd7a3) || (code >= 0xf900 && code <= 0xfaff) ||
                    (code >= 0xfe30 && code <= 0xfe6f) || (code >= 0xff00 && code <= 0xff60) ||
                    (code >= 0xffe0 && code <= 0xffe6) || (code >= 0x1f300 && code <= 0x1faff) ||
                    (code >= 0x20000 && code <= 0x3fffd);
  return wide ? 2 : 1;
}

}  // namespace

int display_width(std::string_view text) {
  int width = 0;
  while (!text.empty()) {
    const Character character = decode(text);
    width += columns_of(character.code);
    text.remove_prefix(character.bytes);
  }
  return width;
}

std::vector<std::string> wrap(std::string_view text, int columns) {
  std::vector<std::string> lines;
  std::string line;
  int width = 0;
  bool space = false;  // between the line and the next piece
  const auto put = [&](std::string_view piece) {
    const int piece_width = display_width(piece);
    if (!line.empty() && width + (space ? 1 : 0) + piece_width > columns) {
      lines.push_back(line);
      line.clear();
      width = 0;
    } else if (space && !line.empty()) {
      line += ' ';
      ++width;
    }
    space = false;
    line += piece;
    width += piece_width;
  };
  // Pieces: words of narrow characters, and each wide character (a closing mark stays with what it closes).
  size_t begin = 0;
  size_t at = 0;
  while (at < text.size()) {
    const Character character = decode(text.substr(at));
    if (character.code == ' ') {
      if (at > begin) put(text.substr(begin, at - begin));
      space = true;
      begin = at + 1;
    } else if (character.code == '\n') {
      if (at > begin) put(text.substr(begin, at - begin));
      if (!line.empty()) lines.push_back(std::exchange(line, {}));
      width = 0;
      space = false;
      begin = at + 1;
    } else if (columns_of(character.code) == 2) {
      const Character next =
          at + character.bytes < text.size() ? decode(text.substr(at + character.bytes)) : Character{};
      const bool closing = next.code == 0xff0c || next.code == 0x3002 || next.code == 0xff1b || next.code == 0xff1a ||
                           next.code == 0xff09 || next.code == 0x3001;
      if (!closing) {
        put(text.substr(begin, at + character.bytes - begin));
        begin = at + character.bytes;
      }
    }
    at += character.bytes;
  }
  if (begin < text.size()) put(text.substr(begin));
  if (!line.empty()) lines.push_back(line);
  return lines;
}

}  // namespace autoglm
