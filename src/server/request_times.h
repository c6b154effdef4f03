// When what happened to a request, from its first byte to the last byte of its answer. Spans of traces, the timeline of
// the web page and histograms all come from this one record.
#pragma once

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <string_view>

namespace autoglm {

/// Seconds of the steady clock; 0: has not happened, or never will.
struct RequestTimes {
  double arrived = 0;      // first byte
  double read = 0;         // the body is whole
  double taken = 0;        // by the helper
  double prepared = 0;     // the helper is done: JSON, template, tokens
  double submitted = 0;    // the engine has it: its own queue begins
  double started = 0;      // its first row is computed
  double first_token = 0;  // of any of its choices
  double done = 0;         // the last token, or whatever else ended it
  double sent = 0;         // the last byte of the answer; its client went away
};

/// A request as those who look at it afterwards see it. Counts are sums over its choices.
struct RequestRecord {
  RequestTimes times;
  int64_t choices = 0;
  int64_t prompt_tokens = 0;
  int64_t cached_tokens = 0;
  int64_t completion_tokens = 0;
  int64_t preemptions = 0;
  std::string_view finish{};  // of the choice that ended last: "stop", "length", "error", "cancelled"
};

inline double steady_seconds(std::chrono::steady_clock::time_point time = std::chrono::steady_clock::now()) {
  return std::chrono::duration<double>(time.time_since_epoch()).count();
}

struct Stage {
  std::string_view name;
  double begin = 0;
  double end = 0;
};

/// network (the request arrives), prepare (waits for the helper, JSON, tokens), queue, prefill, decode, serialization
/// (the rest of the answer is worded and sent). They tile [arrived, sent]: each begins where the one before it ends,
/// and one that was not reached has no length. Whatever ended the request ended the stage that it was in.
inline std::array<Stage, 6> stages_of(const RequestTimes& times) {
  const double end = std::max(times.sent, times.arrived);
  const double done = times.done > 0 ? times.done : end;
  const double borders[] = {times.read, times.prepared, times.started, times.first_token, times.done};
  std::array<Stage, 6> stages{{{"network"}, {"prepare"}, {"queue"}, {"prefill"}, {"decode"}, {"serialization"}}};
  double at = times.arrived;
  for (size_t i = 0; i + 1 < stages.size(); ++i) {
    const double border = borders[i] > 0 ? borders[i] : done;
    stages[i].begin = at;
    stages[i].end = at = std::clamp(border, at, end);
  }
  stages.back().begin = at;
  stages.back().end = end;
  return stages;
}

}  // namespace autoglm
