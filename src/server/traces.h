// OpenTelemetry traces over OTLP/HTTP: a root span a request and one for each stage that it went through, sent in
// batches by a thread of its own. Whoever serves only puts a record into a bounded queue.
#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <random>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "server/http_message.h"
#include "server/trace_context.h"

namespace autoglm {

struct TraceOptions {
  std::string url{};  // ".../v1/traces"; empty: no traces
  std::vector<std::pair<std::string, std::string>> headers{};
  std::string service_name = "autoglm";
  std::string service_version{};
  std::vector<std::pair<std::string, std::string>> resource{};  // more attributes
  double sample_ratio = 1;                                      // of the traces that begin here
  bool follow_parent = true;                                    // a caller that samples, or does not, decides
  size_t queue = 2048;                                          // requests; more are dropped
  size_t batch = 512;
  double delay_seconds = 5;  // between batches
  double timeout_seconds = 10;
};

/// The standard variables OTEL_* over `endpoint`, the setting, which goes before them; `get` reads the environment.
/// Errors: bad_flag for an endpoint that is no http(s) URL and for a protocol other than http/protobuf.
TraceOptions trace_options(const std::string& endpoint, const char* (*get)(const char* name));

/// A request, as its spans need it.
struct TracedRequest {
  TraceId trace{};
  SpanId root{};
  SpanId parent{};      // zeros: none
  std::string state{};  // of the caller's vendors, passed on
  std::string method{};
  std::string path{};
  std::string id{};
  std::string remote{};
  std::string client{};
  HttpOutcome outcome{};
  int64_t unix_offset_ns = 0;  // Unix time less steady time
};

/// The body of an export: spans of these requests, as ExportTraceServiceRequest of opentelemetry-proto 1.x.
std::string otlp_body(const TraceOptions& options, const std::vector<TracedRequest>& requests);

/// What a collector says of an export that it took, or of one that it did not.
struct TraceReply {
  int64_t rejected = 0;  // spans
  std::string message{};
};
/// ExportTraceServiceResponse; of an error, google.rpc.Status. Whatever else it is says nothing. The message is cut,
/// and fit for a log line.
TraceReply read_trace_reply(int status, std::string_view body);

/// Spans that a request has.
int64_t span_count(const TracedRequest& request);

class TraceExporter {
 public:
  /// Starts its thread if there is somewhere to send to, before a pool pins the calling one.
  explicit TraceExporter(TraceOptions options);
  /// What is queued is sent, if the collector takes it within two seconds.
  ~TraceExporter();
  TraceExporter(const TraceExporter&) = delete;
  TraceExporter& operator=(const TraceExporter&) = delete;

  /// The trace's id if the request is traced, else empty. Never waits for the network. From one thread.
  std::string ended(const HttpRequest& request, const HttpOutcome& outcome);
  bool enabled() const { return !options_.url.empty(); }
  int64_t sent_spans() const { return sent_.load(std::memory_order_relaxed); }
  int64_t dropped_spans() const { return dropped_.load(std::memory_order_relaxed); }

 private:
  bool wanted(const TraceId& trace) const;
  void fill(std::span<uint8_t> id);
  void loop();
  void send(const std::vector<TracedRequest>& requests);
  bool post(const std::string& body, double& pause, int64_t& rejected);
  void warn(const std::string& what);
  bool must_end();

  const TraceOptions options_;
  std::mt19937_64 random_;  // ids
  std::atomic<int64_t> sent_{0};
  std::atomic<int64_t> dropped_{0};

  std::mutex mutex_;  // guards what follows
  std::condition_variable changed_;
  std::deque<TracedRequest> queue_;
  bool stopping_ = false;
  double stopped_at_ = 0;
  std::string said_;  // the last warning, and when: the thread's own
  double said_at_ = 0;
  std::thread thread_;
};

}  // namespace autoglm
