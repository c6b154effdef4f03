// Answers that are calls of tools, in the form of a family: for tool_choice "required" and a named one.
#pragma once

#include "text/grammar/grammar.h"
#include "text/tool_calls.h"

namespace autoglm {

/// One call of one of the tools, or with `parallel` several where the form has that. Arguments follow each tool's
/// schema. Errors: bad_request (no tool; a form that is not known; a schema, as read_json_schema), limit_exceeded.
Grammar::Node tool_call_grammar(Grammar& grammar, ToolCallForm form, const ToolSet& tools, bool parallel);

}  // namespace autoglm
