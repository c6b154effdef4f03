#include "server/metrics.h"

#include <prometheus/counter.h>
#include <prometheus/family.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <map>
#include <mutex>
#include <vector>

namespace autoglm {
namespace {

using Buckets = prometheus::Histogram::BucketBoundaries;
using Labels = prometheus::Labels;

const Buckets& short_times() {
  static const Buckets buckets = {0.0005, 0.001, 0.0025, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.025, 0.03, 0.04,
                                  0.05,   0.075, 0.1,    0.15,  0.2,    0.3,  0.4,   0.5,  0.75,  1,    2.5};
  return buckets;
}

const Buckets& long_times() {
  static const Buckets buckets = {0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.15, 0.25, 0.35, 0.5,
                                  0.75,  1,     1.5,  2.5,  5,    7.5,  10,   20,  40,   80,   160,  640};
  return buckets;
}

const Buckets& amounts() {
  static const Buckets buckets = {1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 20000, 50000};
  return buckets;
}

const Buckets& batch_sizes() {
  static const Buckets buckets = {1, 2, 4, 8, 12, 16, 24, 32, 48, 64, 96, 128};
  return buckets;
}

}  // namespace

struct Metrics::State {
  explicit State(const std::string& model_name) : model{{"model_name", model_name}} {}

  prometheus::Histogram& histogram(const char* name, const char* help, const Buckets& buckets) {
    return prometheus::BuildHistogram().Name(name).Help(help).Register(registry).Add(model, buckets);
  }
  prometheus::Family<prometheus::Counter>& counters(const char* name, const char* help) {
    return prometheus::BuildCounter().Name(name).Help(help).Register(registry);
  }
  prometheus::Counter& counter(const char* name, const char* help) { return counters(name, help).Add(model); }
  prometheus::Gauge& gauge(const char* name, const char* help) {
    return prometheus::BuildGauge().Name(name).Help(help).Register(registry).Add(model);
  }
  Labels with(const char* key, const std::string& value) const {
    Labels labels = model;
    labels[key] = value;
    return labels;
  }

  prometheus::Registry registry;
  Labels model;

  prometheus::Histogram& first =
      histogram("vllm:time_to_first_token_seconds", "From a request's arrival to its first token", long_times());
  prometheus::Histogram& gap =
      histogram("vllm:inter_token_latency_seconds", "Between two tokens of an answer", short_times());
  prometheus::Histogram& whole =
      histogram("vllm:e2e_request_latency_seconds", "From a request's arrival to its end", long_times());
  prometheus::Histogram& queue =
      histogram("vllm:request_queue_time_seconds", "Until a request began to be computed", long_times());
  prometheus::Histogram& prefill =
      histogram("vllm:request_prefill_time_seconds", "From there to the first token", long_times());
  prometheus::Histogram& decode =
      histogram("vllm:request_decode_time_seconds", "From the first token to the last", long_times());
  prometheus::Histogram& prompt = histogram("vllm:request_prompt_tokens", "Tokens of a prompt", amounts());
  prometheus::Histogram& answer = histogram("vllm:request_generation_tokens", "Tokens of an answer", amounts());
  prometheus::Histogram& step_tokens = histogram("vllm:iteration_tokens_total", "Tokens of a step", amounts());
  prometheus::Histogram& step_time = histogram("autoglm:step_seconds", "What a step took", short_times());
  prometheus::Histogram& batch = histogram("autoglm:batch_size", "Requests of a step", batch_sizes());

  prometheus::Counter& prompt_tokens = counter("vllm:prompt_tokens_total", "Tokens of prompts");
  prometheus::Counter& answer_tokens = counter("vllm:generation_tokens_total", "Tokens sampled");
  prometheus::Counter& cached_tokens =
      counter("autoglm:cached_prompt_tokens_total", "Tokens of prompts that were not computed again");
  prometheus::Counter& preemptions = counter("vllm:num_preemptions_total", "Requests set back when blocks ran out");
  prometheus::Counter& drafted = counter("vllm:spec_decode_num_draft_tokens_total", "Tokens computed ahead");
  prometheus::Counter& accepted =
      counter("vllm:spec_decode_num_accepted_tokens_total", "Of those, which the answer took");
  prometheus::Counter& cancelled = counter("autoglm:requests_cancelled_total", "Requests whose client went away");
  prometheus::Counter& queried = counter("vllm:prefix_cache_queries_total", "Tokens looked up in the prefix cache");
  prometheus::Counter& hit = counter("vllm:prefix_cache_hits_total", "Of those, which were there");
  prometheus::Family<prometheus::Counter>& finished = counters("vllm:request_success_total", "Requests by their end");
  prometheus::Family<prometheus::Counter>& refusals =
      counters("autoglm:requests_refused_total", "Requests that the engine never saw, by status");
  prometheus::Family<prometheus::Counter>& answers = counters("autoglm:http_requests_total", "Answers by status");

  prometheus::Gauge& running = gauge("vllm:num_requests_running", "Requests that are computed");
  prometheus::Gauge& waiting = gauge("vllm:num_requests_waiting", "Requests that wait");
  prometheus::Gauge& cache_use = gauge("vllm:kv_cache_usage_perc", "KV blocks in use; 1 is all");
  prometheus::Gauge& backlog = gauge("autoglm:backlog_seconds", "Predicted time of prompts not yet computed");
  prometheus::Gauge& connections = gauge("autoglm:connections", "Open connections");

  std::mutex mutex;  // text() alone
  CacheStats told;
};

Metrics::Metrics(const std::string& model_name) : state_(std::make_unique<State>(model_name)) {}
Metrics::~Metrics() = default;

void Metrics::first_token(double seconds) { state_->first.Observe(seconds); }
void Metrics::gap(double seconds) { state_->gap.Observe(seconds); }

void Metrics::ended(FinishReason reason, const Usage& usage, double seconds) {
  State& s = *state_;
  s.finished.Add(s.with("finished_reason", reason == FinishReason::cancelled ? "abort" : std::string(name(reason))))
      .Increment();
  if (reason == FinishReason::cancelled) s.cancelled.Increment();
  s.prompt_tokens.Increment(static_cast<double>(usage.prompt_tokens));
  s.answer_tokens.Increment(static_cast<double>(usage.completion_tokens));
  s.cached_tokens.Increment(static_cast<double>(usage.cached_tokens));
  s.preemptions.Increment(static_cast<double>(usage.preemptions));
  s.drafted.Increment(static_cast<double>(usage.drafted_tokens));
  s.accepted.Increment(static_cast<double>(usage.accepted_tokens));
  if (reason != FinishReason::stop && reason != FinishReason::length) return;
  s.whole.Observe(seconds);
  s.queue.Observe(usage.queue_ms / 1e3);
  s.prefill.Observe(usage.prefill_ms / 1e3);
  s.decode.Observe(usage.decode_ms / 1e3);
  s.prompt.Observe(static_cast<double>(usage.prompt_tokens));
  s.answer.Observe(static_cast<double>(usage.completion_tokens));
}

void Metrics::refused(int status) { state_->refusals.Add(state_->with("status", std::to_string(status))).Increment(); }

void Metrics::answered(int status) { state_->answers.Add(state_->with("status", std::to_string(status))).Increment(); }

void Metrics::step(const StepReport& report) {
  state_->step_time.Observe(report.seconds);
  state_->batch.Observe(static_cast<double>(report.requests));
  state_->step_tokens.Observe(static_cast<double>(report.shape.prefill_rows + report.shape.decode_rows));
}

std::string Metrics::text(const EngineStatus& status, int64_t inside, int64_t connections) {
  State& s = *state_;
  const std::scoped_lock lock(s.mutex);
  s.running.Set(static_cast<double>(status.running));
  // Those that are still on their way to the engine wait too.
  s.waiting.Set(static_cast<double>(std::max(status.waiting, inside - status.running)));
  const auto blocks = static_cast<double>(std::max<int64_t>(1, status.blocks));
  s.cache_use.Set(1 - static_cast<double>(status.free_blocks) / blocks);
  s.backlog.Set(status.backlog_seconds);
  s.connections.Set(static_cast<double>(connections));
  s.queried.Increment(static_cast<double>(status.cache.looked_up_tokens - s.told.looked_up_tokens));
  s.hit.Increment(static_cast<double>(status.cache.hit_tokens - s.told.hit_tokens));
  s.told = status.cache;
  return prometheus::TextSerializer().Serialize(s.registry.Collect());
}

}  // namespace autoglm
