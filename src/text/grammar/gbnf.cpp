#include "text/grammar/gbnf.h"

#include <fmt/format.h>

#include <map>
#include <string>

#include "base/error.h"
#include "text/grammar/hex_escape.h"
#include "text/utf8.h"

namespace autoglm {
namespace {

constexpr size_t kMaxBytes = 1 << 20;
constexpr int kMaxDepth = 64;

bool is_name(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

class Reader {
 public:
  Reader(Grammar& grammar, std::string_view text) : grammar_(grammar), text_(text) {}

  Grammar::Node read() {
    space(true);
    while (at_ < text_.size()) {
      rule();
      space(true);
    }
    for (const auto& [name, known] : rules_) {
      if (!known.defined) wrong(fmt::format("rule \"{}\" is used but not defined", name), known.used);
    }
    const auto root = rules_.find("root");
    if (root == rules_.end()) wrong("there is no rule \"root\"", 0);
    return grammar_.call(root->second.rule);
  }

 private:
  struct Known {
    Grammar::Rule rule;
    size_t used;  // where, first
    bool defined = false;
  };

  [[noreturn]] void wrong(const std::string& what, size_t at) const {
    size_t line = 1;
    for (const char c : text_.substr(0, at)) line += c == '\n' ? 1 : 0;
    fail(Code::bad_request, fmt::format("grammar, line {}: {}", line, what), "the notation is llama.cpp's GBNF");
  }
  [[noreturn]] void wrong(const std::string& what) const { wrong(what, at_); }

  char peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }
  bool take(char c) {
    if (at_ >= text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }

  void space(bool lines) {
    while (at_ < text_.size()) {
      const char c = text_[at_];
      if (c == '#') {
        while (at_ < text_.size() && text_[at_] != '\n') ++at_;
      } else if (c == ' ' || c == '\t' || (lines && (c == '\n' || c == '\r'))) {
        ++at_;
      } else {
        return;
      }
    }
  }

  std::string name() {
    const size_t begin = at_;
    while (at_ < text_.size() && is_name(text_[at_])) ++at_;
    if (begin == at_) wrong("a name of a rule is missing");
    return std::string(text_.substr(begin, at_ - begin));
  }

  Known& known(const std::string& name) {
    const auto it = rules_.find(name);
    if (it != rules_.end()) return it->second;
    return rules_.emplace(name, Known{grammar_.add_rule(name), at_}).first->second;
  }

  void rule() {
    const std::string named = name();
    space(false);
    if (text_.substr(at_, 3) != "::=") wrong(fmt::format("\"::=\" is missing behind \"{}\"", named));
    at_ += 3;
    space(true);
    Known& entry = known(named);
    if (entry.defined) wrong(fmt::format("rule \"{}\" is defined twice", named));
    entry.defined = true;
    const Grammar::Rule number = entry.rule;
    grammar_.define(number, alternatives(false, 0));
    if (at_ < text_.size() && !take('\n') && !take('\r')) wrong(fmt::format("'{}' is not expected here", peek()));
  }

  // `inside`: between brackets line breaks mean nothing; behind `|` they never do.
  Grammar::Node alternatives(bool inside, int depth) {
    if (depth > kMaxDepth) wrong(fmt::format("groups are nested more than {} deep", kMaxDepth));
    std::vector<Grammar::Node> all = {sequence(inside, depth)};
    while (take('|')) {
      space(true);
      all.push_back(sequence(inside, depth));
    }
    return grammar_.choice(all);
  }

  Grammar::Node sequence(bool inside, int depth) {
    std::vector<Grammar::Node> parts;
    while (at_ < text_.size()) {
      const char c = peek();
      if (c == '"') {
        parts.push_back(literal());
      } else if (c == '[') {
        parts.push_back(grammar_.chars(char_class()));
      } else if (c == '.') {
        ++at_;
        parts.push_back(grammar_.chars(CodePointSet::all()));
      } else if (c == '(') {
        ++at_;
        space(true);
        const Grammar::Node group = alternatives(true, depth + 1);
        if (!take(')')) wrong("\")\" is missing");
        parts.push_back(group);
      } else if (is_name(c)) {
        parts.push_back(grammar_.call(known(name()).rule));
      } else if (c == '<' || c == '!') {
        wrong("tokens by name or number (<...>) are not supported; write their text");
      } else if (c == '*' || c == '+' || c == '?' || c == '{') {
        if (parts.empty()) wrong(fmt::format("'{}' has nothing to repeat", c));
        parts.back() = repetition(parts.back());
      } else {
        break;
      }
      space(inside);
    }
    return grammar_.sequence(parts);
  }

  Grammar::Node repetition(Grammar::Node node) {
    if (take('*')) return grammar_.repeat(node, 0);
    if (take('+')) return grammar_.repeat(node, 1);
    if (take('?')) return grammar_.optional(node);
    ++at_;  // {
    space(false);
    int64_t min = 0;
    if (peek() != ',') min = number();  // {,n}
    space(false);
    int64_t max = min;
    if (take(',')) {
      space(false);
      max = peek() == '}' ? Grammar::kUnbounded : number();
      space(false);
    }
    if (!take('}')) wrong("\"}\" is missing behind a repetition");
    if (max != Grammar::kUnbounded && max < min) wrong(fmt::format("a repetition from {} to {}", min, max));
    return grammar_.repeat(node, min, max);
  }

  int64_t number() {
    const size_t begin = at_;
    int64_t value = 0;
    while (peek() >= '0' && peek() <= '9' && at_ - begin < 10) value = value * 10 + (text_[at_++] - '0');
    if (begin == at_) wrong("a number is missing in a repetition");
    return value;
  }

  Grammar::Node literal() {
    ++at_;
    std::string bytes;
    while (peek() != '"') {
      if (at_ >= text_.size() || peek() == '\n') wrong("a literal has no end");
      utf8::append(bytes, character());
    }
    ++at_;
    return grammar_.text(bytes);
  }

  CodePointSet char_class() {
    ++at_;
    const bool negated = take('^');
    CodePointSet set;
    while (peek() != ']') {
      if (at_ >= text_.size()) wrong("a character class has no end");
      const char32_t low = character();
      char32_t high = low;
      if (peek() == '-' && at_ + 1 < text_.size() && text_[at_ + 1] != ']') {
        ++at_;
        high = character();
      }
      if (high < low) wrong("a range in a character class ends before it begins");
      set.add(low, high);
    }
    ++at_;
    return negated ? set.complement() : set;
  }

  char32_t character() {
    if (!take('\\')) return utf8::next(text_, at_);
    const char c = peek();
    if (at_ >= text_.size()) wrong("a backslash at the end");
    ++at_;
    switch (c) {
      case 'n':
        return U'\n';
      case 't':
        return U'\t';
      case 'r':
        return U'\r';
      case 'x':
        return hex(2);
      case 'u':
        return hex(4);
      case 'U':
        return hex(8);
      case '\\':
      case '"':
      case '[':
      case ']':
      case '-':
      case '^':
        return static_cast<char32_t>(c);
      default:
        --at_;
        wrong(fmt::format("\"\\{}\" is no escape", static_cast<unsigned char>(c) < 0x80 ? std::string(1, c) : "?"));
    }
  }

  char32_t hex(int length) {
    return read_hex_escape(text_, at_, length, [this](const std::string& why) { wrong(why); });
  }

  Grammar& grammar_;
  std::string_view text_;
  size_t at_ = 0;
  std::map<std::string, Known> rules_;
};

}  // namespace

Grammar::Node read_gbnf(Grammar& grammar, std::string_view text) {
  if (text.size() > kMaxBytes) {
    fail(Code::limit_exceeded, fmt::format("a grammar of {} bytes; at most {} are read", text.size(), kMaxBytes));
  }
  if (!utf8::valid(text)) fail(Code::bad_request, "the grammar is not valid UTF-8");
  return Reader(grammar, text).read();
}

std::shared_ptr<const Program> compile_gbnf(std::string_view text) {
  Grammar grammar;
  const Grammar::Node root = read_gbnf(grammar, text);
  const Grammar::Rule rule = grammar.add_rule("root");
  grammar.define(rule, root);
  return std::make_shared<const Program>(grammar, rule);
}

}  // namespace autoglm
