// What OpenAI's two completion APIs share when they answer: ids, streams of events, usage, failures.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "server/api/api.h"
#include "server/api/errors.h"
#include "server/api/fields.h"

namespace autoglm {

/// Tokens with their probabilities, since they were last written.
struct ScoredTokens {
  std::vector<int32_t> tokens;
  std::vector<std::vector<TokenLogprob>> logprobs;
};

/// What a token prints, any of them; invalid UTF-8 is replaced.
std::string token_text(const Served& served, int32_t token);

/// {"token", "logprob", "bytes", "top_logprobs"} of each row: the chosen one comes first in it, then the best.
Json scores_of(const Served& served, const std::vector<std::vector<TokenLogprob>>& rows);

/// Without the token that ends an answer: what comes behind its text.
void drop_end(const Served& served, Event& event);

class OpenAiWriter : public Writer {
 public:
  struct Form {
    std::string path;    // of the request, for the form of errors
    std::string id;      // "chatcmpl-..."
    std::string object;  // of the whole answer; a stream's chunks add to it
    std::string chunk_object;
    std::string model;  // as the client named it
    int64_t created = 0;
    bool stream = false;
    bool include_usage = false;
    bool ignore_eos = false;         // tokens that end other answers are a part of this one
    int64_t choices_per_prompt = 1;  // a prompt counts once in `usage`
  };
  OpenAiWriter(const Served& served, Form form, size_t choices);

  std::string_view content_type() const override { return "text/event-stream"; }
  bool streams() const final { return form_.stream; }
  void take(Happening&& happening, Piece& piece) final;

 protected:
  struct Choice {
    std::string text;
    std::string reasoning;
    std::vector<Json> calls;
    ScoredTokens scored;  // not yet written
    bool opened = false;  // of a stream: its first chunk was written
    FinishReason finish = FinishReason::none;
  };
  /// A stream's chunk for an event of a choice; `delta` becomes "choices": [it].
  virtual Json delta(int index, Choice& choice, const Event& event) = 0;
  /// A call of a tool, of a whole answer.
  virtual void add_call(Choice& choice, const Event& event) = 0;
  /// A choice of the whole answer.
  virtual Json whole(int index, Choice& choice) = 0;

  const Served& served() const { return *served_; }
  bool stream() const { return form_.stream; }
  Choice& choice(int index) { return choices_.at(static_cast<size_t>(index)); }

 private:
  Json head(std::string_view object) const;
  void send_delta(const Json& delta, Piece& piece);
  Json usage() const;
  void count(int index, const Usage& usage);
  void fail(const Error& error, Piece& piece);
  void send(const Json& chunk, Piece& piece) const;

  const Served* served_;
  Form form_;
  std::vector<Choice> choices_;
  size_t open_;
  int64_t prompt_tokens_ = 0;
  int64_t cached_tokens_ = 0;
  int64_t completion_tokens_ = 0;
  int64_t reasoning_tokens_ = 0;
  std::string chunk_head_;  // of a stream: every chunk up to its choices
  bool begun_ = false;
};

/// "chatcmpl-" and 24 letters that no other answer has.
std::string fresh_id(std::string_view prefix);
int64_t unix_time();

/// "stop", "length"; whoever cancels is not there to read.
std::string_view openai_finish(FinishReason reason);

}  // namespace autoglm
