// A request on its way through the engine: what is known of it, its sampler, and what its text has come to.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "engine/ngram_index.h"
#include "engine/pooler.h"
#include "engine/stop_matcher.h"
#include "text/grammar/matcher.h"
#include "text/tool_calls.h"

namespace autoglm {

struct Engine::Live {
  Live(RequestId id_in, Request request_in, EventSink sink_in, const Tokenizer& tokenizer, const ChatSpec* spec,
       int64_t vocabulary)
      : id(id_in),
        request(std::move(request_in)),
        sink(std::move(sink_in)),
        sampling(request.sampling, request.prompt, vocabulary),
        detokenizer(tokenizer, request.continues),
        stops(request.stop),
        reasoning(spec == nullptr ? std::string_view() : spec->reasoning_open,
                  spec == nullptr ? std::string_view() : spec->reasoning_close, request.reasoning),
        tokens(request.prompt) {
    if (request.grammar) matcher.emplace(request.grammar, request.continues);
    if (request.tools && spec != nullptr) calls.emplace(spec->tool_calls, *request.tools);
    if (!request.said.empty()) go_on();
  }

  /// Behind what the answer has said in the prompt.
  void go_on();

  /// What the answer says with this text more, as thoughts, text and calls; the last time with what was held back.
  std::vector<Event> tell(std::string_view text, bool at_end);

  /// What is likely to come next, if anything is: what the grammar leaves no choice about, else what followed when the
  /// text said the same before.
  void predict(const Tokenizer& tokenizer);
  bool predict_forced(const Tokenizer& tokenizer, int64_t room);
  int64_t allowed(int64_t count);

  Acceptance& predictor() { return forced ? forced_acceptance : acceptance; }

  int64_t sampled() const { return static_cast<int64_t>(tokens.size() - request.prompt.size()); }

  RequestId id;
  Request request;
  EventSink sink;
  SamplerState sampling;
  std::optional<GrammarMatcher> matcher;  // with a grammar: where in it the answer is
  Detokenizer detokenizer;
  StopMatcher stops;
  ReasoningSplitter reasoning;
  std::optional<ToolCallSplitter> calls;  // with tools
  bool told_call = false;
  std::vector<int32_t> tokens;  // prompt and answer
  int64_t most = 0;             // tokens that may be sampled
  SequenceId sequence = -1;     // -1: waits
  bool ended = false;
  Event pending;  // tokens whose text is still held back
  int64_t preemptions = 0;

  std::optional<NgramIndex> index;  // with speculation
  Acceptance acceptance, forced_acceptance;
  bool forced = false;                          // where the prediction is from
  std::array<int32_t, kMostDraft> predicted{};  // the tokens after the newest one
  int64_t predicted_count = 0;
  int64_t match_length = 0;
  int64_t drafted = 0;  // of the predicted tokens, how many are in the step's batch
  int64_t drafted_total = 0;
  int64_t accepted_total = 0;

  int64_t cached = 0;

  bool wants_scores() const { return !embeds() && request.prompt_logprobs && request.sampling.logprobs >= 0; }
  Event scores;  // of the prompt's tokens, so far
  bool scores_told = false;
  int64_t scored_rows = 0;  // of the step's batch

  bool embeds() const { return request.embed != Pooling::none; }
  std::optional<Pooler> pooler;  // of a request that embeds

  double submitted = 0;
  std::optional<double> started;  // to be computed
  double first = 0;               // token
  double last = 0;
};

}  // namespace autoglm
