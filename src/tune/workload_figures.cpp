#include "tune/workload_figures.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "base/error.h"

namespace autoglm {
namespace {

nlohmann::json to_json(const Percentiles& values) {
  return {{"p50", values.p50}, {"p95", values.p95}, {"p99", values.p99}};
}

const nlohmann::json& need(const nlohmann::json& object, const char* key) {
  const auto found = object.find(key);
  if (found == object.end()) fail(Code::bad_file, fmt::format("a workload's figures lack '{}'", key));
  return *found;
}

double number(const nlohmann::json& object, const char* key) {
  const nlohmann::json& value = need(object, key);
  if (!value.is_number()) fail(Code::bad_file, fmt::format("'{}' is no number", key));
  return value.get<double>();
}

int64_t count(const nlohmann::json& object, const char* key) {
  constexpr double kMost = 9e15;
  const double value = number(object, key);
  if (!(value >= 0 && value <= kMost)) fail(Code::bad_file, fmt::format("'{}' is out of range", key));
  return static_cast<int64_t>(value);
}

Percentiles percentiles_of(const nlohmann::json& object, const char* key) {
  const nlohmann::json& values = need(object, key);
  if (!values.is_object()) fail(Code::bad_file, fmt::format("'{}' is no object", key));
  return {number(values, "p50"), number(values, "p95"), number(values, "p99")};
}

}  // namespace

Percentiles percentiles(std::vector<double> values) {
  if (values.empty()) return {};
  std::ranges::sort(values);
  const auto at = [&](double share) {
    const auto rank = static_cast<size_t>(std::ceil(share * static_cast<double>(values.size())));
    return values[std::clamp<size_t>(rank, 1, values.size()) - 1];
  };
  return {at(0.50), at(0.95), at(0.99)};
}

nlohmann::json to_json(const WorkloadFigures& f) {
  nlohmann::json object = {{"first_token_ms", to_json(f.first_token_ms)},
                           {"gap_ms", to_json(f.gap_ms)},
                           {"end_to_end_ms", to_json(f.end_to_end_ms)},
                           {"throughput_tps", f.throughput_tps},
                           {"requests_per_second", f.requests_per_second},
                           {"seconds", f.seconds},
                           {"requests", f.requests},
                           {"prompt_tokens", f.prompt_tokens},
                           {"cached_tokens", f.cached_tokens},
                           {"completion_tokens", f.completion_tokens},
                           {"drafted_tokens", f.drafted_tokens},
                           {"accepted_tokens", f.accepted_tokens},
                           {"preemptions", f.preemptions},
                           {"peak_rss_bytes", f.peak_rss_bytes},
                           {"anonymous_bytes", f.anonymous_bytes},
                           {"planned_bytes", f.planned_bytes},
                           {"answers_hash", f.answers_hash}};
  object["joules"] = f.joules ? nlohmann::json(*f.joules) : nlohmann::json(nullptr);
  return object;
}

WorkloadFigures workload_figures(std::string_view json) {
  const nlohmann::json object = nlohmann::json::parse(json, nullptr, false);
  if (!object.is_object()) fail(Code::bad_file, "a workload's figures are no JSON object");
  WorkloadFigures f;
  f.first_token_ms = percentiles_of(object, "first_token_ms");
  f.gap_ms = percentiles_of(object, "gap_ms");
  f.end_to_end_ms = percentiles_of(object, "end_to_end_ms");
  f.throughput_tps = number(object, "throughput_tps");
  f.requests_per_second = number(object, "requests_per_second");
  f.seconds = number(object, "seconds");
  f.requests = count(object, "requests");
  f.prompt_tokens = count(object, "prompt_tokens");
  f.cached_tokens = count(object, "cached_tokens");
  f.completion_tokens = count(object, "completion_tokens");
  f.drafted_tokens = count(object, "drafted_tokens");
  f.accepted_tokens = count(object, "accepted_tokens");
  f.preemptions = count(object, "preemptions");
  f.peak_rss_bytes = count(object, "peak_rss_bytes");
  f.anonymous_bytes = count(object, "anonymous_bytes");
  f.planned_bytes = count(object, "planned_bytes");
  const nlohmann::json& hash = need(object, "answers_hash");
  if (!hash.is_string()) fail(Code::bad_file, "'answers_hash' is no text");
  f.answers_hash = hash.get<std::string>();
  if (!need(object, "joules").is_null()) f.joules = number(object, "joules");
  return f;
}

double cost_of(const WorkloadFigures& figures, Goal goal) {
  // An empty run costs nothing; the least there is keeps ratios finite.
  constexpr double kLeast = 1e-9;
  if (goal == Goal::latency) return std::max(figures.end_to_end_ms.p50, kLeast);
  return std::max(1e3 / std::max(figures.throughput_tps, kLeast), kLeast);
}

}  // namespace autoglm
