// A regular expression from anywhere, as a whole text and as JSON Schema's search: it compiles or is an Error.
#include <string_view>

#include "base/error.h"
#include "text/grammar/automaton.h"
#include "text/grammar/json_text.h"
#include "text/grammar/regex_grammar.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace autoglm;
  const std::string_view pattern(reinterpret_cast<const char*>(data), size);
  for (const bool search : {false, true}) {
    try {
      Grammar grammar;
      JsonText json(grammar);
      RegexOptions options;
      options.search = search;
      if (search) options.chars = [&json](const CodePointSet& set) { return json.chars(set); };
      const RegexNode node = read_regex(grammar, pattern, options);
      AUTOGLM_CHECK(node.longest == Grammar::kUnbounded || node.shortest <= node.longest, "lengths are in order");
      const Grammar::Rule root = grammar.add_rule("root");
      grammar.define(root, node.node);
      Automaton automaton(std::make_shared<const Program>(grammar, root));
      automaton.accepts(automaton.next(automaton.start(), pattern.substr(0, 64)));
    } catch (const Error&) {
    }
  }
  return 0;
}
