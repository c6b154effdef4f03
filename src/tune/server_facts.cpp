#include "tune/server_facts.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "base/error.h"

namespace autoglm {
namespace {

int64_t count_of(std::string_view metrics, std::string_view name, std::string_view label = {}) {
  return static_cast<int64_t>(std::clamp(metric_sum(metrics, name, label), 0.0, 1e15));
}

}  // namespace

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
