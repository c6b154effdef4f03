// Regular expressions as grammars: the part of ECMA 262 and Python's `re` that describes a set of texts. Literals and
// escapes, classes, . \d \w \s and their opposites, groups (named ones too), |, the quantifiers * + ? {m} {m,} {m,n}
// (lazy or not is the same here), ^ and $ at the ends. Look-around, back references, \b, \p and flags are refused by
// name.
#pragma once

#include <functional>
#include <memory>
#include <string_view>

#include "text/grammar/program.h"

namespace autoglm {

struct RegexOptions {
  /// True: a text that holds a match anywhere will do (JSON Schema's `pattern`), unless ^ and $ say otherwise.
  /// False: the whole text must match, with or without them.
  bool search = false;
  /// How a set of characters is written; empty: as UTF-8. JSON Schema writes some of them as escapes.
  std::function<Grammar::Node(const CodePointSet&)> chars;
  /// For errors: what holds the expression.
  std::string_view name = "regex";
};

/// A node, and how many characters its texts have.
struct RegexNode {
  Grammar::Node node;
  int64_t shortest = 0;
  int64_t longest = 0;  // Grammar::kUnbounded: no limit
};

/// Errors: bad_request with the place and what is not supported, limit_exceeded.
RegexNode read_regex(Grammar& grammar, std::string_view pattern, const RegexOptions& options = {});
std::shared_ptr<const Program> compile_regex(std::string_view pattern);

}  // namespace autoglm
