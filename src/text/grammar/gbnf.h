// GBNF, llama.cpp's notation for grammars, as users write it: rules `name ::= ...` of "literals", [classes], (groups),
// names of rules, `.`, `|`, the repetitions * + ? {m} {m,} {m,n}, and # comments. The answer is what rule `root` says.
#pragma once

#include <memory>
#include <string_view>

#include "text/grammar/program.h"

namespace autoglm {

/// Errors: bad_request with the line and what is wrong (tokens such as <think> or <[12]> are not supported),
/// limit_exceeded.
Grammar::Node read_gbnf(Grammar& grammar, std::string_view text);
std::shared_ptr<const Program> compile_gbnf(std::string_view text);

}  // namespace autoglm
