// Oniguruma's syntax (https://github.com/kkos/oniguruma/blob/master/doc/RE, Ruby flavour) in PCRE2's.
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "text/regex.h"
#include "text/utf8.h"

namespace autoglm {
namespace {

// White_Space. PCRE2's own \s has U+180E besides.
constexpr std::string_view kSpace =
    "\\x09-\\x0D\\x20\\x85\\xA0\\x{1680}\\x{2000}-\\x{200A}\\x{2028}\\x{2029}\\x{202F}\\x{205F}\\x{3000}";
constexpr std::string_view kNotSpace =
    "\\x00-\\x08\\x0E-\\x1F\\x21-\\x84\\x86-\\x9F\\xA1-\\x{167F}\\x{1681}-\\x{1FFF}\\x{200B}-\\x{2027}\\x{202A}-"
    "\\x{202E}\\x{2030}-\\x{205E}\\x{2060}-\\x{2FFF}\\x{3001}-\\x{10FFFF}";
// Alphabetic, M*, Nd, Pc. PCRE2's own \w lacks marks and connectors.
constexpr std::string_view kWord =
    "\\p{L}\\p{M}\\p{Nd}\\p{Nl}\\p{Pc}\\x{24B6}-\\x{24E9}\\x{1F130}-\\x{1F149}\\x{1F150}-\\x{1F169}\\x{1F170}-"
    "\\x{1F189}";

class Translator {
 public:
  explicit Translator(std::string_view pattern) : in_(pattern) {}

  std::string run() {
    while (at_ < in_.size()) step();
    return std::move(out_);
  }

 private:
  [[noreturn]] void refuse(const std::string& what) const {
    fail(Code::unsupported_model,
         "the tokenizer's regular expression '" + std::string(in_) + "' has " + what + ", which is not supported");
  }

  void atom(std::string_view text) {
    atom_ = out_.size();
    out_ += text;
  }

  void step() {
    const char c = in_[at_];
    switch (c) {
      case '\\':
        return escape();
      case '[':
        return set();
      case '(':
        return open();
      case ')':
        if (!groups_.empty()) {
          atom_ = groups_.back();
          groups_.pop_back();
        }
        out_ += in_[at_++];
        return;
      case '{':
        return interval();
      case '*':
      case '+':
      case '?':
      case '|':
        out_ += in_[at_++];
        return;
      default: {
        const size_t n = utf8::length(c);
        atom(in_.substr(at_, n));
        at_ += n;
      }
    }
  }

  void open() {
    groups_.push_back(out_.size());
    out_ += in_[at_++];
    if (in_.substr(at_, 2) == "?#") refuse("a comment");
    if (at_ < in_.size() && in_[at_] == '?') {  // (?: (?= (?i: ... : their letters are no atoms
      out_ += in_[at_++];
      while (at_ < in_.size() && std::string_view("imsx-").find(in_[at_]) != std::string_view::npos) {
        // Ruby's m lets the dot match a line feed, which PCRE2 calls s.
        if (in_[at_] == 'x') refuse("the extended option (?x)");
        out_ += in_[at_] == 'm' ? 's' : in_[at_];
        ++at_;
      }
      if (at_ < in_.size() && in_[at_] == '~') refuse("an absence operator");
      if (at_ < in_.size() && in_[at_] != ')') out_ += in_[at_++];
    }
  }

  // {n}, {n,}, {,m}, {n,m}. A following + is not possessive here but a second repeat.
  void interval() {
    size_t end = at_ + 1;
    while (end < in_.size() && (in_[end] == ',' || (in_[end] >= '0' && in_[end] <= '9'))) ++end;
    const std::string_view body = in_.substr(at_ + 1, end - at_ - 1);
    if (end >= in_.size() || in_[end] != '}' || body.empty() || body == ",") {
      atom("\\{");
      ++at_;
      return;
    }
    out_ += '{';
    if (body.front() == ',') out_ += '0';
    out_ += body;
    out_ += '}';
    at_ = end + 1;
    if (at_ < in_.size() && in_[at_] == '+') {
      out_.insert(atom_, "(?:");
      out_ += ")+";
      ++at_;
    }
  }

  void escape() {
    if (at_ + 1 >= in_.size()) fail(Code::bad_model_file, "a tokenizer's regular expression ends in a backslash");
    const char c = in_[at_ + 1];
    const auto put = [&](const std::string& text) {
      atom(text);
      at_ += 2;
    };
    switch (c) {
      case 's':
        return put("[" + std::string(kSpace) + "]");
      case 'S':
        return put("[^" + std::string(kSpace) + "]");
      case 'w':
        return put("[" + std::string(kWord) + "]");
      case 'W':
        return put("[^" + std::string(kWord) + "]");
      case 'h':
        return put("[0-9A-Fa-f]");
      case 'H':
        return put("[^0-9A-Fa-f]");
      case 'b': {
        const std::string w = "[" + std::string(kWord) + "]";
        return put("(?:(?<=" + w + ")(?!" + w + ")|(?<!" + w + ")(?=" + w + "))");
      }
      case 'y':
      case 'Y':
      case 'O':
      case 'N':
        refuse(std::string("\\") + c);
      default:
        copy_escape();
    }
  }

  // Copies \p{...}, \x{...} and all other escapes as they are.
  void copy_escape() {
    const size_t start = at_;
    const char c = in_[at_ + 1];
    at_ += 1 + utf8::length(c);
    if ((c == 'p' || c == 'P' || c == 'x' || c == 'k' || c == 'g') && at_ < in_.size() && in_[at_] == '{') {
      const size_t close = in_.find('}', at_);
      if (close == std::string_view::npos) fail(Code::bad_model_file, "a tokenizer's regular expression is cut");
      at_ = close + 1;
    }
    atom(in_.substr(start, at_ - start));
  }

  void set() {
    const size_t start = out_.size();
    out_ += in_[at_++];
    if (at_ < in_.size() && in_[at_] == '^') out_ += in_[at_++];
    if (at_ < in_.size() && in_[at_] == ']') {
      out_ += "\\]";
      ++at_;
    }
    while (at_ < in_.size() && in_[at_] != ']') set_item();
    if (at_ >= in_.size()) fail(Code::bad_model_file, "a tokenizer's regular expression has an open class");
    out_ += in_[at_++];
    atom_ = start;
  }

  // Classes that PCRE2 reads differently.
  static std::string_view posix(std::string_view name) {
    if (name == "punct") return "\\p{P}\\p{S}";
    if (name == "space") return kSpace;
    if (name == "word") return kWord;
    return {};
  }

  void set_item() {
    const char c = in_[at_];
    if (in_.substr(at_, 2) == "&&") refuse("a class intersection (&&)");
    if (c == '[') {
      if (in_.substr(at_, 2) != "[:") refuse("a class inside a class");
      const size_t close = in_.find(":]", at_);
      if (close == std::string_view::npos) fail(Code::bad_model_file, "a tokenizer's regular expression is cut");
      const std::string_view name = in_.substr(at_ + 2, close - at_ - 2);
      out_ += posix(name).empty() ? in_.substr(at_, close + 2 - at_) : posix(name);
      at_ = close + 2;
    } else if (c == '\\' && at_ + 1 < in_.size()) {
      const char kind = in_[at_ + 1];
      const std::string_view ready = kind == 's'   ? kSpace
                                     : kind == 'S' ? kNotSpace
                                     : kind == 'w' ? kWord
                                     : kind == 'h' ? std::string_view("0-9A-Fa-f")
                                                   : std::string_view();
      if (kind == 'W' || kind == 'H') refuse(std::string("\\") + kind + " inside a class");
      if (ready.empty()) {
        copy_escape();
      } else {
        out_ += ready;
        at_ += 2;
      }
    } else {
      const size_t n = utf8::length(c);
      out_ += in_.substr(at_, n);
      at_ += n;
    }
  }

  std::string_view in_;
  size_t at_ = 0;
  std::string out_;
  size_t atom_ = 0;             // where the last atom begins in out_
  std::vector<size_t> groups_;  // where the open groups begin in out_
};

}  // namespace

std::string to_pcre2(std::string_view pattern) {
  if (!utf8::valid(pattern)) fail(Code::bad_model_file, "a tokenizer's regular expression is not UTF-8");
  return Translator(pattern).run();
}

}  // namespace autoglm
