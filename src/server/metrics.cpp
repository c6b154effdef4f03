#include "server/metrics.h"

#include <prometheus/counter.h>
#include <prometheus/family.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <array>
#include <map>
#include <mutex>
#include <set>
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
  prometheus::Histogram& inference =
      histogram("vllm:request_inference_time_seconds", "Prefill and decode together", long_times());
  prometheus::Histogram& token_time = histogram("vllm:request_time_per_output_token_seconds",
                                                "Of a request, on average, from its first token on", short_times());
  prometheus::Histogram& prompt = histogram("vllm:request_prompt_tokens", "Tokens of a prompt", amounts());
  prometheus::Histogram& answer = histogram("vllm:request_generation_tokens", "Tokens of an answer", amounts());
  prometheus::Histogram& step_tokens = histogram("vllm:iteration_tokens_total", "Tokens of a step", amounts());
  prometheus::Histogram& step_time = histogram("autoglm:step_seconds", "What a step took", short_times());
  prometheus::Histogram& batch = histogram("autoglm:batch_size", "Requests of a step", batch_sizes());

  prometheus::Counter& prompt_tokens = counter("vllm:prompt_tokens_total", "Tokens of prompts");
  prometheus::Counter& answer_tokens = counter("vllm:generation_tokens_total", "Tokens sampled");
  prometheus::Counter& computed_tokens =
      counter("autoglm:computed_prompt_tokens_total", "Tokens of prompts that were computed");
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

  prometheus::Family<prometheus::Counter>& client_requests =
      counters("autoglm:client_requests_total", "Requests by the name of their key, and how they ended");
  prometheus::Family<prometheus::Counter>& client_tokens =
      counters("autoglm:client_tokens_total", "Tokens by the name of the key: of prompts, of those cached, sampled");

  prometheus::Family<prometheus::Histogram>& stage_times =
      prometheus::BuildHistogram()
          .Name("autoglm:stage_seconds")
          .Help("Stages of a request, which follow each other without a gap: what a client waited, told apart")
          .Register(registry);

  prometheus::Gauge& running = gauge("vllm:num_requests_running", "Requests that are computed");
  prometheus::Gauge& waiting = gauge("vllm:num_requests_waiting", "Requests that wait");
  prometheus::Gauge& cache_use = gauge("vllm:kv_cache_usage_perc", "KV blocks in use; 1 is all");
  prometheus::Gauge& backlog = gauge("autoglm:backlog_seconds", "Predicted time of prompts not yet computed");
  prometheus::Counter& fetched =
      counter("autoglm:prefix_cache_disk_hits_total", "Tokens of prompts that came from the prefix cache on disk");
  prometheus::Counter& evicted =
      counter("autoglm:prefix_cache_evicted_blocks_total", "Blocks that the prefix cache in memory gave up");
  prometheus::Counter& same_start =
      counter("autoglm:prompt_tokens_same_start_total", "Tokens that a recent prompt began with, too");
  prometheus::Counter& repeated =
      counter("autoglm:prompt_tokens_repeated_total", "Tokens that stood in a recent prompt, wherever; estimated");
  prometheus::Counter& watched =
      counter("autoglm:prompt_tokens_watched_total", "Tokens of prompts when they came in, which the two above are of");
  prometheus::Counter& watched_requests = counter("autoglm:prompts_watched_total", "Prompts that came in");
  prometheus::Family<prometheus::Counter>& disk_blocks =
      counters("autoglm:kv_disk_blocks_total", "Blocks of the prefix cache on disk, by what happened to them");
  prometheus::Family<prometheus::Counter>& disk_bytes =
      counters("autoglm:kv_disk_bytes_total", "The same in bytes of keys and values");
  prometheus::Counter& disk_evicted = counter("autoglm:kv_disk_evicted_segments_total", "Files that went to make room");
  prometheus::Gauge& disk_known = gauge("autoglm:kv_disk_blocks", "Blocks on disk, of this model");
  prometheus::Gauge& cache_blocks =
      gauge("autoglm:prefix_cache_blocks", "Blocks that the prefix cache in memory keeps");
  prometheus::Family<prometheus::Gauge>& memory =
      prometheus::BuildGauge().Name("autoglm:memory_bytes").Help("Memory that is set aside, by use").Register(registry);
  prometheus::Gauge& memory_limit = gauge("autoglm:memory_limit_bytes", "Memory that may be used; 0: no limit");
  prometheus::Family<prometheus::Gauge>& cache_config = prometheus::BuildGauge()
                                                            .Name("vllm:cache_config_info")
                                                            .Help("How keys and values are kept; always 1")
                                                            .Register(registry);
  prometheus::Counter& spans = counter("autoglm:trace_spans_total", "Spans that the collector of traces took");
  prometheus::Counter& dropped_spans =
      counter("autoglm:trace_spans_dropped_total", "Spans that were lost: the collector is slow or away");
  prometheus::Family<prometheus::Counter>& zone_seconds =
      counters("autoglm:zone_seconds_total", "What each thread's time went into: its zones sum to its wall time");
  prometheus::Family<prometheus::Counter>& zone_calls =
      counters("autoglm:zone_calls_total", "How often a thread went into a zone");
  prometheus::Gauge& connections = gauge("autoglm:connections", "Open connections");

  std::mutex mutex;  // text() alone
  MetricsState told;
  std::map<std::string_view, ZoneTotals> told_zones;  // by thread
  std::mutex clients_mutex;
  std::set<std::string> clients;  // names that have labels: files of keys come and go, labels stay

  void read_engine(const MetricsState& now);
  void read_disk(const MetricsState& now);
  void read_memory(const Ledger& ledger);
  void read_zones(const ZoneClock& clock);
};

namespace {

// A counter follows a number that somebody else counts.
void follow(prometheus::Counter& counter, int64_t now, int64_t told) {
  counter.Increment(static_cast<double>(std::max<int64_t>(0, now - told)));
}

}  // namespace

void Metrics::State::read_engine(const MetricsState& now) {
  const EngineStatus& status = now.engine;
  running.Set(static_cast<double>(status.running));
  // Those that are still on their way to the engine wait too.
  waiting.Set(static_cast<double>(std::max(status.waiting, now.inside - status.running)));
  const auto blocks = static_cast<double>(std::max<int64_t>(1, status.blocks));
  cache_use.Set(1 - static_cast<double>(status.free_blocks) / blocks);
  backlog.Set(status.backlog_seconds);
  cache_blocks.Set(static_cast<double>(status.cache.blocks));
  const EngineStatus& before = told.engine;
  follow(queried, status.cache.looked_up_tokens, before.cache.looked_up_tokens);
  follow(hit, status.cache.hit_tokens, before.cache.hit_tokens);
  follow(fetched, status.cache.fetched_tokens, before.cache.fetched_tokens);
  follow(evicted, status.cache.evicted_blocks, before.cache.evicted_blocks);
  follow(watched, status.reuse.prompt_tokens, before.reuse.prompt_tokens);
  follow(watched_requests, status.reuse.requests, before.reuse.requests);
  follow(same_start, status.reuse.same_start_tokens, before.reuse.same_start_tokens);
  follow(repeated, status.reuse.repeated_tokens, before.reuse.repeated_tokens);
  if (status.blocks == 0) return;  // nothing is served yet
  Labels config = model;
  config["block_size"] = std::to_string(kKvBlock);
  config["num_gpu_blocks"] = std::to_string(status.blocks);  // vLLM's word, whatever computes
  cache_config.Add(config).Set(1);
}

void Metrics::State::read_disk(const MetricsState& now) {
  const BlockCacheStats& disk = now.engine.disk;
  const BlockCacheStats& before = told.engine.disk;
  disk_known.Set(static_cast<double>(disk.known_blocks));
  follow(disk_evicted, disk.evicted_segments, before.evicted_segments);
  const auto both = [&](const char* what, int64_t blocks, int64_t blocks_before) {
    const Labels labels = with("event", what);
    follow(disk_blocks.Add(labels), blocks, blocks_before);
    follow(disk_bytes.Add(labels), blocks * now.kv_block_bytes, blocks_before * now.kv_block_bytes);
  };
  both("written", disk.written_blocks, before.written_blocks);
  both("read", disk.read_blocks, before.read_blocks);
  both("dropped", disk.dropped_blocks, before.dropped_blocks);
  both("damaged", disk.damaged_blocks, before.damaged_blocks);
}

void Metrics::State::read_memory(const Ledger& ledger) {
  for (uint8_t i = 0; i < static_cast<uint8_t>(MemoryLine::count_); ++i) {
    const auto line = static_cast<MemoryLine>(i);
    memory.Add(with("use", std::string(name(line)))).Set(static_cast<double>(ledger.used(line)));
  }
  memory_limit.Set(static_cast<double>(ledger.limit()));
}

// Only zones that the thread has been in: the others would be noise.
void Metrics::State::read_zones(const ZoneClock& clock) {
  const ZoneTotals now = clock.totals();
  ZoneTotals& before = told_zones[clock.thread()];
  for (size_t i = 0; i < kZones; ++i) {
    if (now.calls.at(i) == 0) continue;
    Labels labels = with("thread", std::string(clock.thread()));
    labels["zone"] = std::string(name(static_cast<Zone>(i)));
    zone_seconds.Add(labels).Increment(std::max(0.0, now.seconds.at(i) - before.seconds.at(i)));
    follow(zone_calls.Add(labels), now.calls.at(i), before.calls.at(i));
  }
  before = now;
}

Metrics::Metrics(const std::string& model_name) : state_(std::make_unique<State>(model_name)) {}
Metrics::~Metrics() = default;

void Metrics::first_token(double seconds) { state_->first.Observe(seconds); }
void Metrics::gap(double seconds) { state_->gap.Observe(seconds); }
void Metrics::sampled(int64_t tokens) { state_->answer_tokens.Increment(static_cast<double>(tokens)); }

void Metrics::ended(FinishReason reason, const Usage& usage, double seconds) {
  State& s = *state_;
  s.finished.Add(s.with("finished_reason", reason == FinishReason::cancelled ? "abort" : std::string(name(reason))))
      .Increment();
  if (reason == FinishReason::cancelled) s.cancelled.Increment();
  s.prompt_tokens.Increment(static_cast<double>(usage.prompt_tokens));
  s.cached_tokens.Increment(static_cast<double>(usage.cached_tokens));
  s.preemptions.Increment(static_cast<double>(usage.preemptions));
  s.drafted.Increment(static_cast<double>(usage.drafted_tokens));
  s.accepted.Increment(static_cast<double>(usage.accepted_tokens));
  if (reason != FinishReason::stop && reason != FinishReason::length) return;
  s.whole.Observe(seconds);
  s.queue.Observe(usage.queue_ms / 1e3);
  s.prefill.Observe(usage.prefill_ms / 1e3);
  s.decode.Observe(usage.decode_ms / 1e3);
  s.inference.Observe((usage.prefill_ms + usage.decode_ms) / 1e3);
  if (usage.completion_tokens > 1) {
    s.token_time.Observe(usage.decode_ms / 1e3 / static_cast<double>(usage.completion_tokens - 1));
  }
  s.prompt.Observe(static_cast<double>(usage.prompt_tokens));
  s.answer.Observe(static_cast<double>(usage.completion_tokens));
}

void Metrics::refused(int status) { state_->refusals.Add(state_->with("status", std::to_string(status))).Increment(); }

void Metrics::answered(int status) { state_->answers.Add(state_->with("status", std::to_string(status))).Increment(); }

void Metrics::stages(const RequestTimes& times) {
  for (const Stage& stage : stages_of(times)) {
    state_->stage_times.Add(state_->with("stage", std::string(stage.name)), long_times())
        .Observe(stage.end - stage.begin);
  }
}

void Metrics::of_client(const std::string& client, int status, const RequestRecord& record) {
  State& s = *state_;
  std::string name = client;
  {
    const std::scoped_lock lock(s.clients_mutex);
    if (!s.clients.contains(name) && s.clients.size() >= kMostClients) name = "(other)";
    s.clients.insert(name);
  }
  Labels labels = s.with("client", name);
  const auto count = [&labels](prometheus::Family<prometheus::Counter>& family, const char* key, const char* value,
                               int64_t amount) {
    labels[key] = value;
    family.Add(labels).Increment(static_cast<double>(amount));
    labels.erase(key);
  };
  const char* end = status < 400 ? "ok" : status == 429 ? "limited" : status == 499 ? "cancelled" : "failed";
  count(s.client_requests, "end", end, 1);
  if (record.choices == 0) return;
  count(s.client_tokens, "kind", "prompt", record.prompt_tokens);
  count(s.client_tokens, "kind", "cached", record.cached_tokens);
  count(s.client_tokens, "kind", "sampled", record.completion_tokens);
}

void Metrics::step(const StepReport& report) {
  state_->step_time.Observe(report.seconds);
  state_->computed_tokens.Increment(static_cast<double>(report.shape.prefill_rows));
  state_->batch.Observe(static_cast<double>(report.requests));
  state_->step_tokens.Observe(static_cast<double>(report.shape.prefill_rows + report.shape.decode_rows));
}

std::string Metrics::text(const MetricsState& now) {
  State& s = *state_;
  const std::scoped_lock lock(s.mutex);
  s.read_engine(now);
  s.read_disk(now);
  if (now.ledger != nullptr) s.read_memory(*now.ledger);
  for (const ZoneClock* clock : now.zones) s.read_zones(*clock);
  s.connections.Set(static_cast<double>(now.connections));
  follow(s.spans, now.sent_spans, s.told.sent_spans);
  follow(s.dropped_spans, now.dropped_spans, s.told.dropped_spans);
  s.told = now;
  return prometheus::TextSerializer().Serialize(s.registry.Collect());
}

}  // namespace autoglm
