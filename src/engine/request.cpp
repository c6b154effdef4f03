#include "engine/request.h"

#include <fmt/format.h>

#include <cmath>

namespace autoglm {
namespace {

void in_range(const char* what, double value, double low, double high) {
  if (value >= low && value <= high) return;  // false for NaN too
  fail(Code::bad_request, fmt::format("{} is {}, outside its range", what, value),
       fmt::format("{} takes a number from {} to {}", what, low, high));
}

}  // namespace

void check(const SamplingParams& params, int64_t vocabulary) {
  in_range("temperature", params.temperature, 0, 100);
  in_range("top_k", params.top_k, 0, 1 << 30);
  in_range("top_p", params.top_p, 1e-6, 1);
  in_range("min_p", params.min_p, 0, 1);
  in_range("repetition_penalty", params.repetition_penalty, 0.01, 100);
  in_range("presence_penalty", params.presence_penalty, -2, 2);
  in_range("frequency_penalty", params.frequency_penalty, -2, 2);
  in_range("logprobs", params.logprobs, -1, 100);
  for (const auto& [token, bias] : params.logit_bias) {
    in_range("logit_bias", bias, -100, 100);
    if (token < 0 || token >= vocabulary) {
      fail(Code::bad_request, fmt::format("logit_bias names token {}, outside the vocabulary", token),
           fmt::format("token ids go from 0 to {}", vocabulary - 1));
    }
  }
}

std::string_view name(FinishReason reason) {
  switch (reason) {
    case FinishReason::none:
      return "none";
    case FinishReason::stop:
      return "stop";
    case FinishReason::length:
      return "length";
    case FinishReason::error:
      return "error";
    case FinishReason::cancelled:
      return "cancelled";
  }
  return "none";
}

}  // namespace autoglm
