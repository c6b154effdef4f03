// What a chat asks of its answer's form: response_format, tools, tool_choice.
#pragma once

#include <memory>

#include "engine/answer_grammar.h"
#include "server/api/api.h"
#include "server/api/fields.h"

namespace autoglm {

struct AskedShape {
  AnswerShape shape;                     // any, where the answer is free
  std::shared_ptr<const ToolSet> tools;  // null: none may be called
  Json tools_for_template;               // null: none
};

/// Reads response_format, tools, tool_choice and parallel_tool_calls. Errors name the field.
AskedShape read_shape(Fields& fields, const Served& served);

/// Puts it into a request whose prompt is made.
void apply_shape(const Served& served, const AskedShape& asked, ReasoningStart reasoning, Request& request);

}  // namespace autoglm
