// Traces: the caller's context, the standard's variables, what is queued, sent, dropped. What the body says is decoded
// by opentelemetry-proto in otlp_test.py.
#include "server/traces.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "base/protobuf.h"

#include "server/test_server.h"
#include "support/errors.h"

namespace autoglm {
namespace {

using test::Client;
using test::ServerSetup;
using test::TestServer;
using testing::HasSubstr;

constexpr const char* kParent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

TEST(TraceParent, TheStandardsExample) {
  const auto parent = parse_traceparent(kParent);
  ASSERT_TRUE(parent);
  EXPECT_EQ(hex(parent->trace.data(), 16), "0af7651916cd43dd8448eb211c80319c");
  EXPECT_EQ(hex(parent->span.data(), 8), "b7ad6b7169203331");
  EXPECT_TRUE(parent->sampled);
  EXPECT_FALSE(parse_traceparent("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00")->sampled);
  EXPECT_TRUE(parse_traceparent("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-03")->sampled);
  EXPECT_TRUE(parse_traceparent("cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-what-comes-later")->sampled);
}

TEST(TraceParent, WhatIsMalformedIsNone) {
  for (const char* bad : {"", "00", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
                          "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
                          "00-00000000000000000000000000000000-b7ad6b7169203331-01",
                          "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
                          "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
                          "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0x",
                          "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
                          "cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01x",
                          "00_0af7651916cd43dd8448eb211c80319c_b7ad6b7169203331_01"}) {
    EXPECT_FALSE(parse_traceparent(bad)) << bad;
  }
}

std::map<std::string, std::string>& environment() {
  static std::map<std::string, std::string> variables;
  return variables;
}

TraceOptions options_of(const std::string& endpoint, const std::map<std::string, std::string>& variables) {
  environment() = variables;
  return trace_options(endpoint, [](const char* name) -> const char* {
    const auto found = environment().find(name);
    return found == environment().end() ? nullptr : found->second.c_str();
  });
}

TEST(TraceOptions, WhereTheyGo) {
  EXPECT_EQ(options_of("", {}).url, "");
  EXPECT_EQ(options_of("http://c:4318", {}).url, "http://c:4318/v1/traces");
  EXPECT_EQ(options_of("http://c:4318/v1/traces", {}).url, "http://c:4318/v1/traces");
  EXPECT_EQ(options_of("", {{"OTEL_EXPORTER_OTLP_ENDPOINT", "http://e:1/otlp/"}}).url, "http://e:1/otlp/v1/traces");
  const std::map<std::string, std::string> both = {{"OTEL_EXPORTER_OTLP_ENDPOINT", "http://e:1"},
                                                   {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://t:2/as/it/is"}};
  EXPECT_EQ(options_of("", both).url, "http://t:2/as/it/is");
  EXPECT_EQ(options_of("http://c:4318", both).url, "http://c:4318/v1/traces");
  EXPECT_EQ(options_of("", {{"OTEL_EXPORTER_OTLP_ENDPOINT", "http://e:1"}, {"OTEL_SDK_DISABLED", "true"}}).url, "");
}

TEST(TraceOptions, TheOtherVariables) {
  const TraceOptions options =
      options_of("http://c", {{"OTEL_EXPORTER_OTLP_HEADERS", "api-key=a%20b, x=y=z"},
                              {"OTEL_RESOURCE_ATTRIBUTES", "service.name=other,deployment.environment=test"},
                              {"OTEL_TRACES_SAMPLER", "traceidratio"},
                              {"OTEL_TRACES_SAMPLER_ARG", "0.25"},
                              {"OTEL_BSP_SCHEDULE_DELAY", "100"}});
  using Pairs = std::vector<std::pair<std::string, std::string>>;
  EXPECT_EQ(options.headers, (Pairs{{"api-key", "a b"}, {"x", "y=z"}}));
  EXPECT_EQ(options.service_name, "other");
  EXPECT_EQ(options.resource, (Pairs{{"deployment.environment", "test"}}));
  EXPECT_EQ(options.sample_ratio, 0.25);
  EXPECT_FALSE(options.follow_parent);
  EXPECT_EQ(options.delay_seconds, 0.1);
  EXPECT_EQ(options_of("http://c", {{"OTEL_SERVICE_NAME", "mine"}}).service_name, "mine");
  EXPECT_TRUE(options_of("http://c", {}).follow_parent);
  EXPECT_EQ(options_of("http://c", {{"OTEL_TRACES_SAMPLER", "parentbased_always_off"}}).sample_ratio, 0);
}

TEST(TraceOptions, WhatCannotBeHonouredIsRefused) {
  EXPECT_ERROR(options_of("collector:4317", {}), Code::bad_flag, "'collector:4317/v1/traces'");
  EXPECT_ERROR(
      options_of("", {{"OTEL_EXPORTER_OTLP_ENDPOINT", "http://e:4317"}, {"OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"}}),
      Code::bad_flag, "grpc");
}

HttpRequest request(const std::string& traceparent = "") {
  HttpRequest request;
  request.method = "POST";
  request.path = "/v1/completions";
  if (!traceparent.empty()) request.headers.emplace_back("traceparent", traceparent);
  return request;
}

HttpOutcome outcome() {
  HttpOutcome outcome{.status = 200};
  outcome.record.times = {.arrived = 1, .read = 2, .done = 3, .sent = 4};
  return outcome;
}

/// Nobody listens, and nothing is sent before the end.
TraceOptions nowhere() { return {.url = "http://127.0.0.1:1/v1/traces", .queue = 2, .delay_seconds = 1000}; }

TEST(TraceExporter, TheCallerDecides) {
  TraceExporter traces(nowhere());
  EXPECT_EQ(traces.ended(request(kParent), outcome()), "0af7651916cd43dd8448eb211c80319c");
  EXPECT_EQ(traces.ended(request("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"), outcome()), "");
  const std::string own = traces.ended(request("malformed"), outcome());
  EXPECT_EQ(own.size(), 32u);
  EXPECT_NE(own, traces.ended(request(), outcome()));
}

TEST(TraceExporter, WhatWatchesTheServerIsNotTraced) {
  TraceExporter traces(nowhere());
  for (const char* path : {"/health", "/metrics", "/debug/requests"}) {
    HttpRequest watching = request(kParent);
    watching.path = path;
    EXPECT_EQ(traces.ended(watching, outcome()), "") << path;
  }
}

TEST(TraceExporter, WithoutAnEndpointThereAreNone) {
  TraceExporter traces({});
  EXPECT_EQ(traces.ended(request(kParent), outcome()), "");
}

TEST(TraceExporter, ARatioOfTheTracesThatBeginHere) {
  TraceOptions options = nowhere();
  options.sample_ratio = 0.25;
  TraceExporter traces(options);
  int sampled = 0;
  for (int i = 0; i < 4000; ++i) sampled += traces.ended(request(), outcome()).empty() ? 0 : 1;
  EXPECT_NEAR(sampled, 1000, 150);  // five standard deviations
  EXPECT_FALSE(traces.ended(request(kParent), outcome()).empty());
}

TEST(TraceExporter, AFullQueueDropsAndCounts) {
  TraceExporter traces(nowhere());
  ASSERT_EQ(span_count({.outcome = outcome()}), 4);  // the root, network, prepare, serialization
  for (int i = 0; i < 5; ++i) traces.ended(request(), outcome());
  EXPECT_EQ(traces.dropped_spans(), 3 * 4);
}

TEST(TraceExporter, TheServersMetricsCountThem) {
  ServerSetup setup;
  setup.server.traces = nowhere();
  TestServer server(std::move(setup));
  Client client = server.client();
  for (int i = 0; i < 3; ++i) client.get("/v1/models");  // the root and `network`; two fit
  EXPECT_THAT(client.get("/metrics").body, HasSubstr("autoglm:trace_spans_dropped_total{model_name=\"default\"} 2\n"));
}

TEST(TraceReply, PartialSuccessAndErrors) {
  ProtoWriter partial;
  partial.integer(1, 3);
  partial.text(2, "too\nold");
  ProtoWriter reply;
  reply.message(1, partial);
  const TraceReply read = read_trace_reply(200, reply.bytes());
  EXPECT_EQ(read.rejected, 3);
  EXPECT_EQ(read.message, "too old");  // a line of a log stays one
  ProtoWriter status;
  status.number(1, 8);
  status.text(2, std::string(1000, 'x'));
  EXPECT_EQ(read_trace_reply(429, status.bytes()).message, std::string(300, 'x'));
  EXPECT_EQ(read_trace_reply(200, "").rejected, 0);
  EXPECT_EQ(read_trace_reply(200, "{\"partialSuccess\":{}}").message, "");
  EXPECT_EQ(read_trace_reply(503, "Service Unavailable").message, "");
}

}  // namespace
}  // namespace autoglm
