#include "server/trace_context.h"

#include <algorithm>
#include <span>

namespace autoglm {
namespace {

// Upper case is not allowed here.
int digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

bool read_hex(std::string_view text, std::span<uint8_t> bytes) {
  for (size_t i = 0; i < bytes.size(); ++i) {
    const int high = digit(text[2 * i]);
    const int low = digit(text[2 * i + 1]);
    if (high < 0 || low < 0) return false;
    bytes[i] = static_cast<uint8_t>(high << 4 | low);
  }
  return true;
}

}  // namespace

// version "-" trace-id "-" parent-id "-" flags. A later version may have more behind it, ff is none.
std::optional<TraceParent> parse_traceparent(std::string_view header) {
  constexpr size_t kLength = 55;
  while (!header.empty() && (header.back() == ' ' || header.back() == '\t')) header.remove_suffix(1);
  if (header.size() < kLength || header[2] != '-' || header[35] != '-' || header[52] != '-') return {};
  uint8_t version = 0;
  uint8_t flags = 0;
  TraceParent parent;
  if (!read_hex(header, {&version, 1}) || !read_hex(header.substr(3), parent.trace) ||
      !read_hex(header.substr(36), parent.span) || !read_hex(header.substr(53), {&flags, 1})) {
    return {};
  }
  if (version == 0xff || (version == 0 && header.size() > kLength)) return {};
  if (header.size() > kLength && header[kLength] != '-') return {};
  const auto zero = [](uint8_t byte) { return byte == 0; };
  if (std::ranges::all_of(parent.trace, zero) || std::ranges::all_of(parent.span, zero)) return {};
  parent.sampled = (flags & 1) != 0;
  return parent;
}

std::string hex(const uint8_t* bytes, size_t count) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text;
  for (size_t i = 0; i < count; ++i) {
    text += kDigits[bytes[i] >> 4];
    text += kDigits[bytes[i] & 15];
  }
  return text;
}

}  // namespace autoglm
