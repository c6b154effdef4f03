// The last requests, for the timeline of the web page: ids, times and counts. Never what was asked or answered.
#pragma once

#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "base/trace_events.h"
#include "server/exchange.h"

namespace autoglm {

/// Used by one thread: the network's.
class RequestLog {
 public:
  static constexpr size_t kMost = 256;

  /// A request whose body has been read.
  void began(const std::shared_ptr<Exchange>& exchange);
  /// Of any request; those that never began are not kept.
  void ended(const HttpRequest& request, const HttpOutcome& outcome);

  /// GET /debug/requests?limit=N, the newest first:
  /// {"requests": [{"number", "id", "route", "client", "received" (Unix seconds), "running", "status", "streamed",
  ///   "bytes", "ms", "stages_ms": {"network", ...}, "choices", "prompt_tokens", "cached_tokens", "completion_tokens",
  ///   "preemptions", "finish_reason"}]}
  HttpResponse response(std::string_view query) const;
  /// The stages of the same requests; of those that run, up to now.
  std::vector<TraceTrack> tracks() const;

 private:
  struct Entry {
    int64_t number = 0;  // counts up, from 1
    std::string id;
    std::string route;
    std::string client;
    double received = 0;  // Unix time
    std::weak_ptr<Exchange> exchange;
    HttpOutcome outcome{};  // status 0: it is being answered
  };
  static RequestRecord record_of(const Entry& entry);
  static std::string text_of(const Entry& entry);

  std::deque<Entry> entries_;  // the newest last
  int64_t count_ = 0;
};

}  // namespace autoglm
