// Anthropic's API: POST /v1/messages and /v1/messages/count_tokens.
#include "server/api/anthropic.h"

#include "server/api/messages.h"
#include "server/api/sampling.h"
#include "server/api/shape.h"

namespace autoglm {
namespace {

struct Asking {
  std::string model;
  Prompt prompt;
  AskedShape shape;
};

// {"type": "auto", "any", "tool" or "none"}
void read_choice(Fields& fields, AskedShape& shape) {
  const Json* choice = fields.object("tool_choice");
  if (choice == nullptr) return;
  Fields inner(*choice, "tool_choice.");
  const std::string type = inner.text("type").value_or("");
  const auto name = inner.text("name");
  shape.shape.parallel = !inner.boolean("disable_parallel_tool_use").value_or(false);
  inner.done();
  if (name.has_value() != (type == "tool")) inner.refuse("name", "belongs to the type 'tool', and to no other");
  if (type == "none") {
    choose_tools(fields, Calls::none, "", shape);
  } else if (type == "any" || type == "tool") {
    choose_tools(fields, Calls::required, name.value_or(""), shape);
  } else if (type != "auto") {
    inner.refuse("type", "must be auto, any, tool or none");
  }
}

void read_thinking(Fields& fields, const Served& served, Json& variables) {
  const Json* thinking = fields.object("thinking");
  if (thinking == nullptr) return;
  Fields inner(*thinking, "thinking.");
  const std::string type = inner.text("type").value_or("");
  inner.ignore({"budget_tokens", "display"});
  inner.done();
  if (type == "adaptive") return;  // as the model's template has it
  if (type != "enabled" && type != "disabled") inner.refuse("type", "must be enabled, disabled or adaptive");
  set_thinking(fields, "thinking", served, type == "enabled", variables);
}

// {"format": {"type": "json_schema", "schema": ...}}
void read_output(Fields& fields, AskedShape& shape) {
  const Json* output = fields.object("output_config");
  if (output == nullptr) return;
  Fields inner(*output, "output_config.");
  const Json* format = inner.object("format");
  inner.done();
  if (format == nullptr) return;
  Fields form(*format, "output_config.format.");
  if (form.text("type").value_or("") != "json_schema") form.refuse("type", "must be json_schema");
  const Json* schema = form.object("schema");
  form.done();
  if (schema == nullptr) form.refuse("schema", "is missing");
  ask_json_schema("output_config", *schema, shape);
}

// What both routes read: the system message is a field of its own here.
Asking read_conversation(Fields& fields, const Served& served) {
  Asking result;
  result.model = fields.text("model").value_or(served.name);
  check_model(served, result.model);
  const Json* messages = fields.any("messages");
  if (messages == nullptr || !messages->is_array() || messages->empty()) {
    fields.refuse("messages", "must be a list of at least one message");
  }
  PromptOptions options;
  read_thinking(fields, served, options.variables);
  read_output(fields, result.shape);
  if (const Json* tools = fields.any("tools")) offer_tools(fields, served, openai_tools(*tools), result.shape);
  read_choice(fields, result.shape);
  options.tools = result.shape.tools_for_template;
  const Json given = openai_messages(*messages, fields.any("system"));
  result.prompt = chat_prompt(served, given, std::move(options), ends_with_assistant(given));
  return result;
}

}  // namespace

Asked anthropic_messages(const Served& served, const HttpRequest& http, const Json& body) {
  Fields fields(body);
  Request request = served.defaults;
  if (const auto value = fields.number("temperature", 0, 2)) request.sampling.temperature = static_cast<float>(*value);
  if (const auto value = fields.number("top_p", 1e-6, 1)) request.sampling.top_p = static_cast<float>(*value);
  if (const auto value = fields.integer("top_k", 0, 1 << 30)) request.sampling.top_k = static_cast<int>(*value);
  const auto most = fields.integer("max_tokens", 0, INT32_MAX);
  if (!most) fields.refuse("max_tokens", "is missing");
  request.max_tokens = *most;
  request.stop = read_stops(fields, "stop_sequences");
  request.client = http.client;
  const bool stream = fields.boolean("stream").value_or(false);
  fields.ignore({"metadata", "service_tier"});
  Asking conversation = read_conversation(fields, served);
  fields.done();
  const auto prompt_tokens = std::ssize(conversation.prompt.tokens);
  apply_prompt(served, conversation.shape, std::move(conversation.prompt), request);
  Asked asked;
  asked.writer = anthropic_writer(http.path, conversation.model, prompt_tokens, stream);
  asked.requests.push_back(std::move(request));
  return asked;
}

HttpResponse count_tokens(const Served& served, const Json& body) {
  Fields fields(body);
  const Asking conversation = read_conversation(fields, served);
  fields.done();
  return {.body = to_text(Json{{"input_tokens", conversation.prompt.tokens.size()}})};
}

}  // namespace autoglm
