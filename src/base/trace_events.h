// Spans of time as Chrome's trace-event JSON, which Perfetto (ui.perfetto.dev), speedscope and chrome://tracing read.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/zone.h"

namespace autoglm {

/// Names are our own words: they are written as they are.
struct TraceSpan {
  std::string_view name;
  double begin = 0;  // seconds of the steady clock
  double end = 0;
};

/// A line of the picture. Tracks of one group stand together.
struct TraceTrack {
  std::string group;
  std::string name;
  std::vector<TraceSpan> spans{};
};

/// A thread's last `seconds`, without those in which it was idle.
TraceTrack track_of(const ZoneClock& clock, double seconds);

/// {"traceEvents": [...]}, times in microseconds since the first span.
std::string trace_events_json(std::span<const TraceTrack> tracks);

}  // namespace autoglm
