#include "text/jinja_unicode.h"

#include <algorithm>
#include <optional>

namespace autoglm::jinja {
namespace {

bool within(const Range* table, size_t size, uint32_t c) {
  const Range* end = table + size;
  const Range* it = std::upper_bound(table, end, c, [](uint32_t value, const Range& r) { return value < r.first; });
  return it != table && c <= (it - 1)->last && (c - (it - 1)->first) % (it - 1)->stride == 0;
}

std::optional<uint32_t> map_single(const CaseRun* table, size_t size, uint32_t c) {
  const CaseRun* it =
      std::upper_bound(table, table + size, c, [](uint32_t v, const CaseRun& r) { return v < r.first; });
  // Runs of stride two interlace, so the one before the nearest may be the right one.
  for (int back = 0; back < 3 && it != table; ++back) {
    --it;
    if (c <= it->last && (c - it->first) % static_cast<uint32_t>(it->stride) == 0) {
      return static_cast<uint32_t>(static_cast<int>(c) + it->delta);
    }
  }
  return std::nullopt;
}

/// False for a character that the tables do not name.
bool append_mapped(std::string& out, uint32_t c, const CaseRun* runs, size_t run_count, const CaseSpecial* specials,
                   size_t special_count) {
  const CaseSpecial* end = specials + special_count;
  const CaseSpecial* it =
      std::lower_bound(specials, end, c, [](const CaseSpecial& s, uint32_t v) { return s.from < v; });
  if (it != end && it->from == c) {
    for (const uint32_t to : it->to) {
      if (to != 0) append_utf8(out, to);
    }
    return true;
  }
  const std::optional<uint32_t> to = map_single(runs, run_count, c);
  if (to) append_utf8(out, *to);
  return to.has_value();
}

bool append_upper(std::string& out, uint32_t c) {
  return append_mapped(out, c, kToUpper, kToUpperSize, kToUpperSpecial, kToUpperSpecialSize);
}

bool append_lower(std::string& out, uint32_t c) {
  return append_mapped(out, c, kToLower, kToLowerSize, kToLowerSpecial, kToLowerSpecialSize);
}

bool append_title(std::string& out, uint32_t c) {
  return append_mapped(out, c, kToTitle, kToTitleSize, kToTitleSpecial, kToTitleSpecialSize) || append_upper(out, c);
}

}  // namespace

bool is_alpha(uint32_t c) { return within(kAlpha, kAlphaSize, c); }
bool is_decimal(uint32_t c) { return within(kDecimal, kDecimalSize, c); }
bool is_digit(uint32_t c) { return is_decimal(c) || within(kDigit, kDigitSize, c); }
bool is_numeric(uint32_t c) { return is_digit(c) || within(kNumeric, kNumericSize, c); }
bool is_lower(uint32_t c) { return within(kLower, kLowerSize, c); }
bool is_upper(uint32_t c) { return within(kUpper, kUpperSize, c); }
bool is_title(uint32_t c) { return within(kTitle, kTitleSize, c); }
bool is_printable(uint32_t c) { return within(kPrintable, kPrintableSize, c); }
bool is_cased(uint32_t c) { return within(kCased, kCasedSize, c); }
bool is_case_ignorable(uint32_t c) { return within(kCaseIgnorable, kCaseIgnorableSize, c); }

bool is_space(uint32_t c) {
  return (c >= 0x09 && c <= 0x0d) || (c >= 0x1c && c <= 0x20) || c == 0x85 || c == 0xa0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 || c == 0x202f || c == 0x205f || c == 0x3000;
}

void append_case(std::string& out, uint32_t c, Case to) {
  if (c < 0x80) {
    const bool low = c >= 'a' && c <= 'z';
    const bool high = c >= 'A' && c <= 'Z';
    if (to == Case::lower) {
      out += static_cast<char>(high ? c + 32 : c);
    } else {
      out += static_cast<char>(low ? c - 32 : c);
    }
    return;
  }
  const bool mapped = to == Case::upper   ? append_upper(out, c)
                      : to == Case::lower ? append_lower(out, c)
                                          : append_title(out, c);
  if (!mapped) append_utf8(out, c);
}

void append_utf8(std::string& out, uint32_t c) {
  if (c < 0x80) {
    out += static_cast<char>(c);
  } else if (c < 0x800) {
    out += static_cast<char>(0xc0 | (c >> 6));
    out += static_cast<char>(0x80 | (c & 0x3f));
  } else if (c < 0x10000) {
    out += static_cast<char>(0xe0 | (c >> 12));
    out += static_cast<char>(0x80 | ((c >> 6) & 0x3f));
    out += static_cast<char>(0x80 | (c & 0x3f));
  } else {
    out += static_cast<char>(0xf0 | (c >> 18));
    out += static_cast<char>(0x80 | ((c >> 12) & 0x3f));
    out += static_cast<char>(0x80 | ((c >> 6) & 0x3f));
    out += static_cast<char>(0x80 | (c & 0x3f));
  }
}

uint32_t next_char(std::string_view text, size_t& at) {
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(text[i]); };
  const uint8_t lead = byte(at);
  const auto follows = [&](size_t n) {
    if (at + n >= text.size()) return false;
    for (size_t i = 1; i <= n; ++i) {
      if ((byte(at + i) & 0xc0) != 0x80) return false;
    }
    return true;
  };
  if (lead >= 0xc2 && lead < 0xe0 && follows(1)) {
    const uint32_t c = (lead & 0x1fu) << 6 | (byte(at + 1) & 0x3fu);
    at += 2;
    return c;
  }
  if (lead >= 0xe0 && lead < 0xf0 && follows(2)) {
    const uint32_t c = (lead & 0x0fu) << 12 | (byte(at + 1) & 0x3fu) << 6 | (byte(at + 2) & 0x3fu);
    at += 3;
    return c;
  }
  if (lead >= 0xf0 && lead < 0xf5 && follows(3)) {
    const uint32_t c =
        (lead & 0x07u) << 18 | (byte(at + 1) & 0x3fu) << 12 | (byte(at + 2) & 0x3fu) << 6 | (byte(at + 3) & 0x3fu);
    at += 4;
    return c;
  }
  ++at;
  return lead;
}

size_t count_chars(std::string_view text) {
  size_t count = 0;
  for (size_t at = 0; at < text.size(); ++count) next_char(text, at);
  return count;
}

size_t char_offset(std::string_view text, size_t index) {
  size_t at = 0;
  while (index > 0 && at < text.size()) {
    next_char(text, at);
    --index;
  }
  return at;
}

bool valid_utf8(std::string_view text) {
  for (size_t at = 0; at < text.size();) {
    const auto lead = static_cast<uint8_t>(text[at]);
    const size_t from = at;
    const uint32_t c = next_char(text, at);
    if (lead < 0x80) continue;
    const size_t length = at - from;
    if (length == 1 || (length == 3 && (c < 0x800 || (c >= 0xd800 && c < 0xe000))) ||
        (length == 4 && (c < 0x10000 || c > 0x10ffff))) {
      return false;
    }
  }
  return true;
}

}  // namespace autoglm::jinja
