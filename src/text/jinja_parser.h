// Template text to a Program, by Jinja2's grammar.
#pragma once

#include <memory>
#include <string_view>

#include "text/jinja_ast.h"

namespace autoglm::jinja {

/// Errors: bad_template with the line; limit_exceeded if statements or expressions nest deeper than `depth`.
std::unique_ptr<Program> parse_program(std::string_view source, int depth);

}  // namespace autoglm::jinja
