#include "server/traces.h"

#include <fmt/format.h>
#include <pthread.h>

#include <algorithm>
#include <charconv>
#include <cstring>

#include "base/error.h"
#include "base/http_client.h"
#include "base/log.h"
#include "base/priority.h"

namespace autoglm {
namespace {

constexpr double kLastWords = 2;    // seconds for what is queued when the server ends
constexpr int kMostAttempts = 5;    // of a batch
constexpr double kMostPause = 30;   // seconds between two of them
constexpr size_t kMostState = 512;  // characters of tracestate that are passed on
constexpr double kAgain = 600;      // seconds until a warning is said again

int64_t unix_offset_ns() {
  using std::chrono::duration_cast;
  using std::chrono::nanoseconds;
  const auto unix_time = std::chrono::system_clock::now().time_since_epoch();
  const auto steady_time = std::chrono::steady_clock::now().time_since_epoch();
  return duration_cast<nanoseconds>(unix_time).count() - duration_cast<nanoseconds>(steady_time).count();
}

bool is_asked_all_the_time(std::string_view path) {
  return path == "/health" || path == "/metrics" || path.starts_with("/debug/");
}

}  // namespace

TraceExporter::TraceExporter(TraceOptions options) : options_(std::move(options)), random_(std::random_device()()) {
  if (enabled()) thread_ = std::thread([this] { loop(); });
}

TraceExporter::~TraceExporter() {
  if (!thread_.joinable()) return;
  {
    const std::scoped_lock lock(mutex_);
    stopping_ = true;
    stopped_at_ = steady_seconds();
  }
  changed_.notify_one();
  thread_.join();
}

void TraceExporter::fill(std::span<uint8_t> id) {
  for (size_t i = 0; i < id.size(); i += 8) {
    const uint64_t word = random_() | 1;  // zeros would be no id
    std::memcpy(id.data() + i, &word, std::min<size_t>(8, id.size() - i));
  }
}

// As OpenTelemetry's TraceIdRatioBased: every service that has the trace decides alike.
bool TraceExporter::wanted(const TraceId& trace) const {
  if (options_.sample_ratio >= 1) return true;
  uint64_t value = 0;
  for (size_t i = 8; i < trace.size(); ++i) value = value << 8 | trace[i];
  return static_cast<double>(value) < options_.sample_ratio * 0x1p64;
}

std::string TraceExporter::ended(const HttpRequest& request, const HttpOutcome& outcome) {
  if (!enabled() || is_asked_all_the_time(request.path)) return {};
  TracedRequest traced;
  const auto parent = parse_traceparent(request.header("traceparent"));
  if (parent) {
    traced.trace = parent->trace;
    traced.parent = parent->span;
    const std::string_view state = request.header("tracestate");
    if (state.size() <= kMostState) traced.state = state;
  } else {
    fill(traced.trace);
  }
  if (parent && options_.follow_parent ? !parent->sampled : !wanted(traced.trace)) return {};
  fill(traced.root);
  traced.method = request.method.substr(0, 32);
  traced.path = request.path.substr(0, 256);
  traced.id = request.id;
  traced.remote = request.remote;
  traced.client = request.client;
  traced.outcome = outcome;
  traced.unix_offset_ns = unix_offset_ns();
  std::string id = hex(traced.trace.data(), traced.trace.size());
  size_t queued = 0;
  {
    const std::scoped_lock lock(mutex_);
    if (queue_.size() >= options_.queue) {
      dropped_.fetch_add(span_count(traced), std::memory_order_relaxed);
      return id;
    }
    queue_.push_back(std::move(traced));
    queued = queue_.size();
  }
  if (queued == 1 || queued == options_.batch) changed_.notify_one();
  return id;
}

void TraceExporter::loop() {
  ::pthread_setname_np(::pthread_self(), "autoglm-traces");
  be_nice(10);
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
    changed_.wait_for(lock, std::chrono::duration<double>(options_.delay_seconds),
                      [this] { return stopping_ || queue_.size() >= options_.batch; });
    if (queue_.empty()) return;  // only when stopping
    std::vector<TracedRequest> batch;
    while (!queue_.empty() && batch.size() < options_.batch) {
      batch.push_back(std::move(queue_.front()));
      queue_.pop_front();
    }
    lock.unlock();
    send(batch);
    lock.lock();
  }
}

bool TraceExporter::must_end() {
  const std::scoped_lock lock(mutex_);
  return stopping_ && steady_seconds() > stopped_at_ + kLastWords;
}

// A collector that is busy, or away for a moment, is asked again; meanwhile the queue fills up and then drops.
void TraceExporter::send(const std::vector<TracedRequest>& requests) {
  int64_t spans = 0;
  for (const TracedRequest& request : requests) spans += span_count(request);
  const std::string body = otlp_body(options_, requests);
  double next_pause = 1;
  for (int attempt = 0; attempt < kMostAttempts; ++attempt) {
    double pause = next_pause;
    int64_t rejected = 0;
    if (post(body, pause, rejected)) {
      rejected = std::clamp<int64_t>(rejected, 0, spans);
      sent_.fetch_add(spans - rejected, std::memory_order_relaxed);
      dropped_.fetch_add(rejected, std::memory_order_relaxed);
      return;
    }
    if (pause < 0) break;
    next_pause *= 2;
    std::unique_lock lock(mutex_);
    if (changed_.wait_for(lock, std::chrono::duration<double>(std::min(pause, kMostPause)),
                          [this] { return stopping_; })) {
      break;
    }
  }
  dropped_.fetch_add(spans, std::memory_order_relaxed);
}

// The same words come with every batch for as long as nobody mends it.
void TraceExporter::warn(const std::string& what) {
  const double now = steady_seconds();
  if (what == said_ && now < said_at_ + kAgain) return;
  said_ = what;
  said_at_ = now;
  log(LogLevel::warn, what);
}

/// Whether it was taken, but for `rejected` spans. `pause`: seconds until it is worth another try, as the collector has
/// it; negative: never.
bool TraceExporter::post(const std::string& body, double& pause, int64_t& rejected) {
  HttpCall call{.method = "POST", .url = options_.url, .headers = options_.headers, .body = body};
  call.headers.emplace_back("Content-Type", "application/x-protobuf");
  call.seconds = options_.timeout_seconds;
  call.given_up = [this] { return must_end(); };
  try {
    const HttpReply reply = http_call(call);
    const TraceReply said = read_trace_reply(reply.status, reply.body);
    if (reply.status >= 200 && reply.status < 300) {
      rejected = said.rejected;
      if (rejected != 0) {
        warn(fmt::format("the collector of traces rejects spans: {}", said.message));
      } else if (!said.message.empty()) {
        warn(fmt::format("the collector of traces: {}", said.message));
      }
      return true;
    }
    warn(fmt::format("the collector of traces answers {}{}{}", reply.status, said.message.empty() ? "" : ": ",
                     said.message));
    const bool later = reply.status == 429 || (reply.status >= 502 && reply.status <= 504);
    const std::string_view after = reply.header("retry-after");
    if (later) {
      std::from_chars(after.data(), after.data() + after.size(), pause);
    } else {
      pause = -1;
    }
  } catch (const Error& error) {
    warn(fmt::format("traces: {}", error.what()));
  }
  return false;
}

}  // namespace autoglm
