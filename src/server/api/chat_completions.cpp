// POST /v1/chat/completions
#include <fmt/format.h>

#include "server/api/messages.h"
#include "server/api/openai_writer.h"
#include "server/api/sampling.h"
#include "server/api/shape.h"

namespace autoglm {
namespace {

class ChatWriter final : public OpenAiWriter {
 public:
  ChatWriter(const Served& served, Form form, size_t choices, bool logprobs)
      : OpenAiWriter(served, std::move(form), choices), logprobs_(logprobs) {}

 private:
  Json delta(int index, Choice& choice, const Event& event) override {
    Json delta = Json::object();
    if (!std::exchange(choice.opened, true)) delta["role"] = "assistant";
    if (event.kind == Event::Kind::tool_call) {
      delta["tool_calls"] = Json::array({called(std::ssize(choice.calls), event)});
      choice.calls.push_back(Json());
    } else if (!event.text.empty())
      delta[event.kind == Event::Kind::reasoning ? "reasoning_content" : "content"] = event.text;
    Json body = Json::object();
    body["index"] = index;
    body["delta"] = std::move(delta);
    body["logprobs"] = scores(choice);
    body["finish_reason"] = event.kind == Event::Kind::finish ? Json(finish_of(choice)) : Json();
    return body;
  }

  Json whole(int index, Choice& choice) override {
    Json message = Json::object();
    message["role"] = "assistant";
    message["content"] = choice.text.empty() && !choice.calls.empty() ? Json() : Json(choice.text);
    message["refusal"] = nullptr;
    if (!choice.reasoning.empty()) message["reasoning_content"] = choice.reasoning;
    if (!choice.calls.empty()) message["tool_calls"] = choice.calls;
    Json body = Json::object();
    body["index"] = index;
    body["message"] = std::move(message);
    body["logprobs"] = scores(choice);
    body["finish_reason"] = finish_of(choice);
    return body;
  }

  // Clients look for calls only where the reason says so.
  static std::string_view finish_of(const Choice& choice) {
    return choice.finish == FinishReason::stop && !choice.calls.empty() ? "tool_calls" : openai_finish(choice.finish);
  }

  static Json called(int64_t index, const Event& event) {
    Json call = Json::object();
    if (index >= 0) call["index"] = index;
    call["id"] = fresh_id("call_");
    call["type"] = "function";
    call["function"] = Json{{"name", event.tool}, {"arguments", event.text}};
    return call;
  }

  void add_call(Choice& choice, const Event& event) override { choice.calls.push_back(called(-1, event)); }

  // Of the tokens since the last chunk.
  Json scores(Choice& choice) const {
    const ScoredTokens scored = std::exchange(choice.scored, {});
    if (!logprobs_ || (stream() && scored.tokens.empty())) return {};
    return Json{{"content", scores_of(served(), scored.logprobs)}, {"refusal", nullptr}};
  }

  bool logprobs_;
};

int64_t read_most_tokens(Fields& fields) {
  const auto old = fields.integer("max_tokens", 0, INT32_MAX);
  const auto most = fields.integer("max_completion_tokens", 0, INT32_MAX);
  if (old && most && *old != *most)
    fields.refuse("max_tokens", "differs from max_completion_tokens", "give one of them");
  return most ? *most : old.value_or(-1);
}

void read_logprobs(Fields& fields, Request& request) {
  const bool wanted = fields.boolean("logprobs").value_or(false);
  const auto top = fields.integer("top_logprobs", 0, 20);
  if (top && *top > 0 && !wanted) fields.refuse("top_logprobs", "needs logprobs to be true");
  if (wanted) request.sampling.logprobs = static_cast<int>(top.value_or(0));
}

// The switch of models that can reason: `chat_template_kwargs` (vLLM), `thinking` (GLM's own API), `reasoning_effort`.
Json read_variables(Fields& fields, const Served& served) {
  Json variables = Json::object();
  if (const Json* given = fields.object("chat_template_kwargs")) variables = *given;
  for (const char* own : {"messages", "tools", "add_generation_prompt"}) {
    if (!variables.contains(own)) continue;
    fields.refuse("chat_template_kwargs", fmt::format("has {}, which is a field of the request itself", own));
  }
  if (const Json* thinking = fields.object("thinking")) {
    Fields inner(*thinking, "thinking.");
    const std::string type = inner.text("type").value_or("");
    inner.done();
    if (type != "enabled" && type != "disabled") inner.refuse("type", "must be 'enabled' or 'disabled'");
    set_thinking(fields, "thinking", served, type == "enabled", variables);
  }
  if (const auto effort = fields.text("reasoning_effort")) {
    set_thinking(fields, "reasoning_effort", served, thinks_at(fields, "reasoning_effort", *effort), variables);
  }
  return variables;
}

}  // namespace

Asked chat_completions(const Served& served, const HttpRequest& http, const Json& body) {
  Fields fields(body);
  const std::string model = fields.text("model").value_or(served.name);
  check_model(served, model);
  const Json* messages = fields.any("messages");
  if (messages == nullptr) fields.refuse("messages", "is missing");
  Request request = read_request(fields, served, http);
  request.max_tokens = read_most_tokens(fields);
  read_logprobs(fields, request);
  const int64_t n = fields.integer("n", 1, served.most_choices).value_or(1);
  const bool stream = fields.boolean("stream").value_or(false);
  const bool include_usage = read_include_usage(fields, stream);
  PromptOptions options;
  options.variables = read_variables(fields, served);
  const auto new_turn = fields.boolean("add_generation_prompt");
  const bool go_on = fields.boolean("continue_final_message").value_or(false);
  if (go_on && new_turn.value_or(false)) {
    fields.refuse("continue_final_message", "and add_generation_prompt exclude each other", "set one of them to false");
  }
  options.add_generation_prompt = new_turn.value_or(true);
  const AskedShape shape = read_shape(fields, served);
  options.tools = shape.tools_for_template;
  const Json text = Json::array({"text"});
  fields.only("modalities", text, "answers are text");
  ignore_harmless(fields);
  fields.done();

  apply_prompt(served, shape, chat_prompt(served, *messages, std::move(options), go_on), request);
  OpenAiWriter::Form form = {.path = http.path,
                             .id = fresh_id("chatcmpl-"),
                             .object = "chat.completion",
                             .chunk_object = "chat.completion.chunk",
                             .model = model,
                             .created = unix_time(),
                             .stream = stream,
                             .include_usage = include_usage,
                             .ignore_eos = request.ignore_eos,
                             .choices_per_prompt = n};
  Asked asked;
  asked.writer =
      std::make_unique<ChatWriter>(served, std::move(form), static_cast<size_t>(n), request.sampling.logprobs >= 0);
  asked.requests = copies(request, n);
  return asked;
}

}  // namespace autoglm
