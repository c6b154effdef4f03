#include "server/api/shape.h"

#include <fmt/format.h>

#include "text/chat_messages.h"

namespace autoglm {
namespace {

void read_format(Fields& fields, AskedShape& asked) {
  const Json* format = fields.object("response_format");
  if (format == nullptr) return;
  Fields inner(*format, "response_format.");
  const std::string type = inner.text("type").value_or("");
  const Json* schema = inner.object("json_schema");
  inner.done();
  if (type == "json_object") ask_json_object("response_format", asked);
  if (type == "text" || type == "json_object") return;
  if (type != "json_schema") inner.refuse("type", "must be text, json_object or json_schema");
  if (schema == nullptr) inner.refuse("json_schema", "is missing");
  Fields named(*schema, "response_format.json_schema.");
  const Json* content = named.any("schema");
  named.ignore({"name", "description", "strict"});  // it always validates
  named.done();
  if (content == nullptr) named.refuse("schema", "is missing");
  ask_json_schema("response_format", *content, asked);
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
  if (choice == "none") return choose_tools(fields, Calls::none, "", asked);
  if (choice == "auto") return;
  choose_tools(fields, Calls::required, choice == "required" ? "" : chosen_name(fields, choice), asked);
}

}  // namespace

AskedShape read_shape(Fields& fields, const Served& served) {
  AskedShape asked;
  read_format(fields, asked);
  const Json* tools = fields.any("tools");
  const Json* choice = fields.any("tool_choice");
  asked.shape.parallel = fields.boolean("parallel_tool_calls").value_or(true);
  if (tools != nullptr) offer_tools(fields, served, *tools, asked);
  if (choice != nullptr) read_choice(fields, *choice, asked);
  return asked;
}

void ask_json_object(std::string field, AskedShape& asked) {
  asked.shape.kind = AnswerShape::Kind::json_object;
  asked.format_field = std::move(field);
}

void ask_json_schema(std::string field, const Json& schema, AskedShape& asked) {
  asked.shape.kind = AnswerShape::Kind::json_schema;
  asked.shape.schema = schema;
  asked.format_field = std::move(field);
}

void offer_tools(const Fields& fields, const Served& served, const Json& tools, AskedShape& asked) {
  if (tools.is_array() && tools.empty()) return;
  const ChatSpec* spec = served.chat->spec;
  if (spec == nullptr || spec->tool_calls == ToolCallForm::none) {
    fields.refuse("tools", "are given, and this model knows no form of calling them");
  }
  try {
    check_tools(tools);
    asked.tools = std::make_shared<const ToolSet>(tools);
  } catch (const Error& error) {
    throw FieldError("tools", error.what(), error.hint());
  }
  asked.tools_for_template = tools;
}

void choose_tools(const Fields& fields, Calls calls, const std::string& name, AskedShape& asked) {
  if (calls == Calls::allowed) return;
  if (calls == Calls::none) {
    asked.tools = nullptr;
    asked.tools_for_template = nullptr;
    return;
  }
  if (asked.tools == nullptr) fields.refuse("tool_choice", "is given without tools");
  if (asked.shape.kind != AnswerShape::Kind::any) {
    fields.refuse("tool_choice", fmt::format("and {} exclude each other", asked.format_field));
  }
  asked.shape.kind = AnswerShape::Kind::tool_calls;
  if (name.empty()) {
    asked.shape.tools = asked.tools_for_template;
    return;
  }
  for (const Json& tool : asked.tools_for_template) {
    const Json& named = tool.contains("function") ? tool["function"] : tool;
    if (named.at("name") == name) asked.shape.tools.push_back(tool);
  }
  if (asked.shape.tools.empty()) {
    fields.refuse("tool_choice", fmt::format("names '{}', which is no tool", name.substr(0, 120)));
  }
}

void set_thinking(const Fields& fields, std::string_view field, const Served& served, bool on, Json& variables) {
  const ChatSpec* spec = served.chat->spec;
  if (spec != nullptr && !spec->thinking_variable.empty()) {
    variables[std::string(spec->thinking_variable)] = on;
    return;
  }
  const bool always = spec != nullptr && !spec->reasoning_open.empty();
  if (on != always) {
    fields.refuse(field, always ? "asks for no reasoning, and this model always does"
                                : "asks for reasoning, and this model has no switch for it");
  }
}

bool thinks_at(const Fields& fields, std::string_view field, std::string_view effort) {
  if (effort == "none" || effort == "minimal") return false;
  if (effort == "low" || effort == "medium" || effort == "high" || effort == "xhigh") return true;
  fields.refuse(field, "must be none, minimal, low, medium, high or xhigh");
}

void apply_prompt(const Served& served, const AskedShape& asked, Prompt prompt, Request& request) {
  request.prompt = std::move(prompt.tokens);
  request.reasoning = prompt.reasoning;
  request.continues = prompt.continues;
  request.said = std::move(prompt.said);
  request.tools = asked.tools;
  request.one_call = !asked.shape.parallel;
  if (asked.shape.kind == AnswerShape::Kind::any) return;
  const bool calls = asked.shape.kind == AnswerShape::Kind::tool_calls;
  const std::string field = calls ? "tools" : asked.format_field;
  if (served.grammars == nullptr) throw FieldError(field, field + " is not supported");
  try {
    request.grammar = served.grammars->compile(asked.shape, request.reasoning);
  } catch (const Error& error) {
    if (error.code() != Code::bad_request) throw;
    throw FieldError(field, fmt::format("{}: {}", field, error.what()), error.hint());
  }
  if (request.said.empty() || GrammarMatcher(request.grammar).accept(request.said)) return;
  throw FieldError(
      "messages",
      fmt::format("what the last message says is no beginning of what {} asks for", calls ? "tool_choice" : field),
      "the message that is gone on with is a part of the answer: leave it out, or begin as the form does");
}

}  // namespace autoglm
