#include "tune/server_facts.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/error.h"

namespace autoglm {
namespace {

int64_t count_of(std::string_view metrics, std::string_view name, std::string_view label = {}) {
  return static_cast<int64_t>(std::clamp(metric_sum(metrics, name, label), 0.0, 1e15));
}

using nlohmann::json;

constexpr size_t kStages = 6;
constexpr std::array<const char*, kStages> kStageNames = {"network", "prepare", "queue",
                                                          "prefill", "decode",  "serialization"};
constexpr size_t kPrefill = 3;
constexpr size_t kDecode = 4;
// One request out of so many is judged by the others; what it lost must be most of it, and worth a word.
constexpr size_t kLeastCompared = 4;
constexpr double kLostShare = 0.5;
constexpr double kLostSeconds = 0.1;
constexpr double kLostFactor = 3;

struct Ended {
  std::string id, route;
  double seconds = 0;
  std::array<double, kStages> stages{};
  std::array<double, kStages> units{};  // what a stage's time is proportional to
  int64_t preemptions = 0;
};

double number_of(const json& object, const char* key) {
  const auto it = object.find(key);
  const double value = it != object.end() && it->is_number() ? it->get<double>() : 0;
  return std::isfinite(value) ? std::clamp(value, 0.0, 1e12) : 0;
}

// Fit for a terminal, whoever wrote it.
std::string text_of(const json& object, const char* key) {
  const auto it = object.find(key);
  std::string text = it != object.end() && it->is_string() ? it->get<std::string>().substr(0, 64) : "";
  std::erase_if(text, [](char c) { return c <= ' ' || c > '~'; });
  return text;
}

// Those that were computed to their end.
std::vector<Ended> read_ended(std::string_view text) {
  std::vector<Ended> ended;
  const json body = json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!body.is_object() || !body.contains("requests") || !body["requests"].is_array()) return ended;
  for (const json& one : body["requests"]) {
    if (!one.is_object() || number_of(one, "status") != 200 || number_of(one, "choices") == 0) continue;
    const auto stages = one.find("stages_ms");
    if (stages == one.end() || !stages->is_object()) continue;
    Ended& request = ended.emplace_back();
    request.id = text_of(one, "id");
    request.route = text_of(one, "route");
    request.seconds = number_of(one, "ms") / 1e3;
    request.preemptions = static_cast<int64_t>(number_of(one, "preemptions"));
    request.units.fill(1);
    request.units[kPrefill] = std::max(1.0, number_of(one, "prompt_tokens") - number_of(one, "cached_tokens"));
    request.units[kDecode] = std::max(1.0, number_of(one, "completion_tokens"));
    for (size_t i = 0; i < kStages; ++i) request.stages[i] = number_of(*stages, kStageNames[i]) / 1e3;
  }
  return ended;
}

// Of all but one.
double median_rate(const std::vector<Ended>& ended, const Ended& but, size_t stage) {
  std::vector<double> rates;
  for (const Ended& one : ended) {
    if (&one != &but) rates.push_back(one.stages[stage] / one.units[stage]);
  }
  const auto middle = rates.begin() + std::ssize(rates) / 2;
  std::ranges::nth_element(rates, middle);
  return *middle;
}

}  // namespace

void read_request_facts(Facts& facts, std::string_view requests) {
  const std::vector<Ended> ended = read_ended(requests);
  if (ended.size() <= kLeastCompared) return;
  double most = 0;
  for (const Ended& one : ended) {
    for (size_t i = 0; i < kStages; ++i) {
      if (one.stages[i] < kLostSeconds || one.stages[i] <= most) continue;  // it cannot have lost more
      const double expected = median_rate(ended, one, i) * one.units[i];
      const double lost = one.stages[i] - expected;
      const bool slow =
          lost >= kLostSeconds && lost >= kLostShare * one.seconds && one.stages[i] >= kLostFactor * expected;
      if (!slow || lost <= most) continue;
      most = lost;
      facts.slow = SlowRequest{.id = one.id,
                               .route = one.route,
                               .stage = kStageNames[i],
                               .seconds = one.seconds,
                               .stage_seconds = one.stages[i],
                               .expected_seconds = expected,
                               .computed_tokens = static_cast<int64_t>(one.units[kPrefill]),
                               .answer_tokens = static_cast<int64_t>(one.units[kDecode]),
                               .preemptions = one.preemptions,
                               .compared = std::ssize(ended) - 1};
    }
  }
}

// A line: name{label="value",...} number
double metric_sum(std::string_view metrics, std::string_view name, std::string_view label) {
  double sum = 0;
  while (!metrics.empty()) {
    const std::string_view line = metrics.substr(0, metrics.find('\n'));
    metrics.remove_prefix(std::min(line.size() + 1, metrics.size()));
    if (!line.starts_with(name) || line.size() == name.size()) continue;
    const char next = line[name.size()];
    const size_t space = line.rfind(' ');
    if ((next != '{' && next != ' ') || space == std::string_view::npos) continue;
    if (!label.empty() && line.substr(0, space).find(label) == std::string_view::npos) continue;
    const std::string_view digits = line.substr(space + 1);
    double value = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    if (error == std::errc() && end == digits.data() + digits.size() && std::isfinite(value)) sum += value;
  }
  return sum;
}

void read_server_facts(Facts& facts, std::string_view metrics) {
  if (metrics.find("autoglm:batch_size_count") == std::string_view::npos) {
    fail(Code::bad_file, "this is not what an autoglm server says at /metrics", "give the address of `autoglm serve`");
  }
  ServerFacts server;
  server.requests = count_of(metrics, "vllm:e2e_request_latency_seconds_count");
  server.request_seconds = metric_sum(metrics, "vllm:e2e_request_latency_seconds_sum");
  server.queue_seconds = metric_sum(metrics, "vllm:request_queue_time_seconds_sum");
  server.prefill_seconds = metric_sum(metrics, "vllm:request_prefill_time_seconds_sum");
  server.decode_seconds = metric_sum(metrics, "vllm:request_decode_time_seconds_sum");
  const double steps = metric_sum(metrics, "autoglm:batch_size_count");
  server.batch = steps > 0 ? metric_sum(metrics, "autoglm:batch_size_sum") / steps : 0;
  server.preemptions = count_of(metrics, "vllm:num_preemptions_total");
  server.refused = count_of(metrics, "autoglm:requests_refused_total", "status=\"429\"");
  server.waiting = count_of(metrics, "vllm:num_requests_waiting");
  server.running = count_of(metrics, "vllm:num_requests_running");
  server.kv_share = metric_sum(metrics, "vllm:kv_cache_usage_perc");
  facts.server = server;

  ReuseFacts reuse;
  reuse.requests = count_of(metrics, "autoglm:prompts_watched_total");
  reuse.prompt_tokens = count_of(metrics, "autoglm:prompt_tokens_watched_total");
  reuse.cached_tokens = count_of(metrics, "autoglm:cached_prompt_tokens_total");
  reuse.same_start_tokens = count_of(metrics, "autoglm:prompt_tokens_same_start_total");
  reuse.repeated_tokens = count_of(metrics, "autoglm:prompt_tokens_repeated_total");
  reuse.evicted_blocks = count_of(metrics, "autoglm:prefix_cache_evicted_blocks_total");
  reuse.prefix_cache = server.requests == 0 || metric_sum(metrics, "vllm:prefix_cache_queries_total") > 0;
  reuse.persist = metric_sum(metrics, "autoglm:kv_disk_blocks_total", "event=\"written\"") > 0;
  facts.reuse = reuse;
}

}  // namespace autoglm
