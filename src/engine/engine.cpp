#include "engine/engine.h"

#include <fmt/format.h>
#include <xxhash.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <utility>

#include "base/zone.h"
#include "engine/live.h"

namespace autoglm {
namespace {

using Clock = std::chrono::steady_clock;

uint64_t client_number(const std::string& client) {
  return client.empty() ? 0 : XXH3_64bits(client.data(), client.size()) | 1;
}

SchedulerLimits limits_of(const Stepper& stepper, const EngineOptions& options) {
  const int64_t rows = options.step_rows > 0 ? std::min(options.step_rows, stepper.max_rows()) : stepper.max_rows();
  return {.rows = rows,
          .sequences = options.max_sequences,
          .blocks = stepper.blocks(),
          .block_tokens = kKvBlock,
          .scored_rows = std::max<int64_t>(0, stepper.max_logit_rows() - options.max_sequences),
          .row_tile = stepper.row_tile()};
}

// Why there is no token.
Error unsampled(int32_t token) {
  if (token == Sampler::kNothingAllowed) {
    return {Code::bad_request, "no token of the vocabulary can go on as the grammar asks",
            "the grammar asks for characters that this model cannot write"};
  }
  return {Code::numeric, "the model computed a logit that is not a finite number",
          "the weights may be damaged: check the file's hash, or try --precision f32"};
}

}  // namespace

Engine::Engine(Model& model, const Tokenizer& tokenizer, ChatModel chat, const EngineOptions& options)
    : Engine(std::make_unique<ModelStepper>(model), tokenizer, std::move(chat), options) {}

Engine::Engine(std::unique_ptr<Stepper> stepper, const Tokenizer& tokenizer, ChatModel chat,
               const EngineOptions& options)
    : stepper_(std::move(stepper)),
      tokenizer_(&tokenizer),
      chat_(std::move(chat)),
      options_(options),
      root_(root_key(options.model_identity, stepper_->kv_type(), 0)),
      scheduler_(limits_of(*stepper_, options), options.policy),
      sampler_(stepper_->vocabulary()) {
  if (!options_.clock) {
    options_.clock = [] { return std::chrono::duration<double>(Clock::now().time_since_epoch()).count(); };
  }
  const auto sequences = static_cast<size_t>(options.max_sequences);
  drafts_.reserve(sequences);
  logit_rows_.reserve(static_cast<size_t>(stepper_->max_logit_rows()));
  allowed_.resize(static_cast<size_t>((stepper_->vocabulary() + 63) / 64));
  if (options.disk != nullptr && options.policy.prefix_cache) {
    AUTOGLM_CHECK(!options.model_identity.empty(), "blocks on disk belong to a model");
    disk_ = std::make_unique<DiskTier>(*options.disk, *stepper_, scheduler_, root_, options.model_name);
  }
  if (chat_.spec == nullptr) return;
  marks_ = printed_marks(tokenizer, chat_.spec);
}

Engine::~Engine() = default;

void Engine::check(const Request& request) const {
  const auto prompt = static_cast<int64_t>(request.prompt.size());
  const int64_t context = stepper_->context();
  if (prompt == 0) fail(Code::bad_request, "the prompt is empty", "give at least one token");
  for (const int32_t token : request.prompt) {
    if (token < 0 || token >= stepper_->vocabulary()) {
      fail(Code::bad_request, fmt::format("token {} is outside the vocabulary", token),
           fmt::format("token ids go from 0 to {}", stepper_->vocabulary() - 1));
    }
  }
  autoglm::check(request.sampling, stepper_->vocabulary());
  if (request.grammar && request.grammar->vocabulary() != stepper_->vocabulary()) {
    fail(Code::bad_request, "the grammar was compiled for another vocabulary");
  }
  const bool scores = request.prompt_logprobs && request.sampling.logprobs >= 0;
  if (scores && stepper_->max_logit_rows() <= options_.max_sequences) {
    fail(Code::bad_request, "there is no room for log-probabilities of prompts", "ask for those of the answer only");
  }
  if (request.max_tokens < -1) fail(Code::bad_request, "max_tokens is negative", "give 0 or more, or leave it out");
  const int64_t least = request.max_tokens < 0 ? 1 : 0;
  if (prompt + least > context) {
    fail(Code::context_exceeded, fmt::format("the prompt has {} tokens and the context holds {}", prompt, context),
         "shorten the prompt or give a larger --ctx");
  }
  if (request.max_tokens > context - prompt) {
    fail(Code::context_exceeded,
         fmt::format("the prompt has {} tokens and {} more were asked for, but the context holds {}", prompt,
                     request.max_tokens, context),
         fmt::format("ask for at most {} tokens or give a larger --ctx", context - prompt));
  }
}

// Who could begin at once does not wait for a place.
void Engine::check_queue() const {
  if (options_.max_queue < 0 || scheduler_.queued() < options_.max_queue + scheduler_.free_places()) return;
  fail(Code::overloaded, fmt::format("the queue is full: {} requests wait", scheduler_.queued()),
       "try again later; server.max_queue (--max-queue) says how many may wait");
}

RequestId Engine::submit(Request request, EventSink sink) {
  check(request);
  const auto prompt = static_cast<int64_t>(request.prompt.size());
  const bool embeds = request.embed != Pooling::none;
  const int64_t most = embeds ? 0 : request.max_tokens < 0 ? stepper_->context() - prompt : request.max_tokens;
  if (!scheduler_.fits(prompt + most)) {
    fail(Code::context_exceeded,
         fmt::format("{} tokens are more than the KV cache holds ({})", prompt + most, stepper_->blocks() * kKvBlock),
         "ask for fewer tokens or give a larger --ctx");
  }
  check_queue();
  watch_.observe(request.prompt);
  const RequestId id = next_id_++;
  auto live =
      std::make_unique<Live>(id, std::move(request), std::move(sink), *tokenizer_, chat_.spec, stepper_->vocabulary());
  live->most = most;
  if (options_.speculation != Speculation::off) live->tokens.reserve(static_cast<size_t>(prompt + most));
  Live& added = *live_.emplace(id, std::move(live)).first->second;
  added.submitted = options_.clock();
  Deadlines deadlines = added.request.deadlines;
  if (deadlines.queue == 0) deadlines.queue = options_.deadlines.queue;
  if (deadlines.prefill == 0) deadlines.prefill = options_.deadlines.prefill;
  if (deadlines.decode == 0) deadlines.decode = options_.deadlines.decode;
  scheduler_.add({.id = id,
                  .tokens = &added.tokens,
                  .arrival = added.submitted,
                  .client = client_number(added.request.client),
                  .deadlines = deadlines,
                  .root = root_,
                  .scored = added.wants_scores(),
                  .whole = embeds && added.request.embed != Pooling::last});
  if (embeds) {
    added.pooler.emplace(added.request.embed, stepper_->hidden_size(), prompt);
  } else if (added.wants_scores()) {
    added.scores.kind = Event::Kind::prompt;
    added.scores.tokens = added.request.prompt;
    added.scores.logprobs = {{{added.request.prompt.front(), std::numeric_limits<float>::quiet_NaN()}}};
    take_scores(added, {});
  } else if (most == 0) {
    finish(added, FinishReason::length);
  } else if (disk_ && !added.wants_scores()) {
    disk_->look_up(id);
  }
  return id;
}

void Engine::cancel(RequestId id) {
  const auto it = live_.find(id);
  if (it != live_.end()) finish(*it->second, FinishReason::cancelled);
}

void Engine::cancel_all() {
  std::vector<RequestId> ids;
  for (const auto& [id, live] : live_) ids.push_back(id);
  std::ranges::sort(ids);
  for (const RequestId id : ids) cancel(id);
}

double Engine::idle_seconds() const {
  const double now = options_.clock();
  return scheduler_.wake(now) - now;
}

EngineStatus Engine::status() const {
  return {.running = scheduler_.running(),
          .waiting = scheduler_.waiting(),
          .blocks = stepper_->blocks(),
          .free_blocks = scheduler_.free_blocks(),
          .backlog_seconds = scheduler_.backlog(),
          .cache = scheduler_.cache_stats(),
          .disk = disk_ ? disk_->stats() : BlockCacheStats{},
          .reuse = watch_.counters()};
}

void Engine::step() {
  ZoneStamp zone(Zone::plan);
  collect();
  expire();
  if (disk_) disk_->import_ready();
  const double began = options_.clock();
  const Plan& plan = scheduler_.plan(began);
  try {
    apply(plan);
    if (plan.work.empty()) {
      zone.next(Zone::idle);
      if (disk_) disk_->wait();
      return;
    }
    zone.next(Zone::draft);
    draft(plan);
    zone.next(Zone::plan);
    const std::span<const float> logits = forward(plan);
    zone.next(Zone::share);
    share(plan);
    zone.next(Zone::other);
    size_t row = 0;
    size_t part = 0;
    const auto vocabulary = static_cast<size_t>(stepper_->vocabulary());
    for (const Work& work : plan.work) {
      Live& live = *live_.at(work.id);
      const int64_t row_begin = sequences_[part++].row_begin;
      if (live.embeds()) {
        take_hidden(live, work, row_begin);
        continue;
      }
      const auto next = [&](int64_t rows) {
        const auto begin = std::exchange(row, row + static_cast<size_t>(rows));
        return logits.subspan(begin * vocabulary, static_cast<size_t>(rows) * vocabulary);
      };
      if (live.scored_rows > 0) take_scores(live, next(live.scored_rows));
      if (work.sample) take_rows(live, next(1 + live.drafted));
    }
    const double seconds = options_.clock() - began;
    scheduler_.completed(seconds);
    report_ = {.number = report_.number + 1,
               .shape = plan.shape,
               .requests = std::ssize(plan.work),
               .predicted = plan.predicted,
               .limit = plan.limit,
               .seconds = seconds};
    if (!std::exchange(settled_, true)) stepper_->settle();
  } catch (const Error& error) {
    fail_planned(plan, error);
  } catch (const std::exception& error) {
    fail_planned(plan, Error(Code::internal, error.what()));
  }
  collect();
}

void Engine::apply(const Plan& plan) {
  if (disk_) disk_->carry_out(plan);
  for (const RequestId id : plan.preempted) {
    Live& live = *live_.at(id);
    stepper_->free(std::exchange(live.sequence, -1));
    live.index.reset();  // planned for as many as run at once
    ++live.preemptions;
  }
  for (const RequestId id : plan.admitted) {
    Live& live = *live_.at(id);
    live.sequence = stepper_->create();
    if (options_.speculation != Speculation::off) live.index.emplace(std::ssize(live.request.prompt) + live.most);
    if (live.started) continue;
    live.started = options_.clock();
    if (live.request.when_started) live.request.when_started();
  }
  for (const Adoption& adoption : plan.adopted) {
    Live& live = *live_.at(adoption.id);
    stepper_->adopt(live.sequence, adoption.block);
    if (live.sampled() == 0 && live.preemptions == 0) live.cached += kKvBlock;
  }
}

// What the step computed may serve other requests, and what others have computed takes the place of its twin.
void Engine::share(const Plan& plan) {
  for (const Work& work : plan.work) {
    const Live& live = *live_.at(work.id);
    for (const Share& share : scheduler_.share(work.id, stepper_->blocks_of(live.sequence))) {
      if (share.kept) {
        stepper_->retain(share.block);
        if (disk_) disk_->keep(work.id, share);
      } else {
        stepper_->replace(live.sequence, share.index, share.block);
      }
    }
  }
}

void Engine::expire() {
  const std::vector<Expired> expired = scheduler_.expired(options_.clock());  // a sink may remove requests meanwhile
  for (const Expired& late : expired) {
    Live& live = *live_.at(late.id);
    finish(live, FinishReason::error,
           Error(Code::deadline_exceeded, fmt::format("the request's {} deadline has passed", late.phase),
                 fmt::format("the server is busy: try later, or allow more time (server.deadlines.{})", late.phase)));
  }
}

// Chooses how many of the tokens that are likely to follow are computed together with each request's newest one. Only
// in steps that decode: beside a prompt's chunk the cost of a row cannot be told, and rows are better spent on it.
void Engine::draft(const Plan& plan) {
  if (options_.speculation == Speculation::off) return;
  drafts_.clear();
  bool decodes = true;
  for (const Work& work : plan.work) {
    Live& live = *live_.at(work.id);
    live.drafted = live.predicted_count = 0;
    const bool one = work.rows == 1 && work.sample;
    decodes = decodes && one;
    if (one) live.predict(*tokenizer_);
    drafts_.push_back({.acceptance = &live.predictor(),
                       .match_length = live.match_length,
                       .most = std::max<int64_t>(0, live.predicted_count)});
  }
  if (!decodes) return;
  const auto sequences = static_cast<int64_t>(plan.work.size());
  const int64_t room = std::min(scheduler_.spare_rows(), stepper_->max_logit_rows() - sequences);
  if (options_.speculation == Speculation::automatic) {
    choose_drafts(drafts_, sequences, room, costs_);
  } else {
    for (DraftOption& option : drafts_) option.chosen = std::min(option.most, room / sequences);
  }
  for (size_t i = 0; i < drafts_.size(); ++i) {
    if (drafts_[i].chosen == 0) continue;
    Live& live = *live_.at(plan.work[i].id);
    live.drafted = scheduler_.reserve(live.id, drafts_[i].chosen);
    live.drafted_total += live.drafted;
  }
}

void Engine::let_go_of_evicted() {
  for (const int32_t block : scheduler_.take_evicted()) {
    if (disk_) disk_->forget(block);
    stepper_->unretain(block);
  }
}

std::span<const float> Engine::forward(const Plan& plan) {
  const double began = options_.clock();
  let_go_of_evicted();
  tokens_.clear();
  sequences_.clear();
  logit_rows_.clear();
  bool decodes = true, hidden = false;
  for (const Work& work : plan.work) {
    Live& live = *live_.at(work.id);
    const int64_t rows = work.rows + live.drafted;
    hidden = hidden || live.embeds();
    AUTOGLM_CHECK(stepper_->append(live.sequence, rows), "the scheduler counted blocks that the cache has not");
    sequences_.push_back(
        {.sequence = live.sequence, .row_begin = static_cast<int64_t>(tokens_.size()), .rows = rows, .adapter = 0});
    const auto begin = live.tokens.begin() + work.begin;
    tokens_.insert(tokens_.end(), begin, begin + work.rows);
    live.scored_rows = 0;
    if (live.wants_scores()) {
      // Row p tells of token p + 1. After a preemption rows come again: those that are known are not wanted.
      const int64_t last = std::min(work.begin + work.rows, std::ssize(live.request.prompt) - 1);
      for (int64_t p = std::max(work.begin, std::ssize(live.scores.logprobs) - 1); p < last; ++p) {
        logit_rows_.push_back(static_cast<int32_t>(std::ssize(tokens_) - work.rows + p - work.begin));
        ++live.scored_rows;
      }
    }
    if (work.sample && !live.embeds()) logit_rows_.push_back(static_cast<int32_t>(tokens_.size()) - 1);
    for (int64_t i = 0; i < live.drafted; ++i) {
      logit_rows_.push_back(static_cast<int32_t>(tokens_.size()));
      tokens_.push_back(live.predicted[static_cast<size_t>(i)]);
    }
    decodes = decodes && work.rows == 1;
  }
  const std::span<const float> logits = stepper_->forward({.tokens = tokens_,
                                                           .embeddings = {},
                                                           .positions = {},
                                                           .sequences = sequences_,
                                                           .logit_rows = logit_rows_,
                                                           .hidden = hidden});
  if (decodes && options_.speculation == Speculation::automatic) {
    costs_.observe(static_cast<int64_t>(tokens_.size()), options_.clock() - began);
  }
  return logits;
}

// One row of logits for the newest token and one for each drafted one: sampled in turn, as if each had come in a step
// of its own, until one differs from the draft.
void Engine::take_rows(Live& live, std::span<const float> logits) {
  const auto vocabulary = static_cast<size_t>(stepper_->vocabulary());
  int64_t row = 0;
  const auto row_of = [&](int64_t i) { return logits.subspan(static_cast<size_t>(i) * vocabulary, vocabulary); };
  while (take(live, row_of(row), row) && row < live.drafted) ++row;
  if (live.ended || live.drafted == 0) return;  // at its end its blocks are free, drafts and all
  // Everything but the newest token is in the cache; what was rejected leaves it.
  if (row < live.drafted) stepper_->truncate(live.sequence, std::ssize(live.tokens) - 1);
  scheduler_.settle(live.id, row);
}

// Rows of a prompt that is scored. When all are there they are told, before anything of the answer.
void Engine::take_scores(Live& live, std::span<const float> logits) {
  if (live.ended) return;
  const ZoneStamp zone(Zone::sample);
  const auto vocabulary = static_cast<size_t>(stepper_->vocabulary());
  std::vector<std::vector<TokenLogprob>>& scores = live.scores.logprobs;
  for (; !logits.empty(); logits = logits.subspan(vocabulary)) {
    std::vector<TokenLogprob> row;
    const int32_t token = live.request.prompt[scores.size()];
    if (!sampler_.score(logits.first(vocabulary), token, live.request.sampling.logprobs, row)) {
      finish(live, FinishReason::error, Error(Code::numeric, "the model computed a logit that is not a finite number"));
      return;
    }
    scores.push_back(std::move(row));
  }
  if (scores.size() < live.request.prompt.size() || std::exchange(live.scores_told, true)) return;
  try {
    if (live.sink) live.sink(live.scores);
  } catch (...) {
    live.sink = nullptr;  // see emit()
    finish(live, FinishReason::cancelled);
  }
  if (live.most == 0) finish(live, FinishReason::length);
}

// The rows of a prompt that its embedding is made of, and the embedding once the last is there.
void Engine::take_hidden(Live& live, const Work& work, int64_t row_begin) {
  if (live.ended) return;
  const ZoneStamp zone(Zone::pool);
  hidden_rows_.clear();
  for (int64_t i = 0; i < work.rows; ++i) {
    if (live.pooler->wants(work.begin + i)) hidden_rows_.push_back(static_cast<int32_t>(row_begin + i));
  }
  const auto most = static_cast<size_t>(stepper_->max_logit_rows());
  const auto width = static_cast<size_t>(stepper_->hidden_size());
  for (std::span<const int32_t> rows = hidden_rows_; !rows.empty(); rows = rows.subspan(std::min(most, rows.size()))) {
    std::span<const float> hidden = stepper_->hidden(rows.first(std::min(most, rows.size())));
    for (; !hidden.empty(); hidden = hidden.subspan(width)) live.pooler->add(hidden.first(width));
  }
  if (!work.sample) return;
  Event event;
  event.kind = Event::Kind::embedding;
  event.embedding = live.pooler->result();
  if (!std::ranges::all_of(event.embedding, [](float value) { return std::isfinite(value); })) {
    finish(live, FinishReason::error, Error(Code::numeric, "the model computed a state that is not a finite number"));
    return;
  }
  try {
    if (live.sink) live.sink(event);
  } catch (...) {
    live.sink = nullptr;  // see emit()
  }
  finish(live, live.sink ? FinishReason::stop : FinishReason::cancelled);
}

// A row of logits becomes a token, the token becomes text, and the request may end. `row`: how many drafted tokens
// precede it in this step. True if the request goes on with the token that was predicted here.
bool Engine::take(Live& live, std::span<const float> logits, int64_t row) {
  if (live.ended) return false;  // cancelled by another request's sink in this step
  std::vector<TokenLogprob> logprobs;
  ZoneStamp zone(live.matcher ? Zone::mask : Zone::sample);
  if (live.matcher) live.matcher->mask(allowed_);
  const std::span<const uint64_t> allowed =
      live.matcher ? std::span<const uint64_t>(allowed_) : std::span<const uint64_t>();
  if (live.matcher) zone.next(Zone::sample);
  const int32_t token = sampler_.sample(logits, live.sampling, logprobs, allowed);
  live.last = options_.clock();
  if (live.sampled() == 0) live.first = live.last;
  if (token < 0) {
    finish(live, FinishReason::error, unsampled(token));
    return false;
  }
  if (live.matcher) AUTOGLM_CHECK(live.matcher->accept(token), "a masked token was sampled");
  const bool right = row < live.predicted_count && token == live.predicted[static_cast<size_t>(row)];
  if (row < live.predicted_count) live.predictor().observe(live.match_length + row, right);
  if (right && row < live.drafted) ++live.accepted_total;
  live.sampling.accept(token);
  live.tokens.push_back(token);
  live.pending.tokens.push_back(token);
  if (live.request.sampling.logprobs >= 0) live.pending.logprobs.push_back(std::move(logprobs));
  if (!live.request.ignore_eos && std::binary_search(chat_.ends.begin(), chat_.ends.end(), token)) {
    finish(live, FinishReason::stop);
    return false;
  }
  zone.next(Zone::detokenize);
  const std::string text = live.stops.push(printed(token, live));
  if (live.stops.stopped()) {
    emit(live, text, FinishReason::none, {});
    finish(live, FinishReason::stop);
    return false;
  }
  emit(live, text, FinishReason::none, {});
  if (live.ended) return false;  // its sink cancelled it
  if (live.request.one_call && live.told_call) {
    finish(live, FinishReason::stop);
    return false;
  }
  if (live.matcher && live.matcher->must_end()) {  // only an end token could follow
    finish(live, FinishReason::stop);
    return false;
  }
  if (live.sampled() >= live.most) {
    finish(live, FinishReason::length);
    return false;
  }
  scheduler_.grow(live.id, live.last);
  return right;
}

std::string Engine::printed(int32_t token, Live& live) const {
  std::string text = live.detokenizer.push(token);
  for (const auto& [mark, meaning] : marks_) {
    if (token != mark) continue;
    const bool thought = meaning == chat_.spec->reasoning_open || meaning == chat_.spec->reasoning_close;
    if (thought || live.calls) text += meaning;
  }
  return text;
}

// Gives text to the sink, as reasoning or answer; with a finish, what is left and the finish itself.
void Engine::emit(Live& live, std::string_view text, FinishReason reason, std::optional<Error> error) {
  const ZoneStamp zone(Zone::emit);
  const bool last = reason != FinishReason::none;
  std::vector<Event> events = live.tell(text, last);
  const auto give = [&live](Event event) {
    event.tokens = std::exchange(live.pending.tokens, {});
    event.logprobs = std::exchange(live.pending.logprobs, {});
    if (live.sink) live.sink(event);
  };
  try {
    for (Event& event : events) {
      if (live.ended && !last) return;  // the sink cancelled it: its finish has been told
      give(std::move(event));
    }
    if (!last) return;
    Event event;
    event.kind = Event::Kind::finish;
    event.finish = reason;
    event.error = std::move(error);
    const bool began = live.sampled() > 0;
    const double now = options_.clock();
    const double started = live.started.value_or(now);
    event.usage = {.prompt_tokens = static_cast<int64_t>(live.request.prompt.size()),
                   .cached_tokens = live.cached,
                   .completion_tokens = live.sampled(),
                   .seed = live.sampling.params().seed,
                   .queue_ms = 1e3 * (started - live.submitted),
                   .prefill_ms = 1e3 * ((began ? live.first : now) - started),
                   .decode_ms = began ? 1e3 * (live.last - live.first) : 0.0,
                   .preemptions = live.preemptions,
                   .drafted_tokens = live.drafted_total,
                   .accepted_tokens = live.accepted_total,
                   .stop = live.stops.matched()};
    give(std::move(event));
  } catch (...) {
    // Whoever listens is gone: nothing can be told to them, and nobody else may suffer.
    live.sink = nullptr;
    if (!last) finish(live, FinishReason::cancelled);
  }
}

void Engine::finish(Live& live, FinishReason reason, std::optional<Error> error) {
  if (std::exchange(live.ended, true)) return;
  scheduler_.remove(live.id);
  if (disk_) disk_->ended(live.id);
  if (live.sequence >= 0) stepper_->free(std::exchange(live.sequence, -1));
  ended_.push_back(live.id);
  std::string rest = live.stops.stopped() ? std::string() : live.stops.push(live.detokenizer.finish());
  if (!live.stops.stopped()) rest += live.stops.finish();
  emit(live, rest, reason, std::move(error));
}

void Engine::fail_planned(const Plan& plan, const Error& error) {
  for (const Work& work : plan.work) finish(*live_.at(work.id), FinishReason::error, error);
}

void Engine::collect() {
  for (const RequestId id : ended_) live_.erase(id);
  ended_.clear();
}

}  // namespace autoglm
