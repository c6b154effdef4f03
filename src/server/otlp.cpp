// Spans as opentelemetry-proto's messages. Field numbers: opentelemetry/proto/trace/v1/trace.proto and common.proto.
#include <cmath>

#include "base/protobuf.h"
#include "base/protobuf_reader.h"
#include "server/traces.h"

namespace autoglm {
namespace {

enum SpanKind : uint8_t { kInternal = 1, kServer = 2 };
constexpr uint32_t kSampled = 0x001;  // Span.flags: W3C's, and whether the parent is in another process
constexpr uint32_t kKnowsRemote = 0x100;
constexpr uint32_t kIsRemote = 0x200;

template <size_t kSize>
std::string_view bytes(const std::array<uint8_t, kSize>& id) {
  return {reinterpret_cast<const char*>(id.data()), id.size()};
}

void add_attribute(ProtoWriter& to, int field, std::string_view key, const ProtoWriter& value) {
  ProtoWriter pair;
  pair.text(1, key);
  pair.message(2, value);
  to.message(field, pair);
}

void add(ProtoWriter& to, int field, std::string_view key, std::string_view value) {
  ProtoWriter any;
  any.put_text(1, value);
  add_attribute(to, field, key, any);
}

void add(ProtoWriter& to, int field, std::string_view key, int64_t value) {
  ProtoWriter any;
  any.put_number(3, static_cast<uint64_t>(value));
  add_attribute(to, field, key, any);
}

bool reached(const Stage& stage) { return stage.end > stage.begin; }

SpanId child_of(const SpanId& root, size_t number) {
  SpanId id = root;
  id.back() ^= static_cast<uint8_t>(number + 1);
  return id;
}

class Encoder {
 public:
  Encoder(const TracedRequest& request, ProtoWriter& spans) : request_(request), spans_(spans) {}

  void write() {
    const RequestTimes& times = request_.outcome.record.times;
    constexpr SpanId kNone{};
    const uint32_t remote = request_.parent == kNone ? 0 : kIsRemote;
    ProtoWriter root = span(request_.root, request_.parent, request_.method + " " + request_.path, kServer,
                            {.name = {}, .begin = times.arrived, .end = times.sent});
    describe(root);
    root.fixed32(16, kSampled | kKnowsRemote | remote);
    spans_.message(2, root);
    const auto stages = stages_of(times);
    for (size_t i = 0; i < stages.size(); ++i) {
      if (!reached(stages[i])) continue;
      ProtoWriter stage =
          span(child_of(request_.root, i), request_.root, std::string(stages[i].name), kInternal, stages[i]);
      stage.fixed32(16, kSampled | kKnowsRemote);
      spans_.message(2, stage);
    }
  }

 private:
  uint64_t unix_ns(double steady) const {
    return static_cast<uint64_t>(std::llround(steady * 1e9) + request_.unix_offset_ns);
  }

  ProtoWriter span(const SpanId& id, const SpanId& parent, const std::string& name, SpanKind kind,
                   const Stage& stage) const {
    constexpr SpanId kNone{};
    ProtoWriter out;
    out.text(1, bytes(request_.trace));
    out.text(2, bytes(id));
    out.text(3, request_.state);
    if (parent != kNone) out.text(4, bytes(parent));
    out.text(5, name);
    out.number(6, kind);
    out.fixed64(7, unix_ns(stage.begin));
    out.fixed64(8, unix_ns(stage.end));
    return out;
  }

  // Names of OpenTelemetry's semantic conventions (http.*, url.*, gen_ai.*) where they have one.
  void describe(ProtoWriter& span) const {
    constexpr int kField = 9;
    const HttpOutcome& outcome = request_.outcome;
    const RequestRecord& record = outcome.record;
    add(span, kField, "http.request.method", request_.method);
    add(span, kField, "url.path", request_.path);
    add(span, kField, "client.address", request_.remote);
    add(span, kField, "http.response.status_code", outcome.status);
    add(span, kField, "http.response.body.size", static_cast<int64_t>(outcome.bytes));
    add(span, kField, "autoglm.request_id", request_.id);
    if (!request_.client.empty()) add(span, kField, "autoglm.client", request_.client);
    if (record.choices > 0) {
      add(span, kField, "gen_ai.usage.input_tokens", record.prompt_tokens);
      add(span, kField, "gen_ai.usage.output_tokens", record.completion_tokens);
      add(span, kField, "autoglm.cached_tokens", record.cached_tokens);
      add(span, kField, "autoglm.preemptions", record.preemptions);
      add(span, kField, "autoglm.choices", record.choices);
      add(span, kField, "autoglm.finish_reason", record.finish);
    }
    if (outcome.status < 500) return;
    ProtoWriter status;
    status.number(3, 2);  // error
    span.message(15, status);
  }

  const TracedRequest& request_;
  ProtoWriter& spans_;
};

}  // namespace

int64_t span_count(const TracedRequest& request) {
  int64_t count = 1;
  for (const Stage& stage : stages_of(request.outcome.record.times)) count += reached(stage) ? 1 : 0;
  return count;
}

// opentelemetry/proto/collector/trace/v1/trace_service.proto: partial_success = 1 {rejected_spans = 1,
// error_message = 2}. google/rpc/status.proto: message = 2.
TraceReply read_trace_reply(int status, std::string_view body) {
  constexpr size_t kMost = 300;
  TraceReply reply;
  const auto read_message = [&reply](std::string_view text) {
    reply.message = text.substr(0, kMost);
    for (char& c : reply.message) {
      if (static_cast<unsigned char>(c) < ' ' || c == 127) c = ' ';
    }
  };
  ProtoReader outer(body);
  while (outer.next()) {
    if (status >= 300) {
      if (outer.is_text(2)) read_message(outer.text());
      continue;
    }
    if (!outer.is_text(1)) continue;
    ProtoReader partial(outer.text());
    while (partial.next()) {
      if (partial.is_number(1)) reply.rejected = static_cast<int64_t>(partial.number());
      if (partial.is_text(2)) read_message(partial.text());
    }
  }
  return reply;
}

std::string otlp_body(const TraceOptions& options, const std::vector<TracedRequest>& requests) {
  ProtoWriter scope;
  scope.text(1, "autoglm.server");
  scope.text(2, options.service_version);
  ProtoWriter spans;
  spans.message(1, scope);
  for (const TracedRequest& request : requests) Encoder(request, spans).write();
  ProtoWriter resource;
  add(resource, 1, "service.name", options.service_name);
  if (!options.service_version.empty()) add(resource, 1, "service.version", options.service_version);
  add(resource, 1, "telemetry.sdk.language", "cpp");
  for (const auto& [key, value] : options.resource) add(resource, 1, key, value);
  ProtoWriter of_resource;
  of_resource.message(1, resource);
  of_resource.message(2, spans);
  ProtoWriter body;
  body.message(1, of_resource);
  return body.take();
}

}  // namespace autoglm
