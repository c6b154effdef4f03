// Pieces of Python's string library that filters and methods share.
#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <cstring>

#include "text/jinja_builtins.h"

namespace autoglm::jinja {

Text escape_html(const Text& text) {
  Text out;
  const std::string_view view = text.view();
  for (size_t at = 0; at < view.size(); ++at) {
    std::string_view to;
    switch (view[at]) {
      case '&':
        to = "&amp;";
        break;
      case '<':
        to = "&lt;";
        break;
      case '>':
        to = "&gt;";
        break;
      case '"':
        to = "&#34;";
        break;
      case '\'':
        to = "&#39;";
        break;
      default:
        break;
    }
    if (to.empty()) {
      out.append(text, at, at + 1);
    } else {
      out.append(to, text.origin_at(at));
    }
  }
  return out;
}

namespace {

/// Whether the capital sigma at `at` ends a word: a cased character before it, none after, over case-ignorable ones.
bool final_sigma(std::string_view view, size_t at) {
  bool before = false;
  for (size_t p = 0; p < at;) {
    const uint32_t c = next_char(view, p);
    if (!is_case_ignorable(c)) before = is_cased(c);
  }
  if (!before) return false;
  next_char(view, at);
  while (at < view.size()) {
    const uint32_t c = next_char(view, at);
    if (!is_case_ignorable(c)) return !is_cased(c);
  }
  return true;
}

}  // namespace

Text map_case(const Text& text, Case to) {
  Text out;
  const std::string_view view = text.view();
  constexpr uint32_t kSigma = 0x3a3;
  for (size_t at = 0; at < view.size();) {
    const size_t from = at;
    const uint32_t c = next_char(view, at);
    std::string mapped;
    if (c == kSigma && to == Case::lower) {
      // Looking around for every sigma of a long run of them would be quadratic; a word is never that long.
      constexpr size_t kWord = 256;
      const size_t begin = from > kWord ? from - kWord : 0;
      append_utf8(mapped, final_sigma(view.substr(begin, 2 * kWord), from - begin) ? 0x3c2 : 0x3c3);
    } else {
      append_case(mapped, c, to);
    }
    out.append(mapped, text.origin_at(from));
  }
  return out;
}

Text capitalize(const Text& text) {
  if (text.empty()) return text;
  const size_t first = char_bytes(text.view(), 0);
  Text out;
  const Text lower = map_case(text, Case::lower);
  out.append(map_case(text.slice(0, first), Case::title));
  out.append(lower, char_bytes(lower.view(), 0), lower.size());
  return out;
}

std::pair<size_t, size_t> strip_range(std::string_view text, const Text* chars, bool left, bool right) {
  const auto strips = [&](size_t at, size_t bytes) {
    if (chars == nullptr) {
      size_t p = at;
      return is_space(next_char(text, p));
    }
    const std::string_view one = text.substr(at, bytes);
    const std::string_view set = chars->view();
    for (size_t p = 0; p < set.size();) {
      const size_t length = char_bytes(set, p);
      if (set.substr(p, length) == one) return true;
      p += length;
    }
    return false;
  };
  size_t begin = 0;
  size_t end = text.size();
  while (left && begin < end) {
    const size_t bytes = char_bytes(text, begin);
    if (!strips(begin, bytes)) break;
    begin += bytes;
  }
  while (right && end > begin) {
    size_t start = end - 1;
    while (start > begin && end - start < 4 && (static_cast<uint8_t>(text[start]) & 0xc0) == 0x80) --start;
    if (char_bytes(text, start) != end - start) start = end - 1;
    if (!strips(start, end - start)) break;
    end = start;
  }
  return {begin, end};
}

Text replace_text(Interpreter& in, const Text& text, const Text& from, const Text& to, int64_t count) {
  in.step_bytes(text.size());
  const std::string_view view = text.view();
  Text out;
  const auto grown = [&] {
    in.check_size(static_cast<int64_t>(out.size() + to.size()));
    in.step_bytes(to.size());
  };
  if (from.empty()) {  // between all characters
    size_t at = 0;
    while (count != 0) {
      grown();
      out.append(to);
      if (count > 0) --count;
      if (at >= view.size()) return out;
      const size_t bytes = char_bytes(view, at);
      out.append(text, at, at + bytes);
      at += bytes;
    }
    out.append(text, at, view.size());
    return out;
  }
  size_t begin = 0;
  while (count != 0 && begin <= view.size()) {
    const void* found = memmem(view.data() + begin, view.size() - begin, from.view().data(), from.size());
    if (found == nullptr) break;
    const auto at = static_cast<size_t>(static_cast<const char*>(found) - view.data());
    out.append(text, begin, at);
    grown();
    out.append(to);
    begin = at + from.size();
    if (count > 0) --count;
  }
  out.append(text, begin, view.size());
  return out;
}

std::vector<std::pair<size_t, size_t>> split_lines(std::string_view text, bool keep_ends) {
  std::vector<std::pair<size_t, size_t>> lines;
  size_t begin = 0;
  for (size_t at = 0; at < text.size();) {
    const size_t from = at;
    const uint32_t c = next_char(text, at);
    const bool ends = (c >= 0x0a && c <= 0x0d) || (c >= 0x1c && c <= 0x1e) || c == 0x85 || c == 0x2028 || c == 0x2029;
    if (!ends) continue;
    if (c == '\r' && at < text.size() && text[at] == '\n') ++at;
    lines.emplace_back(begin, keep_ends ? at : from);
    begin = at;
  }
  if (begin < text.size()) lines.emplace_back(begin, text.size());
  return lines;
}

namespace {

/// Stripped of white space, digits of any script as ASCII, single underscores between digits gone; empty if misplaced.
std::string plain_number(std::string_view text) {
  const auto [begin, end] = strip_range(text, nullptr, true, true);
  text = text.substr(begin, end - begin);
  std::string out;
  for (size_t at = 0; at < text.size();) {
    const uint32_t c = next_char(text, at);
    if (c >= 0x80 && is_decimal(c)) {
      uint32_t zero = c;  // digits lie in runs of ten
      while (zero > 0 && c - zero < 9 && is_decimal(zero - 1)) --zero;
      out += static_cast<char>('0' + (c - zero));
    } else if (c == '_') {
      const bool inside = !out.empty() && std::isalnum(static_cast<unsigned char>(out.back())) != 0 &&
                          at < text.size() && std::isalnum(static_cast<unsigned char>(text[at])) != 0;
      if (!inside) return {};
    } else {
      append_utf8(out, c);
    }
  }
  return out;
}

}  // namespace

std::optional<int64_t> parse_int(Interpreter& in, std::string_view source, int base) {
  if (base != 0 && (base < 2 || base > 36)) in.error("int() base must be >= 2 and <= 36, or 0");
  const std::string text = plain_number(source);
  std::string_view digits = text;
  const bool negative = digits.starts_with('-');
  if (negative || digits.starts_with('+')) digits.remove_prefix(1);
  if (digits.size() > 2 && digits[0] == '0') {
    const char mark = static_cast<char>(digits[1] | 0x20);
    const int marked = mark == 'x' ? 16 : mark == 'o' ? 8 : mark == 'b' ? 2 : 0;
    if (marked != 0 && (base == marked || base == 0)) {
      digits.remove_prefix(2);
      base = marked;
    }
  }
  if (base == 0) {
    base = 10;
    if (digits.size() > 1 && digits[0] == '0' && digits.find_first_not_of('0') != std::string_view::npos)
      return std::nullopt;
  }
  if (digits.empty() || digits[0] == '-') return std::nullopt;
  const std::string signed_digits = (negative ? "-" : "") + std::string(digits);
  int64_t value = 0;
  const auto result = std::from_chars(signed_digits.data(), signed_digits.data() + signed_digits.size(), value, base);
  if (result.ptr != signed_digits.data() + signed_digits.size()) return std::nullopt;
  if (result.ec == std::errc::result_out_of_range) in.error("integer beyond 64 bits");
  if (result.ec != std::errc()) return std::nullopt;
  return value;
}

std::optional<double> parse_real(std::string_view source) {
  const std::string text = plain_number(source);
  std::string lower = text;
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  std::string_view word = lower;
  if (word.starts_with('-') || word.starts_with('+')) word.remove_prefix(1);
  const bool special = word == "inf" || word == "infinity" || word == "nan";
  if (word.empty() || (!special && word.find_first_not_of("0123456789.e+-") != std::string_view::npos))
    return std::nullopt;
  char* end = nullptr;
  const double value = std::strtod(lower.c_str(), &end);
  if (end != lower.c_str() + lower.size()) return std::nullopt;
  return value;
}

std::vector<size_t> stable_order(size_t count, const std::function<bool(size_t, size_t)>& before) {
  std::vector<size_t> order(count);
  for (size_t i = 0; i < count; ++i) order[i] = i;
  std::vector<size_t> merged(count);
  for (size_t width = 1; width < count; width *= 2) {
    for (size_t begin = 0; begin < count; begin += 2 * width) {
      size_t left = begin;
      const size_t middle = std::min(begin + width, count);
      size_t right = middle;
      const size_t end = std::min(begin + 2 * width, count);
      for (size_t out = begin; out < end; ++out) {
        const bool take_right = left >= middle || (right < end && before(order[right], order[left]));
        merged[out] = take_right ? order[right++] : order[left++];
      }
    }
    order.swap(merged);
  }
  return order;
}

int64_t int_argument(Interpreter& in, const Value& value, std::string_view what) {
  if (value.is_undefined()) in.undefined_error(value);
  if (!value.is_int()) in.error(std::string(what) + " must be an integer, not " + std::string(type_name(value)));
  return value.as_int();
}

}  // namespace autoglm::jinja
