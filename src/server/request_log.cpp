#include "server/request_log.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "server/api/fields.h"

namespace autoglm {
namespace {

size_t limit_of(std::string_view query) {
  constexpr std::string_view kLimit = "limit=";
  size_t limit = RequestLog::kMost;
  const size_t at = query.find(kLimit);
  if (at == std::string_view::npos) return limit;
  std::from_chars(query.data() + at + kLimit.size(), query.data() + query.size(), limit);
  return std::min(limit, RequestLog::kMost);
}

std::string json_text(std::string_view text) { return to_text(Json(std::string(text))); }

}  // namespace

void RequestLog::began(const std::shared_ptr<Exchange>& exchange) {
  const HttpRequest& request = exchange->request();
  const double unix_now = std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
  entries_.push_back({.number = ++count_,
                      .id = request.id,
                      .route = request.path,
                      .client = request.client,
                      .received = unix_now - (steady_seconds() - steady_seconds(request.received)),
                      .exchange = exchange});
  if (entries_.size() > kMost) entries_.pop_front();
}

void RequestLog::ended(const HttpRequest& request, const HttpOutcome& outcome) {
  for (auto entry = entries_.rbegin(); entry != entries_.rend(); ++entry) {
    const std::shared_ptr<Exchange> exchange = entry->exchange.lock();
    if (exchange == nullptr || &exchange->request() != &request) continue;
    entry->outcome = outcome;
    return;
  }
}

RequestRecord RequestLog::record_of(const Entry& entry) {
  const std::shared_ptr<Exchange> exchange = entry.exchange.lock();
  RequestRecord record = entry.outcome.record;
  // The engine may tell how a request ended after its client has left.
  if (exchange != nullptr) record = exchange->record();
  record.times.sent = entry.outcome.status == 0 ? steady_seconds() : entry.outcome.record.times.sent;
  return record;
}

std::string RequestLog::text_of(const Entry& entry) {
  const bool running = entry.outcome.status == 0;
  const RequestRecord record = record_of(entry);
  std::string stages;
  for (const Stage& stage : stages_of(record.times)) {
    stages += fmt::format("{}\"{}\":{:.3f}", stages.empty() ? "" : ",", stage.name, 1e3 * (stage.end - stage.begin));
  }
  return fmt::format(
      R"({{"number":{},"id":{},"route":{},"client":{},"received":{:.3f},"running":{},"status":{},"streamed":{},)"
      R"("bytes":{},"ms":{:.3f},"stages_ms":{{{}}},"choices":{},"prompt_tokens":{},"cached_tokens":{},)"
      R"("completion_tokens":{},"preemptions":{},"finish_reason":{}}})",
      entry.number, json_text(entry.id), json_text(entry.route), json_text(entry.client), entry.received, running,
      entry.outcome.status, entry.outcome.streamed, entry.outcome.bytes,
      1e3 * (record.times.sent - record.times.arrived), stages, record.choices, record.prompt_tokens,
      record.cached_tokens, record.completion_tokens, record.preemptions,
      record.finish.empty() ? "null" : json_text(record.finish));
}

std::vector<TraceTrack> RequestLog::tracks() const {
  std::vector<TraceTrack> tracks;
  for (const Entry& entry : entries_) {
    TraceTrack track{.group = "requests", .name = fmt::format("{} {}", entry.number, entry.route)};
    for (const Stage& stage : stages_of(record_of(entry).times)) {
      if (stage.end > stage.begin) track.spans.push_back({stage.name, stage.begin, stage.end});
    }
    tracks.push_back(std::move(track));
  }
  return tracks;
}

HttpResponse RequestLog::response(std::string_view query) const {
  std::string body = R"({"requests":[)";
  const size_t wanted = std::min(limit_of(query), entries_.size());
  for (size_t i = 0; i < wanted; ++i) {
    if (i > 0) body += ',';
    body += text_of(entries_[entries_.size() - 1 - i]);
  }
  body += "]}";
  HttpResponse response;
  response.body = std::move(body);
  response.headers = {{"Cache-Control", "no-store"}};
  return response;
}

}  // namespace autoglm
