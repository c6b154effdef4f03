// JSON Schema as a grammar: every text that the grammar allows is a value that validates.
//
// Not every valid text is allowed: members come in the order in which the schema declares them (then additional ones),
// white space is bounded (JsonText), numbers have bounded digits (json_number.h), a pattern's characters are written
// in one way. Where `additionalProperties` is not said and properties are, none are written; a schema that says
// nothing but what some type looks like (`properties` without `type`) is of that type. A format is obeyed.
//
// A keyword or a combination that cannot be honoured is Error bad_request with its place: uniqueItems, multipleOf,
// not, if, patternProperties, oneOf whose alternatives may overlap, pattern together with lengths it does not obey...
#pragma once

#include <memory>

#include "text/chat_template.h"
#include "text/grammar/program.h"

namespace autoglm {

/// Errors: bad_request, limit_exceeded.
Grammar::Node read_json_schema(Grammar& grammar, const Json& schema);
std::shared_ptr<const Program> compile_json_schema(const Json& schema);
/// Any object: {"type": "json_object"}.
std::shared_ptr<const Program> compile_json_object();

}  // namespace autoglm
