// JSON as grammars write it: the parts that schemas are put together from.
//
// White space: none, one space, or a line break with up to 20 blanks, behind { [ , : and before } ]. Strings may hold
// every character, escaped or not, and no half of a surrogate pair.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "text/chat_template.h"
#include "text/grammar/grammar.h"

namespace autoglm {

class JsonText {
 public:
  using Node = Grammar::Node;

  explicit JsonText(Grammar& grammar);
  Grammar& grammar() { return *grammar_; }

  Node space() { return grammar_->call(space_); }
  Node string() { return grammar_->call(string_); }
  Node value();
  Node object();
  Node array();
  Node boolean();
  Node null() { return grammar_->text("null"); }
  /// Characters of a set inside a string, each written in one way.
  Node chars(const CodePointSet& set);
  /// Any character inside a string, in every way it may be written.
  Node any_char();
  Node quoted(Node inside);
  /// A string that is none of these, without escapes.
  Node string_except(const std::set<std::string>& names);
  /// This very value.
  Node literal(const Json& value) { return grammar_->text(value.dump()); }
  /// `member` or `item` between brackets, `min` to `max` times.
  Node list(char open, Node item, char close, int64_t min, int64_t max);
  /// "name": value
  Node member(Node name, Node value);
  Node comma();

 private:
  void define_value();
  Grammar* grammar_;
  Grammar::Rule space_, string_;
  Grammar::Rule value_ = -1, object_ = -1, array_ = -1;
};

}  // namespace autoglm
