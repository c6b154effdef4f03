// Responses, whole or as the events that build them.
#include <fmt/format.h>

#include <utility>

#include "server/api/errors.h"
#include "server/api/fields.h"
#include "server/api/openai_writer.h"
#include "server/api/responses.h"

namespace autoglm {
namespace {

class ResponseWriter final : public Writer {
 public:
  ResponseWriter(const Served& served, ResponseForm form)
      : served_(&served), form_(std::move(form)), stream_(form_.stream) {}

  std::string_view content_type() const override { return "text/event-stream"; }
  bool streams() const override { return stream_; }

  void take(Happening&& happening, Piece& piece) override {
    Event& event = happening.event;
    if (event.error) return fail(*event.error, piece);
    if (event.finish == FinishReason::cancelled) return fail({Code::cancelled, "the request was cancelled"}, piece);
    if (stream_ && !std::exchange(begun_, true)) {
      send("response.created", {{"response", response("in_progress")}}, piece);
      send("response.in_progress", {{"response", response("in_progress")}}, piece);
    }
    if (!form_.ignore_eos) drop_end(*served_, event);
    if (event.kind == Event::Kind::reasoning) reasoning_tokens_ += std::ssize(event.tokens);
    if (event.kind == Event::Kind::tool_call) {
      add_call(event, piece);
    } else if (!event.text.empty()) {
      add_text(event, piece);
    }
    if (event.kind == Event::Kind::finish) finish(event, piece);
  }

 private:
  void finish(const Event& event, Piece& piece) {
    const std::string status = event.finish == FinishReason::length ? "incomplete" : "completed";
    close_item(status, piece);
    const Usage& usage = event.usage;
    usage_ = Json::object();
    usage_["input_tokens"] = usage.prompt_tokens;
    usage_["input_tokens_details"] = Json{{"cached_tokens", usage.cached_tokens}};
    usage_["output_tokens"] = usage.completion_tokens;
    usage_["output_tokens_details"] = Json{{"reasoning_tokens", reasoning_tokens_}};
    usage_["total_tokens"] = usage.prompt_tokens + usage.completion_tokens;
    if (!stream_) {
      piece.whole = HttpResponse{.body = to_text(response(status))};
      return;
    }
    send("response." + status, {{"response", response(status)}}, piece);
    piece.last = true;
  }

  // Before anything was sent a failure has its own status; afterwards it is the response's.
  void fail(const Error& error, Piece& piece) {
    if (!begun_) {
      piece.whole = error_response(form_.path, error);
      return;
    }
    Json body = response("failed");
    body["error"] = Json{{"code", "server_error"}, {"message", error.what()}};
    send("response.failed", {{"response", std::move(body)}}, piece);
    piece.last = true;
  }

  Json response(const std::string& status) const {
    Json body = Json::object();
    body["id"] = id_;
    body["object"] = "response";
    body["created_at"] = created_;
    body["status"] = status;
    body["error"] = nullptr;
    body["incomplete_details"] = status == "incomplete" ? Json{{"reason", "max_output_tokens"}} : Json();
    body.update(form_.known);
    body["output"] = output_;
    body["usage"] = usage_;
    return body;
  }

  int64_t index() const { return std::ssize(output_) - 1; }

  void open_item(Json item, Piece& piece) {
    close_item("completed", piece);
    output_.push_back(std::move(item));
    open_ = true;
    if (stream_) send("response.output_item.added", {{"output_index", index()}, {"item", output_.back()}}, piece);
  }

  // Where in the response a part of the open item is.
  Json place(bool content) const {
    Json place = Json::object();
    place["item_id"] = output_.back()["id"];
    place["output_index"] = index();
    if (content) place["content_index"] = 0;
    return place;
  }

  void send_at(std::string_view type, bool content, const Json& members, Piece& piece) {
    Json body = place(content);
    body.update(members);
    send(type, body, piece);
  }

  void close_item(const std::string& status, Piece& piece) {
    if (!std::exchange(open_, false)) return;
    Json& item = output_.back();
    item["status"] = status;
    const bool call = item["type"] == "function_call";
    if (!call) item["content"] = Json::array({part_});
    if (!stream_) return;
    if (!call) {
      const std::string name = part_["type"];
      Json done = Json{{"text", part_["text"]}};
      if (name == "output_text") done["logprobs"] = part_["logprobs"];
      send_at(fmt::format("response.{}.done", name), true, done, piece);
      send_at("response.content_part.done", true, {{"part", part_}}, piece);
    }
    send("response.output_item.done", {{"output_index", index()}, {"item", item}}, piece);
  }

  // Thoughts and text are items of their own, in the order in which they come.
  void add_text(const Event& event, Piece& piece) {
    const bool thought = event.kind == Event::Kind::reasoning;
    const std::string_view type = thought ? "reasoning" : "message";
    const std::string_view name = thought ? "reasoning_text" : "output_text";
    if (!open_ || output_.back()["type"] != type) {
      Json item = Json::object();
      item["id"] = fresh_id(thought ? "rs_" : "msg_");
      item["type"] = type;
      item["status"] = "in_progress";
      if (thought) item["summary"] = Json::array();
      if (!thought) item["role"] = "assistant";
      item["content"] = Json::array();
      open_item(std::move(item), piece);
      part_ = Json{{"type", name}, {"text", ""}};
      if (!thought) part_["annotations"] = Json::array();
      if (!thought) part_["logprobs"] = Json::array();
      if (stream_) send_at("response.content_part.added", true, {{"part", part_}}, piece);
    }
    part_["text"].get_ref<std::string&>() += event.text;
    const Json scores = form_.scores && !thought ? scores_of(*served_, event.logprobs) : Json::array();
    if (!scores.empty()) part_["logprobs"].insert(part_["logprobs"].end(), scores.begin(), scores.end());
    if (!stream_) return;
    Json delta = Json{{"delta", event.text}};
    if (!thought) delta["logprobs"] = scores;
    send_at(fmt::format("response.{}.delta", name), true, delta, piece);
  }

  // A call is known when it is complete: its arguments are one delta.
  void add_call(const Event& event, Piece& piece) {
    Json item = Json::object();
    item["id"] = fresh_id("fc_");
    item["type"] = "function_call";
    item["status"] = "in_progress";
    item["call_id"] = fresh_id("call_");
    item["name"] = event.tool;
    item["arguments"] = "";
    open_item(std::move(item), piece);
    output_.back()["arguments"] = event.text;
    if (stream_) {
      send_at("response.function_call_arguments.delta", false, {{"delta", event.text}}, piece);
      send_at("response.function_call_arguments.done", false, {{"name", event.tool}, {"arguments", event.text}}, piece);
    }
    close_item("completed", piece);
  }

  void send(std::string_view type, const Json& members, Piece& piece) {
    Json body = Json::object();
    body["type"] = type;
    body["sequence_number"] = sequence_++;
    body.update(members);
    piece.bytes += fmt::format("event: {}\ndata: {}\n\n", type, to_text(body));
  }

  const Served* served_;
  const ResponseForm form_;
  const bool stream_;
  const std::string id_ = fresh_id("resp_");
  const int64_t created_ = unix_time();
  Json output_ = Json::array();
  Json part_;  // of the open item
  Json usage_;
  bool open_ = false;
  bool begun_ = false;
  int64_t sequence_ = 0;
  int64_t reasoning_tokens_ = 0;
};

}  // namespace

std::unique_ptr<Writer> response_writer(const Served& served, ResponseForm form) {
  return std::make_unique<ResponseWriter>(served, std::move(form));
}

}  // namespace autoglm
