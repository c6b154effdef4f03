// Ten thousand random schedules: arrivals, lengths, common beginnings, cancels, deadlines, faults, few blocks, every
// batching mode, with and without the prefix cache and speculation. Whatever happens: no block is lost or shared with
// the wrong request, streams advance in every step, steps keep to their time, everyone ends, and every token is the
// one that the request would have got alone.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <algorithm>

#include "engine/dummy.h"
#include "engine/engine.h"
#include "support/sanitized.h"

namespace autoglm {
namespace {

using test::DummyStepper;
using test::DummyTokenizer;

constexpr int64_t kVocabulary = 12;
constexpr double kNever = 1e18;

struct Random {
  uint64_t state;
  int64_t below(int64_t n) {
    state = state * 6364136223846793005ULL + 1442695040888963407ULL;
    return static_cast<int64_t>(state >> 33) % n;
  }
  int64_t between(int64_t low, int64_t high) { return low + below(high - low + 1); }
  bool one_in(int64_t n) { return below(n) == 0; }
  double seconds(double most) { return most * static_cast<double>(below(1000)) / 1000; }
};

/// A request, what shall happen to it, and what it heard.
struct Guest {
  Request request;
  double arrival = 0;
  double cancel_at = kNever;
  int64_t cancel_after = -1;  // tokens; from inside its sink
  RequestId id = 0;
  bool refused = false;
  std::vector<int32_t> tokens;
  std::vector<int64_t> steps;  // of each token
  int finishes = 0;
  FinishReason finish = FinishReason::none;
  std::optional<Error> error;
  Usage usage;
};

/// Everything about one schedule, from its seed.
struct Schedule {
  Schedule(uint64_t seed, int64_t guests) : random{seed} {
    stepper = std::make_unique<DummyStepper>();
    stepper->vocabulary_size = kVocabulary;
    stepper->block_count = random.between(3, 24);
    stepper->context_size = std::min<int64_t>(130, stepper->block_count * kKvBlock);
    stepper->rows = random.between(4, 64);
    stepper->logit_rows = 64;
    options.max_sequences = random.between(1, 6);
    options.max_queue = random.one_in(4) ? random.below(4) : -1;
    options.policy.batching = static_cast<Batching>(random.below(4));
    options.policy.window = random.seconds(0.02);
    options.policy.target_gap = random.one_in(2) ? 0 : 2e-3 + random.seconds(0.02);
    options.policy.prefix_cache = !random.one_in(4);
    options.speculation = random.one_in(5) ? Speculation::always : Speculation::off;
    fault_at = random.one_in(8) ? random.below(60) : -1;
    const bool crowded = random.one_in(3);
    double now = 0;
    for (int64_t i = 0; i < guests; ++i) {
      now += crowded ? 0 : random.one_in(2) ? 0 : random.seconds(0.02);
      add_guest(now);
    }
  }

  void add_guest(double arrival) {
    Guest guest;
    guest.arrival = arrival;
    const int64_t length = random.between(1, std::min<int64_t>(100, stepper->context_size - 1));
    const int64_t common = random.one_in(3) ? 0 : random.below(length + 1);
    const int64_t family = random.below(2);
    for (int64_t i = 0; i < length; ++i) {
      // Beginnings differ in their first block alone: later blocks look alike and must still be told apart.
      const int64_t token = i >= common ? random.below(kVocabulary) : i < kKvBlock ? family * 5 + i % 7 : i % 11;
      guest.request.prompt.push_back(static_cast<int32_t>(token % kVocabulary));
    }
    guest.request.max_tokens = random.between(0, std::min<int64_t>(70, stepper->context_size - length));
    guest.request.sampling.temperature = 0;
    guest.request.sampling.seed = 1;
    if (random.one_in(2)) guest.request.client = random.one_in(2) ? "a" : "b";
    if (random.one_in(12)) guest.request.deadlines.queue = 1e-3 + random.seconds(0.1);
    if (random.one_in(12)) guest.request.deadlines.prefill = 1e-3 + random.seconds(0.1);
    if (random.one_in(12)) guest.request.deadlines.decode = 1e-3 + random.seconds(0.1);
    if (random.one_in(6)) guest.cancel_at = arrival + random.seconds(0.2);
    if (random.one_in(10)) guest.cancel_after = random.between(1, 5);
    people.push_back(std::move(guest));
  }

  Random random;
  std::unique_ptr<DummyStepper> stepper;
  EngineOptions options;
  int64_t fault_at;
  std::vector<Guest> people;
};

/// How often what is to be tested has happened.
struct Happened {
  int64_t steps = 0, chunks = 0, late_chunks = 0, preemptions = 0, reused_tokens = 0, evictions = 0;
  int64_t answers = 0, cancelled = 0, late = 0, faults = 0, refused = 0, drafts = 0;
};

/// Runs a schedule on a machine whose clock the test moves.
class Host {
 public:
  Host(Schedule schedule, Happened& happened)
      : people_(std::move(schedule.people)),
        fault_at_(schedule.fault_at),
        stepper_(schedule.stepper.get()),
        happened_(happened) {
    stepper_->before_step = [this](const Batch& batch) {
      now_ += 1e-3 + 1e-4 * static_cast<double>(batch.tokens.size());
      if (steps_++ == fault_at_) throw std::runtime_error("the device is gone");
    };
    EngineOptions options = schedule.options;
    options.clock = [this] { return now_; };
    drafts_ = options.speculation != Speculation::off;
    engine_ = std::make_unique<Engine>(std::move(schedule.stepper), tokenizer_, ChatModel{}, options);
  }

  void run() {
    for (int64_t round = 0; next_ < people_.size() || engine_->has_work(); ++round) {
      RC_ASSERT(round < 20000);
      arrive();
      leave();
      const int64_t before = steps_;
      engine_->step();
      if (steps_ > before) check_step();
      if (steps_ == before) wait();
    }
    check_end();
  }

 private:
  void arrive() {
    for (; next_ < people_.size() && people_[next_].arrival <= now_; ++next_) {
      Guest& guest = people_[next_];
      try {
        guest.id = engine_->submit(guest.request, [this, &guest](const Event& event) { hear(guest, event); });
      } catch (const Error& error) {
        RC_ASSERT(error.code() == Code::overloaded);
        guest.refused = true;
        ++happened_.refused;
      }
    }
  }
  void leave() {
    for (Guest& guest : people_) {
      if (guest.cancel_at <= now_ && guest.id > 0) engine_->cancel(guest.id);
    }
  }
  void wait() {
    const double arrival = next_ < people_.size() ? people_[next_].arrival : kNever;
    if (!engine_->has_work()) {
      if (arrival < kNever) now_ = std::max(now_, arrival);
      return;
    }
    now_ = std::max(now_, std::min(arrival, now_ + engine_->idle_seconds())) + 1e-9;
    RC_ASSERT(now_ < kNever);
  }
  void hear(Guest& guest, const Event& event) {
    after_finish_ = after_finish_ || guest.finishes > 0;
    for (const int32_t token : event.tokens) {
      guest.tokens.push_back(token);
      guest.steps.push_back(steps_);
    }
    if (event.kind == Event::Kind::finish) {
      ++guest.finishes;
      guest.finish = event.finish;
      guest.error = event.error;
      guest.usage = event.usage;
    } else if (guest.cancel_after > 0 && std::ssize(guest.tokens) >= guest.cancel_after) {
      engine_->cancel(guest.id);
    }
  }
  void check_step() {
    const StepReport& report = engine_->last_step();
    ++happened_.steps;
    if (!drafts_) RC_ASSERT(report.predicted <= report.limit * (1 + 1e-9));
    if (report.shape.prefill_rows > 0 && report.limit < kNever) {
      ++happened_.chunks;
      if (!drafts_ && steps_ > 20 && report.seconds > 1.2 * report.limit) ++happened_.late_chunks;
    }
    RC_ASSERT(stepper_->most_rows <= stepper_->rows);
    if (steps_ % 8 == 0) check_blocks();
  }
  void check_blocks() {
    engine_->check_integrity();
    stepper_->kv().check_integrity();
  }
  void check_end() {
    check_blocks();
    RC_ASSERT(!after_finish_);
    RC_ASSERT(stepper_->live_sequences == 0);
    happened_.evictions += engine_->status().cache.evicted_blocks;
    RC_ASSERT(engine_->free_blocks() == stepper_->block_count);
    for (const Guest& guest : people_) {
      if (guest.refused) continue;
      RC_ASSERT(guest.finishes == 1);
      check_answer(guest);
      happened_.preemptions += guest.usage.preemptions;
      happened_.reused_tokens += guest.usage.cached_tokens;
      happened_.drafts += guest.usage.accepted_tokens;
    }
  }
  void check_answer(const Guest& guest) {
    std::vector<int32_t> history = guest.request.prompt;
    std::vector<float> logits(kVocabulary);
    for (const int32_t token : guest.tokens) {
      test::dummy_logits(history, logits);
      RC_ASSERT(token == std::ranges::max_element(logits) - logits.begin());
      history.push_back(token);
    }
    switch (guest.finish) {
      case FinishReason::length:
        RC_ASSERT(std::ssize(guest.tokens) == guest.request.max_tokens);
        ++happened_.answers;
        break;
      case FinishReason::cancelled:
        RC_ASSERT(guest.cancel_at < kNever || guest.cancel_after > 0);
        ++happened_.cancelled;
        break;
      case FinishReason::error:
        RC_ASSERT(guest.error->code() == Code::deadline_exceeded || fault_at_ >= 0);
        ++(guest.error->code() == Code::deadline_exceeded ? happened_.late : happened_.faults);
        break;
      default:
        RC_FAIL("a reason that cannot be");
    }
    if (guest.usage.preemptions > 0) return;
    for (size_t i = 1; i < guest.steps.size(); ++i) RC_ASSERT(guest.steps[i] - guest.steps[i - 1] <= 1);
  }

  DummyTokenizer tokenizer_;
  std::vector<Guest> people_;
  size_t next_ = 0;
  int64_t fault_at_;
  int64_t steps_ = 0;
  double now_ = 0;
  bool drafts_ = false;
  bool after_finish_ = false;
  DummyStepper* stepper_;
  Happened& happened_;
  std::unique_ptr<Engine> engine_;
};

TEST(Schedules, KeepEveryPromise) {
  rc::detail::TestMetadata metadata;
  metadata.id = metadata.description = "random schedules";
  rc::detail::TestParams params = rc::detail::configuration().testParams;
  params.maxSuccess = test::kSanitized ? 500 : 10000;
  Happened happened;
  const auto result = rc::detail::checkTestable(
      [&](uint64_t seed) { Host(Schedule(seed, *rc::gen::inRange<int64_t>(1, 20)), happened).run(); }, metadata,
      params);
  rc::detail::printResultMessage(result, std::cerr);
  EXPECT_TRUE(result.template is<rc::detail::SuccessResult>());
  if (test::kSanitized) return;
  EXPECT_GT(happened.preemptions, 1000);
  EXPECT_GT(happened.reused_tokens, 10000);
  EXPECT_GT(happened.evictions, 10000);
  EXPECT_GT(happened.answers, 10000);
  EXPECT_GT(happened.cancelled, 1000);
  EXPECT_GT(happened.late, 1000);
  EXPECT_GT(happened.faults, 500);
  EXPECT_GT(happened.refused, 500);
  EXPECT_GT(happened.drafts, 500);
  EXPECT_GT(happened.chunks, 10000);
  EXPECT_LT(100 * happened.late_chunks, happened.chunks) << "what was predicted did not come true";
}

}  // namespace
}  // namespace autoglm
