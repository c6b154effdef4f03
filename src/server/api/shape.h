// What a chat asks of its answer's form, whichever API it uses: a schema, tools, whether they must be called, thoughts.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "engine/answer_grammar.h"
#include "server/api/api.h"
#include "server/api/fields.h"

namespace autoglm {

struct AskedShape {
  AnswerShape shape{.parallel = true};           // any, where the answer is free
  std::shared_ptr<const ToolSet> tools;          // null: none may be called
  Json tools_for_template;                       // null: none
  std::string format_field = "response_format";  // what this API calls it, for errors
};

/// Reads OpenAI's response_format, tools, tool_choice and parallel_tool_calls. Errors name the field.
AskedShape read_shape(Fields& fields, const Served& served);

// What it is put together from, for APIs that word it otherwise.

/// The answer is JSON: of a schema, or any object.
void ask_json_object(std::string field, AskedShape& asked);
void ask_json_schema(std::string field, const Json& schema, AskedShape& asked);
/// Tools in OpenAI's form; an empty list is none. Errors name `tools`.
void offer_tools(const Fields& fields, const Served& served, const Json& tools, AskedShape& asked);
/// They may be called, must not be, or one of them must be: any, or the one of that name. Errors name `tool_choice`.
enum class Calls : uint8_t { allowed, none, required };
void choose_tools(const Fields& fields, Calls calls, const std::string& name, AskedShape& asked);

/// Says to the template whether the model is to reason first. Error naming `field` where it cannot be had so.
void set_thinking(const Fields& fields, std::string_view field, const Served& served, bool on, Json& variables);

/// Whether an effort ("none" to "xhigh", in OpenAI's words) is any. Error naming `field`.
bool thinks_at(const Fields& fields, std::string_view field, std::string_view effort);

/// Puts both into a request. Errors name what cannot be had so.
void apply_prompt(const Served& served, const AskedShape& asked, Prompt prompt, Request& request);

}  // namespace autoglm
