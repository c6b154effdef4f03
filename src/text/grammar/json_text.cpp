#include "text/grammar/json_text.h"

#include <fmt/format.h>

#include <map>

#include "text/grammar/json_number.h"
#include "text/utf8.h"

namespace autoglm {
namespace {

constexpr int64_t kMaxIndent = 20;

// What a string may hold as it is.
CodePointSet plain_chars() {
  CodePointSet escaped(0, 0x1F);
  escaped.add(U'"', U'"');
  escaped.add(U'\\', U'\\');
  return escaped.complement();
}

std::string escape_of(char32_t c) {
  switch (c) {
    case U'"':
      return "\\\"";
    case U'\\':
      return "\\\\";
    case U'\b':
      return "\\b";
    case U'\f':
      return "\\f";
    case U'\n':
      return "\\n";
    case U'\r':
      return "\\r";
    case U'\t':
      return "\\t";
    default:
      return fmt::format("\\u{:04x}", static_cast<uint32_t>(c));
  }
}

}  // namespace

JsonText::JsonText(Grammar& grammar) : grammar_(&grammar) {
  string_ = grammar.add_rule("string");
  grammar.define(string_, quoted(grammar.repeat(any_char(), 0)));
  space_ = grammar.add_rule("space");
  const Node blank = grammar.choice({grammar.bytes(' ', ' '), grammar.bytes('\t', '\t')});
  const Node indented = grammar.sequence({grammar.text("\n"), grammar.repeat(blank, 0, kMaxIndent)});
  grammar.define(space_, grammar.choice({grammar.empty(), grammar.text(" "), indented}));
}

JsonText::Node JsonText::quoted(Node inside) {
  const Node quote = grammar_->bytes('"', '"');
  return grammar_->sequence({quote, inside, quote});
}

JsonText::Node JsonText::chars(const CodePointSet& set) {
  std::vector<Node> parts = {grammar_->chars(set.intersection(plain_chars()))};
  const CodePointSet escaped = set.minus(plain_chars());
  for (const CodePointSet::Range& range : escaped.ranges()) {
    for (char32_t c = range.low; c <= range.high; ++c) parts.push_back(grammar_->text(escape_of(c)));
  }
  return grammar_->choice(parts);
}

JsonText::Node JsonText::any_char() {
  Grammar& g = *grammar_;
  const Node hex = g.choice({g.bytes('0', '9'), g.bytes('a', 'f'), g.bytes('A', 'F')});
  const Node d = g.choice({g.bytes('d', 'd'), g.bytes('D', 'D')});
  const Node not_d =
      g.choice({g.bytes('0', '9'), g.bytes('a', 'c'), g.bytes('A', 'C'), g.bytes('e', 'f'), g.bytes('E', 'F')});
  const Node high = g.choice({g.bytes('8', '9'), g.bytes('a', 'b'), g.bytes('A', 'B')});
  const Node low = g.choice({g.bytes('c', 'f'), g.bytes('C', 'F')});
  const Node two = g.sequence({hex, hex});
  const Node ordinary = g.sequence({not_d, hex, two});
  const Node below = g.sequence({d, g.bytes('0', '7'), two});
  const Node pair = g.sequence({d, high, two, g.text("\\u"), d, low, two});
  const Node unicode = g.sequence({g.bytes('u', 'u'), g.choice({ordinary, below, pair})});
  std::vector<Node> escapes = {unicode};
  for (const char c : std::string_view("\"\\/bfnrt"))
    escapes.push_back(g.bytes(static_cast<uint8_t>(c), static_cast<uint8_t>(c)));
  return g.choice({g.chars(plain_chars()), g.sequence({g.bytes('\\', '\\'), g.choice(escapes)})});
}

JsonText::Node JsonText::boolean() { return grammar_->choice({grammar_->text("true"), grammar_->text("false")}); }

JsonText::Node JsonText::comma() { return grammar_->sequence({grammar_->text(","), space()}); }

JsonText::Node JsonText::member(Node name, Node value) {
  return grammar_->sequence({name, grammar_->text(":"), space(), value});
}

JsonText::Node JsonText::list(char open, Node item, char close, int64_t min, int64_t max) {
  Grammar& g = *grammar_;
  const Node begin = g.sequence({g.text(std::string(1, open)), space()});
  const Node end = g.text(std::string(1, close));
  if (max == 0) return g.sequence({begin, end});
  const Node more =
      g.repeat(g.sequence({comma(), item}), std::max<int64_t>(0, min - 1), max == Grammar::kUnbounded ? max : max - 1);
  const Node items = g.sequence({item, more, space()});
  return g.sequence({begin, min > 0 ? items : g.optional(items), end});
}

void JsonText::define_value() {
  if (value_ >= 0) return;
  Grammar& g = *grammar_;
  value_ = g.add_rule("value");
  object_ = g.add_rule("object");
  array_ = g.add_rule("array");
  g.define(object_, list('{', member(string(), g.call(value_)), '}', 0, Grammar::kUnbounded));
  g.define(array_, list('[', g.call(value_), ']', 0, Grammar::kUnbounded));
  g.define(value_, g.choice({g.call(object_), g.call(array_), string(), any_number(g), boolean(), null()}));
}

JsonText::Node JsonText::value() {
  define_value();
  return grammar_->call(value_);
}

JsonText::Node JsonText::object() {
  define_value();
  return grammar_->call(object_);
}

JsonText::Node JsonText::array() {
  define_value();
  return grammar_->call(array_);
}

// A tree of the names: each of its places says which characters lead away from them all.
JsonText::Node JsonText::string_except(const std::set<std::string>& names) {
  Grammar& g = *grammar_;
  const Grammar::Rule free = g.add_rule("other-name");
  const Node quote = g.bytes('"', '"');
  g.define(free, g.sequence({g.repeat(g.chars(plain_chars()), 0), quote}));
  struct Place {
    std::map<char32_t, size_t> next;
    bool name = false;
    Grammar::Rule rule = -1;
  };
  std::vector<Place> places(1);
  for (const std::string& name : names) {
    size_t at = 0;
    for (size_t i = 0; i < name.size();) {
      const char32_t c = utf8::next(name, i);
      const auto [it, added] = places[at].next.try_emplace(c, places.size());
      at = it->second;
      if (added) places.emplace_back();
    }
    places[at].name = true;
  }
  for (Place& place : places) place.rule = g.add_rule("other-name");
  for (const Place& place : places) {
    CodePointSet away = plain_chars();
    std::vector<Node> ways;
    for (const auto& [c, to] : place.next) {
      const CodePointSet one(c, c);
      away = away.minus(one);
      ways.push_back(g.sequence({g.chars(one.intersection(plain_chars())), g.call(places[to].rule)}));
    }
    ways.push_back(g.sequence({g.chars(away), g.call(free)}));
    if (!place.name) ways.push_back(quote);
    g.define(place.rule, g.choice(ways));
  }
  return g.sequence({quote, g.call(places[0].rule)});
}

}  // namespace autoglm
