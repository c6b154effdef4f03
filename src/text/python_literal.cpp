#include "text/python_literal.h"

#include <algorithm>
#include <optional>

#include "text/utf8.h"

namespace autoglm {
namespace {

constexpr int kMaxDepth = 32;

class Reader {
 public:
  explicit Reader(std::string_view text) : text_(text) {}

  PythonCall read() {
    PythonCall call;
    const bool good = read_call(call.arguments);
    call.incomplete = !good && short_;
    if (!good) call.arguments = Json();
    call.bytes = at_;
    return call;
  }

 private:
  bool word(std::string_view wanted) {
    space();
    const std::string_view rest = text_.substr(at_);
    if (rest.starts_with(wanted)) {
      at_ += wanted.size();
      return true;
    }
    short_ = short_ || (rest.size() < wanted.size() && wanted.starts_with(rest));
    return false;
  }
  void space() { at_ = std::min(text_.find_first_not_of(" \t\r\n", at_), text_.size()); }
  char peek() {
    space();
    if (at_ >= text_.size()) short_ = true;
    return at_ < text_.size() ? text_[at_] : '\0';
  }
  bool take(char c) {
    if (peek() != c) return false;
    ++at_;
    return true;
  }

  bool read_call(Json& arguments) {
    const bool fenced = word("```");
    if (short_) return false;
    if (fenced) {
      word("python");
      if (short_) return false;
    }
    if (!word("tool_call") || !take('(')) return false;
    arguments = Json::object();
    while (!take(')')) {
      if (short_) return false;
      const std::string key = name();
      if (key.empty() || !take('=')) return false;
      const std::optional<Json> one = value(0);
      if (!one) return false;
      arguments[key] = *one;
      if (!take(',') && peek() != ')') return false;
    }
    return !fenced || word("```");
  }

  std::string name() {
    space();
    const size_t begin = at_;
    while (at_ < text_.size() && (std::isalnum(static_cast<unsigned char>(text_[at_])) != 0 || text_[at_] == '_'))
      ++at_;
    if (at_ == text_.size()) short_ = true;
    return std::string(text_.substr(begin, at_ - begin));
  }

  std::optional<Json> value(int depth) {
    if (depth > kMaxDepth) return std::nullopt;
    const char c = peek();
    if (short_) return std::nullopt;
    if (c == '\'' || c == '"') return string(c);
    if (c == '[' || c == '(') return list(c == '[' ? ']' : ')', depth);
    if (c == '{') return dictionary(depth);
    if (c == '-' || (c >= '0' && c <= '9')) return number();
    const std::string word = name();
    if (short_) return std::nullopt;
    if (word == "True" || word == "true") return Json(true);
    if (word == "False" || word == "false") return Json(false);
    if (word == "None" || word == "null") return Json(nullptr);
    return std::nullopt;
  }

  std::optional<Json> number() {
    const size_t end = std::min(text_.find_first_not_of("+-.0123456789eE", at_), text_.size());
    if (end == text_.size()) {
      short_ = true;
      return std::nullopt;
    }
    Json parsed = Json::parse(text_.substr(at_, end - at_), nullptr, false);
    at_ = end;
    if (parsed.is_discarded()) return std::nullopt;
    return parsed;
  }

  std::optional<Json> list(char close, int depth) {
    ++at_;
    Json all = Json::array();
    while (!take(close)) {
      std::optional<Json> one = value(depth + 1);
      if (!one) return std::nullopt;
      all.push_back(std::move(*one));
      if (!take(',') && peek() != close) return std::nullopt;
    }
    return all;
  }

  std::optional<Json> dictionary(int depth) {
    ++at_;
    Json all = Json::object();
    while (!take('}')) {
      const char quote = peek();
      if (quote != '\'' && quote != '"') return std::nullopt;
      const std::optional<Json> key = string(quote);
      if (!key || !take(':')) return std::nullopt;
      std::optional<Json> one = value(depth + 1);
      if (!one) return std::nullopt;
      all[key->get<std::string>()] = std::move(*one);
      if (!take(',') && peek() != '}') return std::nullopt;
    }
    return all;
  }

  std::optional<Json> string(char quote) {
    std::string out;
    for (++at_; at_ < text_.size(); ++at_) {
      const char c = text_[at_];
      if (c == quote) {
        ++at_;
        return Json(out);
      }
      if (c != '\\') {
        out += c;
        continue;
      }
      if (++at_ < text_.size()) escape(out);
    }
    short_ = true;
    return std::nullopt;
  }

  // Unknown escapes stay as they are written, as in Python.
  void escape(std::string& out) {
    const char c = text_[at_];
    switch (c) {
      case 'n':
        out += '\n';
        return;
      case 't':
        out += '\t';
        return;
      case 'r':
        out += '\r';
        return;
      case '\\':
      case '\'':
      case '"':
        out += c;
        return;
      case '\n':
        return;
      default:
        break;
    }
    const size_t digits = c == 'x' ? 2 : c == 'u' ? 4 : 0;
    const std::string hex(text_.substr(at_ + 1, digits));
    const bool good =
        digits > 0 && hex.size() == digits && hex.find_first_not_of("0123456789abcdefABCDEF") == std::string::npos;
    const unsigned long value = good ? std::stoul(hex, nullptr, 16) : 0;
    if (!good || (value >= 0xD800 && value < 0xE000)) {
      out += '\\';
      out += c;
      return;
    }
    utf8::append(out, static_cast<char32_t>(value));
    at_ += digits;
  }

  std::string_view text_;
  size_t at_ = 0;
  bool short_ = false;
};

}  // namespace

PythonCall read_python_call(std::string_view text) { return Reader(text).read(); }

}  // namespace autoglm
