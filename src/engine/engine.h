// Requests in, events out: continuous batching over one model.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "model/model.h"
#include "text/chat_spec.h"
#include "text/tokenizer.h"

namespace autoglm {

/// Checked by check(): a value outside its range is Error bad_request that names it.
struct SamplingParams {
  float temperature = 0.7f;         // 0: greedy
  int top_k = 0;                    // 0: off
  float top_p = 0.95f;
  float min_p = 0.0f;
  float repetition_penalty = 1.0f;
  float presence_penalty = 0.0f;
  float frequency_penalty = 0.0f;
  std::map<int32_t, float> logit_bias;
  uint64_t seed = 0;                // 0: chosen from the system, and reported
  int logprobs = -1;                // -1: none; k: the chosen token's and the k best
};

struct Request {
  std::vector<int32_t> prompt;
  SamplingParams sampling;
  int64_t max_tokens = -1;          // -1: until the context is full
  std::vector<std::string> stop;    // strings; matched across token borders, never printed
  bool ignore_eos = false;
};

enum class FinishReason : uint8_t { none, stop, length, error, cancelled };

struct TokenLogprob {
  int32_t token = 0;
  float logprob = 0.0f;
};

/// One happening in a request's life, in order. `text` never ends in half a UTF-8 character and never holds a part of a
/// stop string.
struct Event {
  enum class Kind : uint8_t { text, reasoning, finish } kind = Kind::text;
  std::string text;
  std::vector<int32_t> tokens;                          // that this event covers
  std::vector<std::vector<TokenLogprob>> logprobs;      // a row a token: the chosen one first, then the best
  FinishReason finish = FinishReason::none;
  std::optional<Error> error;
};

using RequestId = int64_t;

}  // namespace autoglm
