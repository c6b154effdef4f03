// POST /v1/responses
#include "server/api/responses.h"

#include <fmt/format.h>

#include <algorithm>

#include "server/api/messages.h"
#include "server/api/sampling.h"
#include "server/api/shape.h"

namespace autoglm {
namespace {

// {"format": {"type": "text", "json_object" or "json_schema", "name", "schema"}}; the response repeats it.
Json read_text(Fields& fields, AskedShape& shape) {
  const Json* text = fields.object("text");
  if (text == nullptr) return Json{{"format", Json{{"type", "text"}}}};
  Fields inner(*text, "text.");
  const Json* format = inner.object("format");
  inner.only("verbosity", "medium", "how much it says is the model's affair");
  inner.done();
  if (format == nullptr) return Json{{"format", Json{{"type", "text"}}}};
  Fields form(*format, "text.format.");
  const std::string type = form.text("type").value_or("");
  const Json* schema = form.object("schema");
  form.ignore({"name", "description", "strict"});  // it always validates
  form.done();
  if (type == "json_schema") {
    if (schema == nullptr) form.refuse("schema", "is missing");
    ask_json_schema("text.format", *schema, shape);
  } else if (type == "json_object") {
    ask_json_object("text.format", shape);
  } else if (type != "text") {
    form.refuse("type", "must be text, json_object or json_schema");
  }
  return Json{{"format", *format}};
}

// Functions have no object of their own here.
Json nested_tools(const Json& tools) {
  if (!tools.is_array()) throw FieldError("tools", "tools must be a list");
  Json result = Json::array();
  for (size_t i = 0; i < tools.size(); ++i) {
    Fields tool(tools[i], fmt::format("tools[{}].", i));
    if (tool.text("type").value_or("") != "function") {
      tool.refuse("type", "must be 'function'", "other tools run on OpenAI's own servers");
    }
    Json function = Json::object();
    for (const char* name : {"name", "description", "parameters"}) {
      if (const Json* value = tool.any(name)) function[name] = *value;
    }
    tool.ignore({"strict"});
    tool.done();
    result.push_back(Json{{"type", "function"}, {"function", std::move(function)}});
  }
  return result;
}

void read_choice(Fields& fields, const Json& choice, AskedShape& shape) {
  if (choice == "auto") return;
  if (choice == "none") return choose_tools(fields, Calls::none, "", shape);
  if (choice == "required") return choose_tools(fields, Calls::required, "", shape);
  if (!choice.is_object()) fields.refuse("tool_choice", "must be none, auto, required, or a function by name");
  Fields inner(choice, "tool_choice.");
  if (inner.text("type").value_or("") != "function") inner.refuse("type", "must be 'function'");
  const std::string name = inner.text("name").value_or("");
  inner.done();
  if (name.empty()) inner.refuse("name", "is missing");
  choose_tools(fields, Calls::required, name, shape);
}

// {"effort": ..., "summary": ...}: thoughts come whole, whatever summary was asked for.
Json read_reasoning(Fields& fields, const Served& served, Json& variables) {
  Json answer = Json{{"effort", nullptr}, {"summary", nullptr}};
  const Json* reasoning = fields.object("reasoning");
  if (reasoning == nullptr) return answer;
  Fields inner(*reasoning, "reasoning.");
  const auto effort = inner.text("effort");
  inner.ignore({"summary", "generate_summary"});
  inner.done();
  if (!effort) return answer;
  set_thinking(fields, "reasoning.effort", served, thinks_at(fields, "reasoning.effort", *effort), variables);
  answer["effort"] = *effort;
  return answer;
}

// This server keeps no responses and runs nothing on its own.
void refuse_state(Fields& fields) {
  for (const char* name : {"previous_response_id", "conversation", "prompt"}) {
    if (fields.has(name)) {
      fields.refuse(name, "is given, and this server keeps no responses", "send the earlier items in `input`");
    }
    fields.ignore({name});
  }
  fields.only("background", false, "a response is made while its client waits");
  fields.only("truncation", "disabled", "what does not fit is refused");
}

// 0.7, not 0.699999988079071.
double as_written(float value) { return std::stod(fmt::format("{}", value)); }

// What may be asked for beside the items. Thoughts are never encrypted, so there is nothing to include of them.
void read_include(Fields& fields, Request& request) {
  bool scores = false;
  for (const std::string& name : fields.texts("include", 16)) {
    if (name == "message.output_text.logprobs") {
      scores = true;
    } else if (name != "reasoning.encrypted_content") {
      fields.refuse("include", fmt::format("asks for '{}'", name.substr(0, 60)));
    }
  }
  const auto top = fields.integer("top_logprobs", 0, 20);
  if (top && *top > 0 && !scores) fields.refuse("top_logprobs", "needs message.output_text.logprobs in `include`");
  if (scores) request.sampling.logprobs = static_cast<int>(top.value_or(0));
}

}  // namespace

Asked responses(const Served& served, const HttpRequest& http, const Json& body) {
  Fields fields(body);
  const std::string model = fields.text("model").value_or(served.name);
  check_model(served, model);
  const Json* input = fields.any("input");
  if (input == nullptr) fields.refuse("input", "is missing");
  const auto instructions = fields.text("instructions");
  refuse_state(fields);
  Request request = read_request(fields, served, http);
  request.max_tokens = fields.integer("max_output_tokens", 1, INT32_MAX).value_or(-1);
  read_include(fields, request);
  const bool stream = fields.boolean("stream").value_or(false);
  if (const Json* options = fields.object("stream_options")) {
    Fields inner(*options, "stream_options.");
    inner.only("include_obfuscation", false, "nothing is added to hide lengths");
    inner.done();
  }
  AskedShape shape;
  PromptOptions options;
  ResponseForm writing{.path = http.path,
                       .known = Json::object(),
                       .stream = stream,
                       .scores = request.sampling.logprobs >= 0,
                       .ignore_eos = request.ignore_eos};
  Json& form = writing.known;
  form["instructions"] = instructions ? Json(*instructions) : Json();
  form["max_output_tokens"] = request.max_tokens < 0 ? Json() : Json(request.max_tokens);
  form["model"] = model;
  form["text"] = read_text(fields, shape);
  form["reasoning"] = read_reasoning(fields, served, options.variables);
  shape.shape.parallel = fields.boolean("parallel_tool_calls").value_or(true);
  const Json* tools = fields.any("tools");
  const Json* choice = fields.any("tool_choice");
  if (tools != nullptr) offer_tools(fields, served, nested_tools(*tools), shape);
  if (choice != nullptr) read_choice(fields, *choice, shape);
  form["tools"] = tools == nullptr ? Json::array() : *tools;
  form["tool_choice"] = choice == nullptr ? Json("auto") : *choice;
  form["parallel_tool_calls"] = shape.shape.parallel;
  form["temperature"] = as_written(request.sampling.temperature);
  form["top_p"] = as_written(request.sampling.top_p);
  form["top_logprobs"] = std::max(request.sampling.logprobs, 0);
  form["truncation"] = "disabled";
  form["store"] = false;
  form["previous_response_id"] = nullptr;
  const Json* metadata = fields.object("metadata");
  form["metadata"] = metadata == nullptr ? Json::object() : *metadata;
  ignore_harmless(fields);
  fields.done();

  options.tools = shape.tools_for_template;
  const Json messages = response_messages(*input, instructions.value_or(""));
  apply_prompt(served, shape, chat_prompt(served, messages, std::move(options)), request);
  Asked asked;
  asked.writer = response_writer(served, std::move(writing));
  asked.requests.push_back(std::move(request));
  return asked;
}

}  // namespace autoglm
