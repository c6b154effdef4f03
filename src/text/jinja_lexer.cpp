#include "text/jinja_lexer.h"

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <optional>

#include "base/error.h"
#include "text/jinja_unicode.h"

namespace autoglm::jinja {
namespace {

/// CRLF and CR become LF; one newline at the end goes.
std::string normalize(std::string_view source) {
  std::string out;
  out.reserve(source.size());
  for (size_t i = 0; i < source.size(); ++i) {
    if (source[i] == '\r') {
      out += '\n';
      if (i + 1 < source.size() && source[i + 1] == '\n') ++i;
    } else {
      out += source[i];
    }
  }
  if (!out.empty() && out.back() == '\n') out.pop_back();
  return out;
}

class Lexer {
 public:
  explicit Lexer(std::string source) : source_(std::move(source)) {}

  std::vector<Token> run() {
    while (at_ < source_.size()) root();
    emit(TokenType::end, "");
    return std::move(tokens_);
  }

 private:
  bool starts(std::string_view what, size_t at) const { return std::string_view(source_).substr(at).starts_with(what); }
  size_t skip_space(size_t at) const {
    while (at < source_.size()) {
      size_t next = at;
      if (!is_space(next_char(source_, next))) break;
      at = next;
    }
    return at;
  }
  void emit(TokenType type, std::string text) {
    Token token;
    token.type = type;
    token.line = line_;
    token.text = std::move(text);
    tokens_.push_back(std::move(token));
  }
  void advance(size_t to) {
    line_ += static_cast<int>(
        std::count(source_.begin() + static_cast<ptrdiff_t>(at_), source_.begin() + static_cast<ptrdiff_t>(to), '\n'));
    at_ = to;
  }

  /// If a raw tag opens at `at` (its "{%"), where its body begins.
  std::optional<size_t> raw_begin(size_t at) const {
    size_t p = at + 2;
    if (p < source_.size() && (source_[p] == '-' || source_[p] == '+')) ++p;
    p = skip_space(p);
    if (!starts("raw", p)) return std::nullopt;
    p = skip_space(p + 3);
    if (starts("-%}", p)) return skip_space(p + 3);
    if (starts("%}", p)) return p + 2;
    return std::nullopt;
  }

  /// Emits source [at_, tag) as data, stripped as the tag's sign and lstrip_blocks ask.
  void data_before(size_t tag, char sign, bool variable) {
    std::string_view text = std::string_view(source_).substr(at_, tag - at_);
    if (sign == '-') {
      while (!text.empty()) {
        size_t start = text.size() - 1;
        while (start > 0 && (static_cast<uint8_t>(text[start]) & 0xc0) == 0x80) --start;
        size_t next = start;
        if (!is_space(next_char(text, next)) || next != text.size()) break;
        text.remove_suffix(text.size() - start);
      }
    } else if (sign != '+' && !variable) {
      const size_t newline = text.rfind('\n');
      const size_t line_start = newline == std::string_view::npos ? 0 : newline + 1;
      if ((line_start > 0 || line_starting_) && line_start < text.size()) {
        bool blank = true;
        for (size_t p = line_start; p < text.size() && blank;) blank = is_space(next_char(text, p));
        if (blank) text = text.substr(0, line_start);
      }
    }
    if (!text.empty()) emit(TokenType::data, std::string(text));
    advance(tag);
  }

  void root() {
    size_t tag = at_;
    while (true) {
      tag = source_.find('{', tag);
      if (tag == std::string::npos || tag + 1 >= source_.size()) {
        emit(TokenType::data, source_.substr(at_));
        advance(source_.size());
        return;
      }
      const char c = source_[tag + 1];
      if (c == '{' || c == '%' || c == '#') break;
      ++tag;
    }
    const char kind = source_[tag + 1];
    const char sign =
        tag + 2 < source_.size() && (source_[tag + 2] == '-' || source_[tag + 2] == '+') ? source_[tag + 2] : 0;
    data_before(tag, sign, kind == '{');
    if (kind == '%') {
      if (const auto body = raw_begin(tag)) return raw(*body);
    }
    const size_t inside = tag + (sign != 0 ? 3 : 2);
    if (kind == '#') return comment(inside);
    emit(kind == '{' ? TokenType::variable_begin : TokenType::block_begin, "");
    advance(inside);
    line_starting_ = false;
    code(kind == '{');
  }

  /// The end of a tag whose closing mark starts at `at`: moves behind it and the newline or space that goes with it.
  void close(size_t at, char sign, bool trim_newline) {
    size_t end = at + (sign != 0 ? 3 : 2);
    if (sign == '-') {
      end = skip_space(end);
    } else if (sign == 0 && trim_newline && end < source_.size() && source_[end] == '\n') {
      ++end;
    }
    advance(end);
    line_starting_ = end > 0 && source_[end - 1] == '\n';
  }

  void comment(size_t inside) {
    const size_t end = source_.find("#}", inside);
    if (end == std::string::npos) template_error(line_, "Missing end of comment tag");
    const char before = end > inside ? source_[end - 1] : 0;
    const char sign = before == '-' || before == '+' ? before : 0;
    close(sign != 0 ? end - 1 : end, sign, true);
  }

  void raw(size_t body) {
    advance(body);
    line_starting_ = source_[body - 1] == '\n';
    for (size_t tag = source_.find("{%", body); tag != std::string::npos; tag = source_.find("{%", tag + 1)) {
      size_t p = tag + 2;
      const char open = p < source_.size() && (source_[p] == '-' || source_[p] == '+') ? source_[p] : 0;
      if (open != 0) ++p;
      p = skip_space(p);
      if (!starts("endraw", p)) continue;
      p = skip_space(p + 6);
      const char sign = p < source_.size() && (source_[p] == '-' || source_[p] == '+') ? source_[p] : 0;
      if (!starts("%}", sign != 0 ? p + 1 : p)) continue;
      data_before(tag, open, false);
      return close(p, sign, true);
    }
    template_error(line_, "Missing end of raw directive");
  }

  void code(bool variable) {
    std::string open;  // brackets that await their partner
    while (at_ < source_.size()) {
      const size_t after = skip_space(at_);
      if (after > at_) {
        advance(after);
        continue;
      }
      const char c = source_[at_];
      if (open.empty()) {
        const char sign = c == '-' || (c == '+' && !variable) ? c : 0;
        if (starts(variable ? "}}" : "%}", at_ + (sign != 0 ? 1 : 0))) {
          emit(variable ? TokenType::variable_end : TokenType::block_end, "");
          return close(at_, sign, !variable);
        }
      }
      if (number() || name() || string()) continue;
      op(open);
    }
    // The parser reports what is missing.
  }

  static bool digit(char c) { return c >= '0' && c <= '9'; }

  /// Past digits with single underscores between them, or `at` if there are none.
  template <typename Is>
  size_t digits(size_t at, Is is) const {
    if (at >= source_.size() || !is(source_[at])) return at;
    while (at < source_.size()) {
      const bool between = source_[at] == '_' && at + 1 < source_.size() && is(source_[at + 1]);
      if (!between && !is(source_[at])) break;
      ++at;
    }
    return at;
  }

  bool number() {
    if (!digit(source_[at_])) return false;
    if (real()) return true;
    int base = 10;
    size_t end = at_;
    const char mark = at_ + 1 < source_.size() ? static_cast<char>(source_[at_ + 1] | 0x20) : 0;
    if (source_[at_] == '0' && (mark == 'b' || mark == 'o' || mark == 'x')) {
      const int wanted = mark == 'b' ? 2 : mark == 'o' ? 8 : 16;
      const auto is = [wanted](char c) {
        const int v = digit(c) ? c - '0' : (c | 0x20) >= 'a' && (c | 0x20) <= 'f' ? (c | 0x20) - 'a' + 10 : 99;
        return v < wanted;
      };
      size_t from = at_ + 2;
      if (from < source_.size() && source_[from] == '_') ++from;
      end = digits(from, is);
      if (end > from) base = wanted;
    }
    if (base == 10) {
      end = source_[at_] == '0' ? digits(at_, [](char c) { return c == '0'; }) : digits(at_, digit);
    }
    std::string text = source_.substr(at_ + (base == 10 ? 0 : 2), end - at_ - (base == 10 ? 0 : 2));
    std::erase(text, '_');
    emit(TokenType::integer, text);
    const auto result = std::from_chars(text.data(), text.data() + text.size(), tokens_.back().integer, base);
    if (result.ec != std::errc()) template_error(line_, "integer " + text.substr(0, 40) + " does not fit in 64 bits");
    advance(end);
    return true;
  }

  bool real() {
    if (at_ > 0 && source_[at_ - 1] == '.') return false;
    size_t end = digits(at_, digit);
    bool is_real = false;
    if (end + 1 < source_.size() && source_[end] == '.' && digit(source_[end + 1])) {
      end = digits(end + 1, digit);
      is_real = true;
    }
    if (end < source_.size() && (source_[end] | 0x20) == 'e') {
      size_t p = end + 1;
      if (p < source_.size() && (source_[p] == '+' || source_[p] == '-')) ++p;
      const size_t exponent = digits(p, digit);
      if (exponent > p) {
        end = exponent;
        is_real = true;
      }
    }
    if (!is_real) return false;
    std::string text = source_.substr(at_, end - at_);
    std::erase(text, '_');
    emit(TokenType::real, text);
    tokens_.back().real = std::strtod(text.c_str(), nullptr);
    advance(end);
    return true;
  }

  bool name() {
    size_t end = at_;
    while (end < source_.size()) {
      size_t next = end;
      const uint32_t c = next_char(source_, next);
      const bool letter = c == '_' || (c < 0x80 ? ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') : is_alpha(c));
      if (!letter && !(end > at_ && (c < 0x80 ? digit(static_cast<char>(c)) : is_decimal(c)))) break;
      end = next;
    }
    if (end == at_) return false;
    emit(TokenType::name, source_.substr(at_, end - at_));
    advance(end);
    return true;
  }

  bool string() {
    const char quote = source_[at_];
    if (quote != '\'' && quote != '"') return false;
    size_t end = at_ + 1;
    while (end < source_.size() && source_[end] != quote) end += source_[end] == '\\' ? 2 : 1;
    if (end >= source_.size()) template_error(line_, "a string is not closed");
    emit(TokenType::string, unescape(std::string_view(source_).substr(at_ + 1, end - at_ - 1)));
    advance(end + 1);
    return true;
  }

  uint32_t hex(std::string_view text, size_t& at, size_t count) const {
    uint32_t value = 0;
    const char* from = text.data() + std::min(at, text.size());
    const char* to = text.data() + std::min(at + count, text.size());
    const auto result = std::from_chars(from, to, value, 16);
    if (result.ptr != from + count) template_error(line_, "a string has a cut \\x, \\u or \\U escape");
    at += count;
    if (value > 0x10ffff || (value >= 0xd800 && value < 0xe000))
      template_error(line_, "a string has an escape that is no character");
    return value;
  }

  /// Python's unicode-escape.
  std::string unescape(std::string_view text) const {
    std::string out;
    for (size_t i = 0; i < text.size();) {
      if (text[i] != '\\') {
        out += text[i++];
        continue;
      }
      if (++i >= text.size()) template_error(line_, "\\ at end of string");
      const char c = text[i++];
      static constexpr std::string_view kFrom = "\\'\"abfnrtv";
      static constexpr std::string_view kTo = "\\'\"\a\b\f\n\r\t\v";
      if (const size_t k = kFrom.find(c); k != std::string_view::npos) {
        out += kTo[k];
      } else if (c == '\n') {
        // a line break behind a backslash vanishes
      } else if (c >= '0' && c <= '7') {
        uint32_t value = static_cast<uint32_t>(c - '0');
        for (int n = 0; n < 2 && i < text.size() && text[i] >= '0' && text[i] <= '7'; ++n)
          value = value * 8 + static_cast<uint32_t>(text[i++] - '0');
        append_utf8(out, value);
      } else if (c == 'x' || c == 'u' || c == 'U') {
        append_utf8(out, hex(text, i, c == 'x' ? 2 : c == 'u' ? 4 : 8));
      } else if (c == 'N') {
        template_error(line_, "\\N{...} in strings is not supported");
      } else {
        out += '\\';
        out += c;
      }
    }
    return out;
  }

  void op(std::string& open) {
    static constexpr std::string_view kOps[] = {"//", "**", "==", "!=", ">=", "<=", "+", "-", "/", "*", "%", "~", "[",
                                                "]",  "(",  ")",  "{",  "}",  ">",  "<", "=", ".", ":", "|", ",", ";"};
    for (const std::string_view candidate : kOps) {
      if (!starts(candidate, at_)) continue;
      const char c = candidate[0];
      if (c == '{' || c == '(' || c == '[') open += c == '{' ? '}' : c == '(' ? ')' : ']';
      if (c == '}' || c == ')' || c == ']') {
        if (open.empty()) template_error(line_, std::string("unexpected '") + c + "'");
        if (open.back() != c)
          template_error(line_, std::string("unexpected '") + c + "', expected '" + open.back() + "'");
        open.pop_back();
      }
      emit(TokenType::op, std::string(candidate));
      return advance(at_ + candidate.size());
    }
    template_error(line_, "unexpected character '" + source_.substr(at_, char_bytes(source_, at_)) + "'");
  }

  std::string source_;
  size_t at_ = 0;
  int line_ = 1;
  bool line_starting_ = true;
  std::vector<Token> tokens_;
};

}  // namespace

std::string describe(const Token& token) {
  switch (token.type) {
    case TokenType::data:
      return "template text";
    case TokenType::variable_begin:
      return "begin of print statement";
    case TokenType::variable_end:
      return "end of print statement";
    case TokenType::block_begin:
      return "begin of statement block";
    case TokenType::block_end:
      return "end of statement block";
    case TokenType::end:
      return "end of template";
    case TokenType::string:
      return "string";
    default:
      return "'" + token.text + "'";
  }
}

std::vector<Token> tokenize(std::string_view source) {
  if (!valid_utf8(source)) template_error(1, "the text is not valid UTF-8");
  return Lexer(normalize(source)).run();
}

void template_error(int line, const std::string& message) {
  fail(Code::bad_template, "chat template, line " + std::to_string(line) + ": " + message);
}

}  // namespace autoglm::jinja
