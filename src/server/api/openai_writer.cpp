#include "server/api/openai_writer.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <random>
#include <utility>

#include "text/utf8.h"

namespace autoglm {

std::string fresh_id(std::string_view prefix) {
  thread_local std::mt19937_64 random{std::random_device{}()};
  return fmt::format("{}{:016x}{:08x}", prefix, random(), random() & 0xFFFFFFFFU);
}

int64_t unix_time() {
  return std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch()).count();
}

std::string_view openai_finish(FinishReason reason) { return reason == FinishReason::length ? "length" : "stop"; }

std::string token_text(const Served& served, int32_t token) {
  return utf8::lossy(served.tokenizer->piece(token, true));
}

namespace {

Json score(const Served& served, const TokenLogprob& one) {
  Json bytes = Json::array();
  for (const char c : served.tokenizer->piece(one.token, true)) bytes.push_back(static_cast<unsigned char>(c));
  Json body = Json::object();
  body["token"] = token_text(served, one.token);
  body["logprob"] = one.logprob;
  body["bytes"] = std::move(bytes);
  return body;
}

}  // namespace

Json scores_of(const Served& served, const std::vector<std::vector<TokenLogprob>>& rows) {
  Json scores = Json::array();
  for (const std::vector<TokenLogprob>& row : rows) {
    Json token = score(served, row.front());
    token["top_logprobs"] = Json::array();
    for (size_t i = 1; i < row.size(); ++i) token["top_logprobs"].push_back(score(served, row[i]));
    scores.push_back(std::move(token));
  }
  return scores;
}

void drop_end(const Served& served, Event& event) {
  const std::vector<int32_t>& ends = served.chat->ends;
  if (event.tokens.empty() || !std::binary_search(ends.begin(), ends.end(), event.tokens.back())) return;
  event.tokens.pop_back();
  if (event.logprobs.size() > event.tokens.size()) event.logprobs.pop_back();
}

OpenAiWriter::OpenAiWriter(const Served& served, Form form, size_t choices)
    : served_(&served), form_(std::move(form)), choices_(choices), open_(choices) {}

Json OpenAiWriter::head(std::string_view object) const {
  Json body = Json::object();
  body["id"] = form_.id;
  body["object"] = object;
  body["created"] = form_.created;
  body["model"] = form_.model;
  body["system_fingerprint"] = "autoglm-" + served_->version;
  return body;
}

void OpenAiWriter::count(int index, const Usage& usage) {
  completion_tokens_ += usage.completion_tokens;
  if (index % form_.choices_per_prompt != 0) return;
  prompt_tokens_ += usage.prompt_tokens;
  cached_tokens_ += usage.cached_tokens;
}

Json OpenAiWriter::usage() const {
  Json body = Json::object();
  body["prompt_tokens"] = prompt_tokens_;
  body["completion_tokens"] = completion_tokens_;
  body["total_tokens"] = prompt_tokens_ + completion_tokens_;
  body["prompt_tokens_details"] = Json{{"cached_tokens", cached_tokens_}};
  body["completion_tokens_details"] = Json{{"reasoning_tokens", reasoning_tokens_}};
  return body;
}

void OpenAiWriter::send(const Json& chunk, Piece& piece) const {
  piece.bytes += "data: ";
  piece.bytes += to_text(chunk);
  piece.bytes += "\n\n";
}

// The part that is the same in all chunks is worded once: this is done for every token.
void OpenAiWriter::send_delta(const Json& delta, Piece& piece) {
  if (chunk_head_.empty()) {
    chunk_head_ = "data: " + to_text(head(form_.chunk_object));
    chunk_head_.back() = ',';  // was the object's closing brace
    chunk_head_ += "\"choices\":[";
  }
  piece.bytes += chunk_head_;
  piece.bytes += to_text(delta);
  piece.bytes += form_.include_usage ? "],\"usage\":null}\n\n" : "]}\n\n";
}

// Before anything was sent a failure has its own status; afterwards it is the stream's last event.
void OpenAiWriter::fail(const Error& error, Piece& piece) {
  if (!begun_ || !form_.stream) {
    piece.bytes.clear();
    piece.whole = error_response(form_.path, error);
    return;
  }
  send(openai_error_body(error), piece);
  piece.bytes += "data: [DONE]\n\n";
  piece.last = true;
}

void OpenAiWriter::take(Happening&& happening, Piece& piece) {
  Event& event = happening.event;
  Choice& one = choice(happening.choice);
  const bool finish = event.kind == Event::Kind::finish;
  if (event.error) return fail(*event.error, piece);
  if (finish && event.finish == FinishReason::cancelled) {
    return fail(Error(Code::cancelled, "the request was cancelled"), piece);
  }
  if (event.kind == Event::Kind::reasoning) reasoning_tokens_ += std::ssize(event.tokens);
  if (event.kind != Event::Kind::prompt && !form_.ignore_eos) drop_end(*served_, event);
  std::ranges::move(event.tokens, std::back_inserter(one.scored.tokens));
  std::ranges::move(event.logprobs, std::back_inserter(one.scored.logprobs));
  if (finish) {
    one.finish = event.finish;
    count(happening.choice, event.usage);
  }
  if (form_.stream) {
    begun_ = true;
    send_delta(delta(happening.choice, one, event), piece);
  } else if (event.kind == Event::Kind::tool_call) {
    add_call(one, event);
  } else {
    (event.kind == Event::Kind::reasoning ? one.reasoning : one.text) += event.text;
  }
  if (!finish || --open_ > 0) return;
  if (form_.stream) {
    if (form_.include_usage) {
      Json chunk = head(form_.chunk_object);
      chunk["choices"] = Json::array();
      chunk["usage"] = usage();
      send(chunk, piece);
    }
    piece.bytes += "data: [DONE]\n\n";
    piece.last = true;
    return;
  }
  Json body = head(form_.object);
  body["choices"] = Json::array();
  for (size_t i = 0; i < choices_.size(); ++i) {
    body["choices"].push_back(whole(static_cast<int>(i), choices_[i]));
  }
  body["usage"] = usage();
  piece.whole = HttpResponse{.status = 200, .body = to_text(body)};
}

}  // namespace autoglm
