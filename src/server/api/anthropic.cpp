// Anthropic's API: POST /v1/messages and /v1/messages/count_tokens.
#include <fmt/format.h>

#include "server/api/errors.h"
#include "server/api/messages.h"
#include "server/api/openai_writer.h"
#include "server/api/sampling.h"

namespace autoglm {
namespace {

class MessageWriter final : public Writer {
 public:
  MessageWriter(std::string path, std::string model, int64_t prompt_tokens, bool stream)
      : path_(std::move(path)), model_(std::move(model)), prompt_tokens_(prompt_tokens), stream_(stream) {}

  std::string_view content_type() const override { return "text/event-stream"; }

  bool streams() const override { return stream_; }
  void take(Happening&& happening, Piece& piece) override {
    const Event& event = happening.event;
    if (event.error) return fail(*event.error, piece);
    if (event.finish == FinishReason::cancelled) return fail({Code::cancelled, "the request was cancelled"}, piece);
    if (stream_ && !std::exchange(begun_, true)) send("message_start", {{"message", message(0, 0)}}, piece);
    if (!event.text.empty()) add(event, piece);
    if (event.kind != Event::Kind::finish) return;
    stop_ = !event.usage.stop.empty()              ? "stop_sequence"
            : event.finish == FinishReason::length ? "max_tokens"
                                                   : "end_turn";
    if (!event.usage.stop.empty()) stop_sequence_ = event.usage.stop;
    const Usage& usage = event.usage;
    if (!stream_) {
      piece.whole = HttpResponse{.body = to_text(message(usage.completion_tokens, usage.cached_tokens))};
      return;
    }
    close_block(piece);
    Json delta = Json::object();
    delta["stop_reason"] = stop_;
    delta["stop_sequence"] = stop_sequence_;
    send("message_delta",
         {{"delta", std::move(delta)}, {"usage", counted(usage.completion_tokens, usage.cached_tokens)}}, piece);
    send("message_stop", Json::object(), piece);
    piece.last = true;
  }

 private:
  void fail(const Error& error, Piece& piece) {
    const int status = info(error.code()).http_status;
    if (!begun_) {
      piece.whole = error_response(path_, error);
      return;
    }
    piece.bytes += "event: error\ndata: " + to_text(error_body(path_, status, error)) + "\n\n";
    piece.last = true;
  }

  Json counted(int64_t output, int64_t cached) const {
    Json usage = Json::object();
    usage["input_tokens"] = prompt_tokens_ - cached;
    usage["cache_creation_input_tokens"] = 0;
    usage["cache_read_input_tokens"] = cached;
    usage["output_tokens"] = output;
    return usage;
  }

  Json message(int64_t output, int64_t cached) const {
    Json body = Json::object();
    body["id"] = id_;
    body["type"] = "message";
    body["role"] = "assistant";
    body["model"] = model_;
    body["content"] = content_;
    body["stop_reason"] = stop_;
    body["stop_sequence"] = stop_sequence_;
    body["usage"] = counted(output, cached);
    return body;
  }

  // Thought and answer are blocks of their own, in the order in which they come.
  void add(const Event& event, Piece& piece) {
    const bool thought = event.kind == Event::Kind::reasoning;
    const std::string_view type = thought ? "thinking" : "text";
    if (content_.empty() || content_.back()["type"] != type) {
      close_block(piece);
      Json block = Json::object();
      block["type"] = type;
      block[std::string(type)] = "";
      if (thought) block["signature"] = "";
      content_.push_back(block);
      open_ = true;
      if (stream_) send("content_block_start", {{"index", index()}, {"content_block", std::move(block)}}, piece);
    }
    if (!stream_) {
      Json& text = content_.back()[std::string(type)];
      text = text.get<std::string>() + event.text;
      return;
    }
    Json delta = Json::object();
    delta["type"] = thought ? "thinking_delta" : "text_delta";
    delta[std::string(type)] = event.text;
    send("content_block_delta", {{"index", index()}, {"delta", std::move(delta)}}, piece);
  }

  void close_block(Piece& piece) {
    if (std::exchange(open_, false) && stream_) send("content_block_stop", {{"index", index()}}, piece);
  }

  int64_t index() const { return std::ssize(content_) - 1; }

  static void send(std::string_view type, const Json& members, Piece& piece) {
    Json body = Json::object();
    body["type"] = type;
    if (members.is_object()) body.update(members);
    piece.bytes += fmt::format("event: {}\ndata: {}\n\n", type, to_text(body));
  }

  const std::string path_;
  const std::string id_ = fresh_id("msg_");
  const std::string model_;
  const int64_t prompt_tokens_;
  const bool stream_;
  bool begun_ = false;
  bool open_ = false;
  Json content_ = Json::array();
  Json stop_;
  Json stop_sequence_;
};

struct Asking {
  std::string model;
  Prompt prompt;
};

// What both routes read: the system message is a field of its own here.
Asking read_conversation(Fields& fields, const Served& served) {
  Asking result;
  result.model = fields.text("model").value_or(served.name);
  check_model(served, result.model);
  const Json* given = fields.any("messages");
  if (given == nullptr || !given->is_array()) fields.refuse("messages", "must be a list");
  Json messages = Json::array();
  if (const Json* system = fields.any("system")) {
    messages.push_back(Json{{"role", "system"}, {"content", *system}});
  }
  for (const Json& message : *given) messages.push_back(message);
  PromptOptions options;
  if (const Json* thinking = fields.object("thinking")) {
    Fields inner(*thinking, "thinking.");
    const std::string type = inner.text("type").value_or("");
    inner.ignore({"budget_tokens", "display"});
    inner.done();
    if (type != "enabled" && type != "disabled") inner.refuse("type", "must be 'enabled' or 'disabled'");
    const ChatSpec* spec = served.chat->spec;
    const bool can = spec != nullptr && !spec->thinking_variable.empty();
    if (type == "enabled" && !can)
      fields.refuse("thinking", "is given, and this model has no switch for its reasoning");
    if (can) options.variables[std::string(spec->thinking_variable)] = type == "enabled";
  }
  const Json* tools = fields.any("tools");
  if (tools != nullptr && !(tools->is_array() && tools->empty())) fields.refuse("tools", "are not supported");
  fields.only("tool_choice", Json{{"type", "none"}}, "there are no tools");
  result.prompt = make_prompt(*served.tokenizer, *served.chat, plain_messages(messages), options);
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
  request.stop = fields.texts("stop_sequences", 64);
  request.client = http.client;
  const bool stream = fields.boolean("stream").value_or(false);
  fields.ignore({"metadata", "service_tier"});
  Asking conversation = read_conversation(fields, served);
  fields.done();
  const auto prompt_tokens = std::ssize(conversation.prompt.tokens);
  request.prompt = std::move(conversation.prompt.tokens);
  request.reasoning = conversation.prompt.reasoning;
  Asked asked;
  asked.writer = std::make_unique<MessageWriter>(http.path, conversation.model, prompt_tokens, stream);
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
