// Requests in, events out: continuous batching over one model.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "engine/disk_tier.h"
#include "engine/prefix_watch.h"
#include "engine/request.h"
#include "engine/sampler.h"
#include "engine/scheduler.h"
#include "engine/speculation.h"
#include "engine/stepper.h"
#include "text/chat_spec.h"
#include "text/tokenizer.h"

namespace autoglm {

struct EngineOptions {
  int64_t max_sequences = 1;  // requests that run at once; the others wait
  int64_t step_rows = 0;      // token budget of a step; 0: the model's most
  int64_t max_queue = -1;     // requests that may wait for a place; more are refused. -1: any number
  SchedulerPolicy policy{};
  Deadlines deadlines{};  // of requests that say nothing themselves
  // What a block's content depends on beside tokens, KV type and adapter: the weights and how they compute. Matters
  // where blocks outlive the engine.
  std::string model_identity{};
  // Where blocks are kept on disk, so that they outlive the engine; null: nowhere. Needs a model_identity and the
  // prefix cache. Serves this engine alone, and outlives it.
  BlockCache* disk = nullptr;
  std::string model_name{};  // beside what is on disk, for people
  // Drafts need logits for their rows, as many as the model was loaded for (LoadOptions::logit_rows) beyond one a
  // request, and an index a request (NgramIndex::bytes_for, LoadOptions::sequence_bytes).
  Speculation speculation = Speculation::off;
  std::function<double()> clock{};  // seconds that never go back; empty: the system's
};

/// The engine in numbers, now.
struct EngineStatus {
  int64_t running = 0;
  int64_t waiting = 0;
  int64_t blocks = 0;
  int64_t free_blocks = 0;     // those that the prefix cache would give up included
  double backlog_seconds = 0;  // prompts that are still to be computed, as predicted
  CacheStats cache;
  BlockCacheStats disk;
  ReuseCounters reuse;
};

/// The last step that computed something.
struct StepReport {
  int64_t number = 0;  // steps so far
  StepShape shape;
  int64_t requests = 0;
  double predicted = 0;  // seconds
  double limit = 0;      // seconds it was allowed; infinite where no stream waited for it
  double seconds = 0;
};

/// Belongs to one thread, which calls everything and hears every event. Model, tokenizer and the spec inside ChatModel
/// outlive it.
class Engine {
 public:
  Engine(Model& model, const Tokenizer& tokenizer, ChatModel chat, const EngineOptions& options = {});
  Engine(std::unique_ptr<Stepper> stepper, const Tokenizer& tokenizer, ChatModel chat,
         const EngineOptions& options = {});
  ~Engine();

  /// Queues a request. Errors: bad_request (empty prompt, a token outside the vocabulary, a parameter out of range),
  /// context_exceeded (with both numbers), overloaded (the queue is full). Every request that is accepted gets exactly
  /// one finish event.
  RequestId submit(Request request, EventSink sink);
  /// Ends a request now, with what was held back and a finish event "cancelled"; its blocks are free. Unknown ids, and
  /// calls from inside a sink, are allowed.
  void cancel(RequestId id);
  void cancel_all();
  /// One step of every request that runs. Never throws: an exception fails the requests of its step.
  void step();
  bool has_work() const { return !scheduler_.empty(); }
  /// Seconds until step() could have something to do: 0 while requests run, more where a batch gathers, infinite
  /// without requests.
  double idle_seconds() const;
  int64_t free_blocks() const { return scheduler_.free_blocks(); }
  EngineStatus status() const;
  const StepReport& last_step() const { return report_; }
  void check_integrity() const { scheduler_.check_integrity(); }
  int64_t context() const { return stepper_->context(); }

 private:
  struct Live;
  void expire();
  void apply(const Plan& plan);
  void share(const Plan& plan);
  void let_go_of_evicted();
  std::span<const float> forward(const Plan& plan);
  void draft(const Plan& plan);
  void take_rows(Live& live, std::span<const float> logits);
  bool take(Live& live, std::span<const float> logits, int64_t row);
  void take_scores(Live& live, std::span<const float> logits);
  void take_hidden(Live& live, const Work& work, int64_t row_begin);
  void emit(Live& live, std::string_view text, FinishReason reason, std::optional<Error> error);
  void finish(Live& live, FinishReason reason, std::optional<Error> error = {});
  void fail_planned(const Plan& plan, const Error& error);
  void collect();
  std::string printed(int32_t token, Live& live) const;
  void check(const Request& request) const;
  void check_queue() const;

  std::unique_ptr<Stepper> stepper_;
  const Tokenizer* tokenizer_;
  ChatModel chat_;
  EngineOptions options_;
  PrefixKey root_;
  std::vector<std::pair<int32_t, std::string>> marks_;  // what control tokens print that are marks of the family
  Scheduler scheduler_;
  PrefixWatch watch_;
  Sampler sampler_;
  std::unordered_map<RequestId, std::unique_ptr<Live>> live_;
  std::vector<RequestId> ended_;  // to be dropped when nobody holds them any more
  RequestId next_id_ = 1;
  bool settled_ = false;  // a step has been made

  StepCosts costs_;
  std::vector<DraftOption> drafts_;  // of the step, one for each work
  StepReport report_;

  std::vector<int32_t> tokens_;  // of the step's batch
  std::vector<BatchSequence> sequences_;
  std::vector<int32_t> logit_rows_;
  std::vector<int32_t> hidden_rows_;
  std::vector<uint64_t> allowed_;   // tokens of a row whose request has a grammar
  std::unique_ptr<DiskTier> disk_;  // null without one. Last: it uses the stepper and the scheduler
};

}  // namespace autoglm
