// What a caller asks of the engine, and what it hears back.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"

namespace autoglm {

class TokenGrammar;
class ToolSet;

/// Checked by check(): a value outside its range is Error bad_request that names it.
struct SamplingParams {
  float temperature = 0.7f;         // 0: greedy
  int top_k = 0;                    // 0: off
  float top_p = 0.95f;              // 1: off
  float min_p = 0.0f;               // 0: off
  float repetition_penalty = 1.0f;  // over prompt and answer; 1: off
  float presence_penalty = 0.0f;    // over the answer
  float frequency_penalty = 0.0f;   // over the answer
  std::map<int32_t, float> logit_bias;
  uint64_t seed = 0;  // 0: chosen from the system, and reported
  int logprobs = -1;  // -1: none; k: the chosen token's and the k best
};

void check(const SamplingParams& params, int64_t vocabulary);

/// Where an answer's reasoning begins: nowhere (raw text), with the mark if it comes first, or in the prompt already.
enum class ReasoningStart : uint8_t { none, at_mark, open };

/// Seconds; 0: none. A request that passes one ends with Error deadline_exceeded.
struct Deadlines {
  double queue = 0;    // until it begins to be computed
  double prefill = 0;  // until its first token, the queue included
  double decode = 0;   // from the first token to the last
};

/// How the final hidden states of a text's tokens become its embedding; none: there is no embedding.
enum class Pooling : uint8_t { none, mean, first, last };

struct Request {
  std::vector<int32_t> prompt;
  /// Not none: no token is sampled; an event tells the prompt's embedding, then the request ends with "stop".
  Pooling embed = Pooling::none;
  SamplingParams sampling;
  int64_t max_tokens = -1;        // -1: until the context is full
  std::vector<std::string> stop;  // strings; matched across token borders, never printed
  bool ignore_eos = false;
  /// What the answer's text must look like (text/grammar); null: anything. One that ends for length is cut, and its
  /// finish says so. Made for the model's vocabulary, else bad_request.
  std::shared_ptr<TokenGrammar> grammar;
  bool prompt_logprobs = false;  // with sampling.logprobs: the prompt's own tokens too, in an event before all others
  /// Tools that the answer may call, in its family's form (text/tool_calls.h); null: everything is text.
  std::shared_ptr<const ToolSet> tools;
  bool one_call = false;                            // the answer ends behind its first call
  ReasoningStart reasoning = ReasoningStart::none;  // before `said`
  /// The answer goes on in the middle of a text: a space at its beginning is a part of it, whatever the tokenizer does
  /// with spaces at the beginning of texts.
  bool continues = false;
  /// The end of the prompt, where the answer has begun there: thoughts, calls and `grammar` go on behind it. It is told
  /// to nobody again, but for what it has of a call that the answer completes. bad_request if the grammar forbids it.
  std::string said{};
  std::string client;     // requests of one client (an API key) share one client's part of the machine; empty: nobody's
  Deadlines deadlines{};  // where 0, the engine's own
  std::function<void()> when_started{};  // on the engine's thread, once, before its first row; must not throw
};

enum class FinishReason : uint8_t { none, stop, length, error, cancelled };

/// "stop", "length", "error", "cancelled".
std::string_view name(FinishReason reason);

struct TokenLogprob {
  int32_t token = 0;
  float logprob = 0.0f;  // NaN for a prompt's first token: nothing came before it
};

/// A request in numbers, given with its finish.
struct Usage {
  int64_t prompt_tokens = 0;
  int64_t cached_tokens = 0;      // of the prompt, those that were computed for another request before
  int64_t completion_tokens = 0;  // every token sampled, the end token included
  uint64_t seed = 0;              // the one that was used
  double queue_ms = 0.0;          // until its first row was computed
  double prefill_ms = 0.0;        // from there to the first token
  double decode_ms = 0.0;         // from the first token to the last
  int64_t preemptions = 0;
  int64_t drafted_tokens = 0;   // computed ahead by speculation
  int64_t accepted_tokens = 0;  // of those, which the answer took
  std::string stop{};           // the stop string that ended it, if one did
};

/// One happening in a request's life, in order. `text` never ends in half a UTF-8 character and never holds a part of a
/// stop string. The texts of one kind put together are the whole answer; a tool call comes whole, when it is complete.
/// `prompt` has the prompt's tokens and logprobs, `embedding` what Request::embed asks for.
struct Event {
  enum class Kind : uint8_t { text, reasoning, tool_call, prompt, embedding, finish } kind = Kind::text;
  std::string text;                                 // of a tool call: its arguments, a JSON object
  std::string tool;                                 // its name
  std::vector<int32_t> tokens;                      // sampled since the event before
  std::vector<std::vector<TokenLogprob>> logprobs;  // a row a token: the chosen one first, then the best
  std::vector<float> embedding;                     // [hidden], as it was pooled: of any length
  FinishReason finish = FinishReason::none;
  std::optional<Error> error;
  Usage usage;  // with finish
};

using RequestId = int64_t;

/// Called on the engine's thread. One that throws ends its own request and no other.
using EventSink = std::function<void(const Event&)>;

}  // namespace autoglm
