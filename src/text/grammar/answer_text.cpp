#include "text/grammar/answer_text.h"

#include <set>
#include <vector>

#include "base/error.h"

namespace autoglm {

// A rule for each number of the mark's characters that were just read (Knuth, Morris, Pratt 1977). Rules call each
// other last, so the text may go on for ever.
Grammar::Node text_until(Grammar& grammar, std::string_view mark) {
  AUTOGLM_CHECK(!mark.empty(), "a text ends with a mark");
  std::vector<Grammar::Rule> rules;
  for (size_t i = 0; i < mark.size(); ++i) rules.push_back(grammar.add_rule("text"));
  const std::set<char> letters(mark.begin(), mark.end());
  // The longest beginning of the mark that mark[0, read) + c ends with.
  const auto next = [mark](size_t read, char c) {
    const std::string seen = std::string(mark.substr(0, read)) + c;
    for (size_t length = std::min(seen.size(), mark.size()); length > 0; --length) {
      if (std::string_view(seen).ends_with(mark.substr(0, length))) return length;
    }
    return size_t{0};
  };
  for (size_t read = 0; read < mark.size(); ++read) {
    CodePointSet others = CodePointSet::all();
    std::vector<Grammar::Node> ways;
    for (const char c : letters) {
      const CodePointSet one(static_cast<unsigned char>(c), static_cast<unsigned char>(c));
      others = others.minus(one);
      const size_t to = next(read, c);
      const Grammar::Node letter = grammar.chars(one);
      ways.push_back(to == mark.size() ? letter : grammar.sequence({letter, grammar.call(rules[to])}));
    }
    ways.push_back(grammar.sequence({grammar.chars(others), grammar.call(rules[0])}));
    grammar.define(rules[read], grammar.choice(ways));
  }
  return grammar.call(rules[0]);
}

Grammar::Node after_thought(Grammar& grammar, Grammar::Node answer, Thought thought, std::string_view open,
                            std::string_view close) {
  if (thought == Thought::none || open.empty() || close.empty()) return answer;
  const Grammar::Node breaks = grammar.repeat(grammar.choice({grammar.text("\n"), grammar.text("\r")}), 0);
  const Grammar::Node rest = grammar.sequence({text_until(grammar, close), breaks});
  if (thought == Thought::begun) return grammar.sequence({rest, answer});
  const Grammar::Node whole = grammar.sequence({breaks, grammar.text(open), rest});
  return grammar.sequence({grammar.optional(whole), answer});
}

}  // namespace autoglm
