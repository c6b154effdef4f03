#include "base/trace_events.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <limits>

namespace autoglm {
namespace {

double first_of(std::span<const TraceTrack> tracks) {
  double first = std::numeric_limits<double>::max();
  for (const TraceTrack& track : tracks) {
    for (const TraceSpan& span : track.spans) first = std::min(first, span.begin);
  }
  return first;
}

}  // namespace

TraceTrack track_of(const ZoneClock& clock, double seconds) {
  TraceTrack track{.group = "threads", .name = std::string(clock.thread())};
  for (const ZoneSpan& span : clock.spans(seconds)) {
    if (span.zone != Zone::idle) track.spans.push_back({name(span.zone), span.begin, span.end});
  }
  return track;
}

// Format: "Trace Event Format" of the Chromium project: "X" is a span with its length, "M" names a process or thread.
std::string trace_events_json(std::span<const TraceTrack> tracks) {
  const double first = first_of(tracks);
  std::vector<std::string_view> groups;
  std::string json = R"({"displayTimeUnit":"ms","traceEvents":[)";
  const auto out = std::back_inserter(json);
  std::string_view comma;
  for (size_t number = 0; number < tracks.size(); ++number) {
    const TraceTrack& track = tracks[number];
    const auto known = std::ranges::find(groups, track.group);
    const auto process = known - groups.begin() + 1;
    if (known == groups.end()) {
      groups.push_back(track.group);
      fmt::format_to(out, R"({}{{"ph":"M","name":"process_name","pid":{},"args":{{"name":"{}"}}}})", comma, process,
                     track.group);
      comma = ",\n";
    }
    fmt::format_to(out, R"({}{{"ph":"M","name":"thread_name","pid":{},"tid":{},"args":{{"name":"{}"}}}})", comma,
                   process, number + 1, track.name);
    for (const TraceSpan& span : track.spans) {
      fmt::format_to(out, R"({}{{"ph":"X","name":"{}","pid":{},"tid":{},"ts":{:.3f},"dur":{:.3f}}})", comma, span.name,
                     process, number + 1, 1e6 * (span.begin - first), 1e6 * (span.end - span.begin));
    }
  }
  return json + "]}\n";
}

}  // namespace autoglm
