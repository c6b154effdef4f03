// What a server builds on: the queue's bound, deadlines and cancellation in every phase, batches that gather, reused
// prefixes. On a dummy model, with a clock that the test moves.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "engine/dummy.h"
#include "engine/engine.h"

namespace autoglm {
namespace {

using test::DummyStepper;
using test::DummyTokenizer;
using test::Heard;
using testing::HasSubstr;

struct Bench {
  explicit Bench(EngineOptions options = {}, std::unique_ptr<DummyStepper> made = std::make_unique<DummyStepper>())
      : stepper(made.get()) {
    stepper->before_step = [this](const Batch& batch) { now += 0.01 * static_cast<double>(batch.tokens.size()); };
    options.clock = [this] { return now; };
    engine = std::make_unique<Engine>(std::move(made), tokenizer, ChatModel{}, options);
  }
  void run() {
    for (int i = 0; engine->has_work(); ++i) {
      ASSERT_LT(i, 10000) << "the engine does not end";
      engine->step();
    }
    EXPECT_EQ(stepper->live_sequences, 0);
    EXPECT_EQ(engine->free_blocks(), stepper->block_count);
    engine->check_integrity();
    stepper->kv().check_integrity();
  }
  double now = 100;
  DummyTokenizer tokenizer;
  DummyStepper* stepper;
  std::unique_ptr<Engine> engine;
};

Request request(int length, int64_t max_tokens, int start = 1) {
  Request result;
  for (int i = 0; i < length; ++i) result.prompt.push_back((start * 7 + i * 3) % 50);
  result.max_tokens = max_tokens;
  result.sampling.temperature = 1.0f;
  result.sampling.seed = 1;
  return result;
}

Heard alone(const Request& asked) {
  Bench bench({.policy = {.prefix_cache = false}});
  Heard heard;
  bench.engine->submit(asked, heard.sink());
  bench.run();
  return heard;
}

TEST(Serving, TheQueueIsBoundedAndSaysSo) {
  Bench bench({.max_sequences = 2, .max_queue = 3});
  std::vector<Heard> heard(8);
  int refused = 0;
  for (Heard& one : heard) {
    try {
      bench.engine->submit(request(4, 5), one.sink());
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), Code::overloaded);
      EXPECT_EQ(info(error.code()).http_status, 429);
      EXPECT_THAT(error.what(), HasSubstr("the queue is full"));
      ++refused;
    }
  }
  EXPECT_EQ(refused, 3) << "two can begin at once, three may wait";
  bench.engine->step();
  EXPECT_EQ(bench.engine->status().running, 2);
  EXPECT_EQ(bench.engine->status().waiting, 3);
  EXPECT_GT(bench.engine->status().backlog_seconds, 0);
  EXPECT_THROW(bench.engine->submit(request(4, 5), nullptr), Error);
  bench.run();
  for (size_t i = 0; i < 5; ++i) EXPECT_EQ(heard[i].finish, FinishReason::length);
  EXPECT_NO_THROW(bench.engine->submit(request(4, 1), nullptr));
  bench.run();
}

TEST(Serving, AQueueOfNoneStillServes) {
  Bench bench({.max_sequences = 1, .max_queue = 0});
  bench.engine->submit(request(4, 5), nullptr);
  EXPECT_THROW(bench.engine->submit(request(4, 5), nullptr), Error);
  bench.run();
}

struct Late {
  const char* phase;
  Deadlines deadlines;
  size_t tokens;  // heard before
};

TEST(Serving, DeadlinesEndARequestInEveryPhaseAndNobodyElse) {
  // 32 rows a step: a prompt of 100 takes 4 steps of 0.32 s, a token 0.01 s.
  const std::vector<Late> cases = {{.phase = "queue", .deadlines = {.queue = 0.3}, .tokens = 0},
                                   {.phase = "prefill", .deadlines = {.prefill = 0.9}, .tokens = 0},
                                   {.phase = "decode", .deadlines = {.decode = 0.055}, .tokens = 6}};
  for (const Late& late : cases) {
    for (const bool by_default : {false, true}) {
      EngineOptions options;
      options.policy.prefix_cache = false;
      if (by_default) options.deadlines = late.deadlines;
      Bench bench(options);
      Heard first;
      Heard second;
      Request asked = request(100, 20, 2);
      if (!by_default) asked.deadlines = late.deadlines;
      const bool queue = std::string_view(late.phase) == "queue";
      if (queue) {
        Request ahead = request(30, 20);
        ahead.deadlines.queue = 1000;
        bench.engine->submit(ahead, first.sink());
      }
      bench.engine->submit(asked, second.sink());
      bench.run();
      EXPECT_EQ(second.finish, FinishReason::error) << late.phase;
      ASSERT_TRUE(second.error) << late.phase;
      EXPECT_EQ(second.error->code(), Code::deadline_exceeded);
      EXPECT_THAT(second.error->what(), HasSubstr(late.phase));
      EXPECT_EQ(second.finishes, 1);
      EXPECT_NEAR(static_cast<double>(second.tokens.size()), static_cast<double>(late.tokens), 1) << late.phase;
      if (queue) {
        EXPECT_EQ(first.tokens, alone(request(30, 20)).tokens);
      }
    }
  }
}

TEST(Serving, CancellingInAnyPhaseFreesEverything) {
  auto made = std::make_unique<DummyStepper>();
  made->rows = 16;
  Bench bench({.max_sequences = 2}, std::move(made));
  std::vector<Heard> heard(3);
  const RequestId decoding = bench.engine->submit(request(3, 200, 1), heard[0].sink());
  for (int i = 0; i < 5; ++i) bench.engine->step();
  const RequestId prefilling = bench.engine->submit(request(120, 50, 2), heard[1].sink());
  const RequestId waiting = bench.engine->submit(request(20, 50, 3), heard[2].sink());
  bench.engine->step();
  EXPECT_EQ(bench.engine->status().running, 2);
  EXPECT_TRUE(heard[1].tokens.empty());
  for (const RequestId id : {waiting, prefilling, decoding}) {
    bench.engine->cancel(id);
    bench.engine->check_integrity();
    bench.stepper->kv().check_integrity();
  }
  EXPECT_FALSE(bench.engine->has_work());
  for (const Heard& one : heard) EXPECT_EQ(one.finish, FinishReason::cancelled);
  bench.run();
}

TEST(Serving, ABatchGathersWithoutComputing) {
  Bench bench({.max_sequences = 4, .policy = {.batching = Batching::dynamic, .window = 0.5}});
  EXPECT_EQ(bench.engine->idle_seconds(), std::numeric_limits<double>::infinity());
  Heard heard;
  bench.engine->submit(request(4, 3), heard.sink());
  bench.engine->step();
  EXPECT_EQ(bench.stepper->steps, 0);
  EXPECT_NEAR(bench.engine->idle_seconds(), 0.5, 1e-9);
  bench.now += 0.5;
  EXPECT_EQ(bench.engine->idle_seconds(), 0);
  bench.run();
  EXPECT_EQ(heard.tokens, alone(request(4, 3)).tokens);
  EXPECT_NEAR(heard.usage.queue_ms, 500, 1e-6);
}

TEST(Serving, AConversationIsComputedOnceAndUsageSaysSo) {
  Bench bench;
  Heard first;
  bench.engine->submit(request(50, 30), first.sink());
  bench.run();
  EXPECT_EQ(first.usage.cached_tokens, 0);
  Request next = request(50, 20);
  next.prompt.insert(next.prompt.end(), first.tokens.begin(), first.tokens.end());
  next.prompt.insert(next.prompt.end(), {1, 2, 3});
  const int64_t before = bench.stepper->rows_computed;
  Heard second;
  bench.engine->submit(next, second.sink());
  bench.run();
  EXPECT_EQ(second.usage.cached_tokens, 64) << "of 80 tokens, 79 were stored: four whole blocks";
  EXPECT_EQ(bench.stepper->rows_computed - before, 83 - 64 + 19);
  EXPECT_EQ(second.tokens, alone(next).tokens);
  EXPECT_EQ(bench.engine->status().cache.hit_tokens, 64);
}

TEST(Serving, TheLastStepIsReported) {
  Bench bench({.max_sequences = 2});
  bench.engine->submit(request(10, 5), nullptr);
  bench.engine->step();
  EXPECT_EQ(bench.engine->last_step().shape.prefill_rows, 10);
  EXPECT_EQ(bench.engine->last_step().requests, 1);
  EXPECT_NEAR(bench.engine->last_step().seconds, 0.1, 1e-9);
  bench.engine->step();
  EXPECT_EQ(bench.engine->last_step().shape.decode_rows, 1);
  bench.run();
}

}  // namespace
}  // namespace autoglm
