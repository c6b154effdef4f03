#include "text/grammar/regex_grammar.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <string>

#include "base/error.h"
#include "text/grammar/hex_escape.h"
#include "text/utf8.h"

namespace autoglm {
namespace {

constexpr size_t kMaxBytes = 64 << 10;
constexpr int kMaxDepth = 64;

int64_t plus(int64_t a, int64_t b) {
  return a == Grammar::kUnbounded || b == Grammar::kUnbounded ? Grammar::kUnbounded : a + b;
}

class Reader {
 public:
  Reader(Grammar& grammar, std::string_view text, const RegexOptions& options)
      : grammar_(grammar), text_(text), options_(options) {}

  RegexNode read() {
    const RegexNode all = alternatives(0);
    if (at_ < text_.size()) wrong("\")\" without \"(\"");
    return all;
  }

 private:
  [[noreturn]] void wrong(const std::string& what) const {
    fail(Code::bad_request, fmt::format("{} \"{}\", at {}: {}", options_.name, text_.substr(0, 200), at_, what));
  }
  char peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }
  bool take(char c) {
    if (at_ >= text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }

  RegexNode chars(const CodePointSet& set) {
    const Grammar::Node node = options_.chars ? options_.chars(set) : grammar_.chars(set);
    return {node, 1, 1};
  }
  RegexNode anything() {
    const RegexNode any = chars(CodePointSet::all());
    return {grammar_.repeat(any.node, 0), 0, Grammar::kUnbounded};
  }

  RegexNode alternatives(int depth) {
    if (depth > kMaxDepth) wrong(fmt::format("groups are nested more than {} deep", kMaxDepth));
    std::vector<Grammar::Node> all;
    RegexNode result{0, INT64_MAX, 0};
    do {
      const RegexNode one = sequence(depth);
      all.push_back(one.node);
      result.shortest = std::min(result.shortest, one.shortest);
      result.longest = result.longest == Grammar::kUnbounded || one.longest == Grammar::kUnbounded
                           ? Grammar::kUnbounded
                           : std::max(result.longest, one.longest);
    } while (take('|'));
    result.node = grammar_.choice(all);
    return result;
  }

  // ^ and $ mean something at the ends of the whole expression, or of one of its alternatives.
  RegexNode sequence(int depth) {
    std::vector<RegexNode> parts;
    const bool outermost = depth == 0;
    const bool begins = outermost && take('^');
    bool ends = false;
    while (at_ < text_.size() && peek() != '|' && peek() != ')') {
      if (ends) wrong("something follows \"$\"");
      if (outermost && take('$')) {
        ends = true;
      } else {
        parts.push_back(quantified(depth));
      }
    }
    if (outermost && options_.search && !begins) parts.insert(parts.begin(), anything());
    if (outermost && options_.search && !ends) parts.push_back(anything());
    RegexNode result{};
    std::vector<Grammar::Node> nodes;
    for (const RegexNode& part : parts) {
      nodes.push_back(part.node);
      result.shortest += part.shortest;
      result.longest = plus(result.longest, part.longest);
    }
    result.shortest = std::min<int64_t>(result.shortest, INT32_MAX);
    result.node = grammar_.sequence(nodes);
    return result;
  }

  RegexNode quantified(int depth) {
    RegexNode node = atom(depth);
    while (at_ < text_.size()) {
      const size_t before = at_;
      const std::optional<std::pair<int64_t, int64_t>> bounds = quantifier();
      if (!bounds) break;
      if (peek() == '+') wrong("possessive quantifiers are not supported");
      take('?');
      if (at_ < text_.size() && (peek() == '*' || peek() == '+' || peek() == '?'))
        wrong("a quantifier repeats a quantifier");
      const auto [min, max] = *bounds;
      if (max != Grammar::kUnbounded && max < min) {
        at_ = before;
        wrong(fmt::format("a quantifier from {} to {}", min, max));
      }
      node.node = grammar_.repeat(node.node, min, max);
      node.shortest = std::min<int64_t>(node.shortest * min, INT32_MAX);
      const bool bounded =
          max != Grammar::kUnbounded && node.longest != Grammar::kUnbounded && node.longest <= INT32_MAX;
      node.longest = node.longest == 0 || max == 0 ? 0 : bounded ? node.longest * max : Grammar::kUnbounded;
    }
    return node;
  }

  std::optional<std::pair<int64_t, int64_t>> quantifier() {
    if (take('*')) return std::pair{int64_t{0}, Grammar::kUnbounded};
    if (take('+')) return std::pair{int64_t{1}, Grammar::kUnbounded};
    if (take('?')) return std::pair{int64_t{0}, int64_t{1}};
    if (peek() != '{') return std::nullopt;
    const size_t begin = at_++;
    const std::optional<int64_t> min = number();
    std::optional<int64_t> max = min;
    if (take(',')) {
      max = number();
      if (!max && min) max = Grammar::kUnbounded;
    }
    if (!min || !take('}')) {
      at_ = begin;
      wrong("\"{\" is no quantifier here; write \\{ for the character");
    }
    return std::pair{*min, *max};
  }

  std::optional<int64_t> number() {
    const size_t begin = at_;
    int64_t value = 0;
    while (peek() >= '0' && peek() <= '9' && at_ - begin < 10) value = value * 10 + (text_[at_++] - '0');
    if (begin == at_) return std::nullopt;
    return value;
  }

  RegexNode atom(int depth) {
    const char c = peek();
    switch (c) {
      case '(':
        return group(depth);
      case '[':
        return chars(char_class());
      case '.':
        ++at_;
        return chars(CodePointSet::all().minus(line_ends()));
      case '^':
      case '$':
        wrong(fmt::format("\"{}\" is supported at the ends of the expression only", c));
      case '*':
      case '+':
      case '?':
        wrong(fmt::format("\"{}\" has nothing to repeat", c));
      case '\\': {
        CodePointSet set;
        escape(set, false);
        return chars(set);
      }
      default:
        break;
    }
    const char32_t one = utf8::next(text_, at_);
    return chars({one, one});
  }

  // What ECMA's dot leaves out; Python's leaves out less.
  static CodePointSet line_ends() {
    CodePointSet set(U'\n', U'\n');
    set.add(U'\r', U'\r');
    set.add(0x2028, 0x2029);
    return set;
  }

  RegexNode group(int depth) {
    ++at_;
    if (take('?')) {
      const std::string_view rest = text_.substr(at_);
      const size_t name = rest.starts_with("P<") ? 2 : rest.starts_with("<") ? 1 : 0;
      const bool look =
          rest.starts_with("=") || rest.starts_with("!") || rest.starts_with("<=") || rest.starts_with("<!");
      if (look) wrong("look-ahead and look-behind are not supported");
      if (name > 0) {
        const size_t end = rest.find('>');
        if (end == std::string_view::npos) wrong("the name of a group has no end");
        at_ += end + 1;
      } else if (!take(':')) {
        wrong("this kind of group is not supported");
      }
    }
    const RegexNode inside = alternatives(depth + 1);
    if (!take(')')) wrong("\")\" is missing");
    return inside;
  }

  CodePointSet char_class() {
    ++at_;
    const bool negated = take('^');
    CodePointSet set;
    bool first = true;
    while (first || peek() != ']') {
      if (at_ >= text_.size()) wrong("a character class has no end");
      if (first && peek() == ']') wrong("an empty character class, or a \"]\" that needs a backslash");
      first = false;
      if (peek() == '[' && at_ + 1 < text_.size() && text_[at_ + 1] == ':') wrong("POSIX classes are not supported");
      CodePointSet low;
      const std::optional<char32_t> begin = member(low);
      if (!begin || peek() != '-' || (at_ + 1 < text_.size() && text_[at_ + 1] == ']')) {
        set.add(low);
        continue;
      }
      ++at_;
      CodePointSet high;
      const std::optional<char32_t> end = member(high);
      if (!end || *end < *begin) wrong("a range in a character class ends before it begins, or in a class");
      set.add(*begin, *end);
    }
    ++at_;
    return negated ? set.complement() : set;
  }

  // The character, if it is one and no class.
  std::optional<char32_t> member(CodePointSet& set) {
    if (at_ >= text_.size()) wrong("a character class has no end");
    if (peek() == '\\') return escape(set, true);
    const char32_t c = utf8::next(text_, at_);
    set.add(c, c);
    return c;
  }

  std::optional<char32_t> escape(CodePointSet& set, bool in_class) {
    ++at_;
    if (at_ >= text_.size()) wrong("a backslash at the end");
    const char c = text_[at_++];
    switch (c) {
      case 'd':
        set.add(digits());
        return std::nullopt;
      case 'D':
        set.add(not_digits());
        return std::nullopt;
      case 'w':
        set.add(word_characters());
        return std::nullopt;
      case 'W':
        set.add(not_word_characters());
        return std::nullopt;
      case 's':
        set.add(white_space());
        return std::nullopt;
      case 'S':
        set.add(not_white_space());
        return std::nullopt;
      default:
        break;
    }
    const char32_t one = escaped(c, in_class);
    set.add(one, one);
    return one;
  }

  char32_t escaped(char c, bool in_class) {
    switch (c) {
      case 'n':
        return U'\n';
      case 't':
        return U'\t';
      case 'r':
        return U'\r';
      case 'f':
        return U'\f';
      case 'v':
        return U'\v';
      case '0':
        return U'\0';
      case 'x':
        return hex(2);
      case 'u':
        return take('{') ? braced_hex() : hex(4);
      default:
        break;
    }
    if (c == 'b' && in_class) return U'\b';
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '1' && c <= '9');
    if (letter) {
      at_ -= 1;
      wrong(c == 'b' || c == 'B'   ? "word borders are not supported"
            : c == 'p' || c == 'P' ? "Unicode properties are not supported"
                                   : fmt::format("\"\\{}\" is not supported", c));
    }
    --at_;
    return utf8::next(text_, at_);
  }

  char32_t braced_hex() {
    const size_t end = text_.find('}', at_);
    if (end == std::string_view::npos || end - at_ > 6 || end == at_) wrong("\\u{...} takes 1 to 6 hexadecimal digits");
    const char32_t value = hex(static_cast<int>(end - at_));
    ++at_;
    return value;
  }

  char32_t hex(int length) {
    return read_hex_escape(text_, at_, length, [this](const std::string& why) { wrong(why); });
  }

  Grammar& grammar_;
  std::string_view text_;
  const RegexOptions& options_;
  size_t at_ = 0;
};

}  // namespace

RegexNode read_regex(Grammar& grammar, std::string_view pattern, const RegexOptions& options) {
  if (pattern.size() > kMaxBytes) {
    fail(Code::limit_exceeded,
         fmt::format("{} of {} bytes; at most {} are read", options.name, pattern.size(), kMaxBytes));
  }
  if (!utf8::valid(pattern)) fail(Code::bad_request, fmt::format("{} is not valid UTF-8", options.name));
  return Reader(grammar, pattern, options).read();
}

std::shared_ptr<const Program> compile_regex(std::string_view pattern) {
  Grammar grammar;
  const RegexNode read = read_regex(grammar, pattern);
  const Grammar::Rule rule = grammar.add_rule("root");
  grammar.define(rule, read.node);
  return std::make_shared<const Program>(grammar, rule);
}

}  // namespace autoglm
