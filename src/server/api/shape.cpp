#include "server/api/shape.h"

#include <fmt/format.h>

#include "text/chat_messages.h"

namespace autoglm {
namespace {

void read_format(Fields& fields, AnswerShape& shape) {
  const Json* format = fields.object("response_format");
  if (format == nullptr) return;
  Fields inner(*format, "response_format.");
  const std::string type = inner.text("type").value_or("");
  const Json* schema = inner.object("json_schema");
  inner.done();
  if (type == "json_object") shape.kind = AnswerShape::Kind::json_object;
  if (type == "text" || type == "json_object") return;
  if (type != "json_schema") inner.refuse("type", "must be text, json_object or json_schema");
  if (schema == nullptr) inner.refuse("json_schema", "is missing");
  Fields named(*schema, "response_format.json_schema.");
  const Json* content = named.any("schema");
  named.ignore({"name", "description", "strict"});  // it always validates
  named.done();
  if (content == nullptr) named.refuse("schema", "is missing");
  shape.kind = AnswerShape::Kind::json_schema;
  shape.schema = *content;
}

// The name in {"type": "function", "function": {"name": ...}}.
std::string chosen_name(Fields& fields, const Json& choice) {
  if (!choice.is_object()) fields.refuse("tool_choice", "must be none, auto, required, or a function by name");
  Fields inner(choice, "tool_choice.");
  if (inner.text("type").value_or("") != "function") inner.refuse("type", "must be 'function'");
  const Json* function = inner.object("function");
  inner.done();
  if (function == nullptr) inner.refuse("function", "is missing");
  Fields named(*function, "tool_choice.function.");
  const std::string name = named.text("name").value_or("");
  named.done();
  return name;
}

void read_choice(Fields& fields, const Json& choice, AskedShape& asked) {
  if (choice == "none") {
    asked.tools = nullptr;
    asked.tools_for_template = nullptr;
    return;
  }
  if (choice == "auto") return;
  if (asked.tools == nullptr) fields.refuse("tool_choice", "is given without tools");
  if (asked.shape.kind != AnswerShape::Kind::any)
    fields.refuse("tool_choice", "and response_format exclude each other");
  asked.shape.kind = AnswerShape::Kind::tool_calls;
  if (choice == "required") {
    asked.shape.tools = asked.tools_for_template;
    return;
  }
  const std::string name = chosen_name(fields, choice);
  for (const Json& tool : asked.tools_for_template) {
    const Json& named = tool.contains("function") ? tool["function"] : tool;
    if (named.at("name") == name) asked.shape.tools.push_back(tool);
  }
  if (asked.shape.tools.empty()) fields.refuse("tool_choice", fmt::format("names '{}', which is no tool", name));
}

}  // namespace

AskedShape read_shape(Fields& fields, const Served& served) {
  AskedShape asked;
  read_format(fields, asked.shape);
  const Json* tools = fields.any("tools");
  const Json* choice = fields.any("tool_choice");
  asked.shape.parallel = fields.boolean("parallel_tool_calls").value_or(true);
  if (tools != nullptr && !(tools->is_array() && tools->empty())) {
    const ChatSpec* spec = served.chat->spec;
    if (spec == nullptr || spec->tool_calls == ToolCallForm::none) {
      fields.refuse("tools", "are given, and this model knows no form of calling them");
    }
    try {
      check_tools(*tools);
      asked.tools = std::make_shared<const ToolSet>(*tools);
    } catch (const Error& error) {
      throw FieldError("tools", error.what(), error.hint());
    }
    asked.tools_for_template = *tools;
  }
  if (choice != nullptr) read_choice(fields, *choice, asked);
  if (asked.shape.kind != AnswerShape::Kind::any && served.grammars == nullptr) {
    fields.refuse("response_format", "is not supported");
  }
  return asked;
}

void apply_shape(const Served& served, const AskedShape& asked, ReasoningStart reasoning, Request& request) {
  request.tools = asked.tools;
  if (asked.shape.kind == AnswerShape::Kind::any) return;
  try {
    request.grammar = served.grammars->compile(asked.shape, reasoning);
  } catch (const Error& error) {
    if (error.code() != Code::bad_request) throw;
    throw FieldError(asked.shape.kind == AnswerShape::Kind::tool_calls ? "tools" : "response_format", error.what(),
                     error.hint());
  }
}

}  // namespace autoglm
