// Where traces go, as OpenTelemetry's standard variables say it
// (https://opentelemetry.io/docs/specs/otel/protocol/exporter and .../configuration/sdk-environment-variables).
#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "base/error.h"
#include "base/http_client.h"
#include "server/traces.h"

namespace autoglm {
namespace {

using Getter = const char* (*)(const char* name);

std::string read(Getter get, const char* name) {
  const char* value = get(name);
  return value == nullptr ? "" : value;
}

/// The variable of traces alone, or the one of all signals.
std::string read_signal(Getter get, const std::string& name) {
  std::string value = read(get, ("OTEL_EXPORTER_OTLP_TRACES_" + name).c_str());
  return value.empty() ? read(get, ("OTEL_EXPORTER_OTLP_" + name).c_str()) : value;
}

// "a=1,b=two%20words"
std::vector<std::pair<std::string, std::string>> pairs(std::string_view text) {
  std::vector<std::pair<std::string, std::string>> found;
  const auto trimmed = [](std::string_view part) {
    const size_t begin = std::min(part.find_first_not_of(' '), part.size());
    part.remove_prefix(begin);
    return std::string(part.substr(0, part.find_last_not_of(' ') + 1));
  };
  while (!text.empty()) {
    const size_t end = std::min(text.find(','), text.size());
    const std::string_view part = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    const size_t equals = part.find('=');
    if (equals == std::string_view::npos) continue;
    found.emplace_back(percent_decoded(trimmed(part.substr(0, equals))),
                       percent_decoded(trimmed(part.substr(equals + 1))));
  }
  return found;
}

double number(Getter get, const char* name, double otherwise) {
  const std::string text = read(get, name);
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size() && value >= 0 ? value : otherwise;
}

std::string find_url(const std::string& endpoint, Getter get) {
  constexpr std::string_view kPath = "/v1/traces";
  std::string url = endpoint;
  if (url.empty()) {
    url = read(get, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT");  // taken as it is
    if (!url.empty()) return url;
    url = read(get, "OTEL_EXPORTER_OTLP_ENDPOINT");
  }
  if (url.empty() || url.ends_with(kPath)) return url;
  while (url.ends_with('/')) url.pop_back();
  return url + std::string(kPath);
}

void read_sampler(TraceOptions& options, Getter get) {
  std::string sampler = read(get, "OTEL_TRACES_SAMPLER");
  constexpr std::string_view kParent = "parentbased_";
  options.follow_parent = sampler.empty() || sampler.starts_with(kParent);
  if (sampler.starts_with(kParent)) sampler.erase(0, kParent.size());
  if (sampler == "always_off") options.sample_ratio = 0;
  if (sampler == "traceidratio") options.sample_ratio = std::min(1.0, number(get, "OTEL_TRACES_SAMPLER_ARG", 1));
}

}  // namespace

TraceOptions trace_options(const std::string& endpoint, Getter get) {
  TraceOptions options;
  const bool disabled = read(get, "OTEL_SDK_DISABLED") == "true" || read(get, "OTEL_TRACES_EXPORTER") == "none";
  if (endpoint.empty() && disabled) return options;
  options.url = find_url(endpoint, get);
  if (options.url.empty()) return options;
  if (!parse_http_url(options.url)) {
    fail(Code::bad_flag, fmt::format("traces cannot be sent to '{}'", options.url),
         "give the collector's OTLP/HTTP address, such as http://127.0.0.1:4318, to --otlp-endpoint");
  }
  const std::string protocol = read_signal(get, "PROTOCOL");
  if (endpoint.empty() && !protocol.empty() && protocol != "http/protobuf") {
    fail(Code::bad_flag,
         fmt::format("traces are sent as http/protobuf; OTEL_EXPORTER_OTLP_PROTOCOL asks for {}", protocol),
         "give --otlp-endpoint the collector's OTLP/HTTP address (port 4318, as a rule)");
  }
  options.headers = pairs(read_signal(get, "HEADERS"));
  options.resource = pairs(read(get, "OTEL_RESOURCE_ATTRIBUTES"));
  std::string name = read(get, "OTEL_SERVICE_NAME");
  const auto given = std::ranges::find(options.resource, "service.name", &std::pair<std::string, std::string>::first);
  if (given != options.resource.end()) {
    if (name.empty()) name = given->second;
    options.resource.erase(given);
  }
  if (!name.empty()) options.service_name = name;
  read_sampler(options, get);
  options.delay_seconds = number(get, "OTEL_BSP_SCHEDULE_DELAY", 5000) / 1e3;
  options.queue = static_cast<size_t>(std::clamp(number(get, "OTEL_BSP_MAX_QUEUE_SIZE", 2048), 1.0, 1e6));
  options.batch = static_cast<size_t>(
      std::clamp(number(get, "OTEL_BSP_MAX_EXPORT_BATCH_SIZE", 512), 1.0, static_cast<double>(options.queue)));
  options.timeout_seconds = std::clamp(number(get, "OTEL_EXPORTER_OTLP_TIMEOUT", 10000) / 1e3, 0.01, 600.0);
  return options;
}

}  // namespace autoglm
