// Anthropic's answers: a message of blocks, or the events that build it.
#include "server/api/anthropic.h"

#include <fmt/format.h>

#include "server/api/errors.h"
#include "server/api/fields.h"
#include "server/api/openai_writer.h"

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
    if (event.kind == Event::Kind::tool_call) {
      add_call(event, piece);
    } else if (!event.text.empty()) {
      add(event, piece);
    }
    if (event.kind != Event::Kind::finish) return;
    stop_ = !event.usage.stop.empty()              ? "stop_sequence"
            : event.finish == FinishReason::length ? "max_tokens"
            : called_                              ? "tool_use"
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

  void open_block(Json block, Piece& piece) {
    close_block(piece);
    content_.push_back(block);
    open_ = true;
    if (stream_) send("content_block_start", {{"index", index()}, {"content_block", std::move(block)}}, piece);
  }

  void send_delta(std::string_view type, std::string_view member, const std::string& text, Piece& piece) const {
    Json delta = Json::object();
    delta["type"] = type;
    delta[std::string(member)] = text;
    send("content_block_delta", {{"index", index()}, {"delta", std::move(delta)}}, piece);
  }

  // Thought and answer are blocks of their own, in the order in which they come.
  void add(const Event& event, Piece& piece) {
    const bool thought = event.kind == Event::Kind::reasoning;
    const std::string_view type = thought ? "thinking" : "text";
    if (content_.empty() || content_.back()["type"] != type) {
      Json block = Json::object();
      block["type"] = type;
      block[std::string(type)] = "";
      if (thought) block["signature"] = "";
      open_block(std::move(block), piece);
    }
    if (stream_) return send_delta(thought ? "thinking_delta" : "text_delta", type, event.text, piece);
    Json& text = content_.back()[std::string(type)];
    text = text.get<std::string>() + event.text;
  }

  // A call is known when it is complete: its arguments are one delta.
  void add_call(const Event& event, Piece& piece) {
    called_ = true;
    Json block = Json::object();
    block["type"] = "tool_use";
    block["id"] = fresh_id("toolu_");
    block["name"] = event.tool;
    block["input"] = Json::object();
    open_block(std::move(block), piece);
    if (stream_) return send_delta("input_json_delta", "partial_json", event.text, piece);
    content_.back()["input"] = Json::parse(event.text, nullptr, false);
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
  bool called_ = false;
  Json content_ = Json::array();
  Json stop_;
  Json stop_sequence_;
};

}  // namespace

std::unique_ptr<Writer> anthropic_writer(std::string path, std::string model, int64_t prompt_tokens, bool stream) {
  return std::make_unique<MessageWriter>(std::move(path), std::move(model), prompt_tokens, stream);
}

}  // namespace autoglm
