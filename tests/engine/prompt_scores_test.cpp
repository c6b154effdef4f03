// Log-probabilities of a prompt's own tokens: the very numbers that sampling them gave, however the prompt is cut.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "engine/dummy.h"

namespace autoglm {
namespace {

using test::DummyStepper;
using test::DummyTokenizer;
using test::Heard;

struct Scores {
  std::vector<Event> prompts;
  Heard rest;
  EventSink sink() {
    return [this, hear = rest.sink()](const Event& event) {
      if (event.kind == Event::Kind::prompt) {
        EXPECT_TRUE(rest.tokens.empty()) << "before anything of the answer";
        prompts.push_back(event);
      } else {
        hear(event);
      }
    };
  }
};

struct Bench {
  explicit Bench(int64_t rows, int64_t logit_rows, int64_t blocks = 64, int64_t sequences = 2) {
    auto made = std::make_unique<DummyStepper>();
    made->rows = rows;
    made->logit_rows = logit_rows;
    made->block_count = blocks;
    stepper = made.get();
    engine =
        std::make_unique<Engine>(std::move(made), tokenizer, ChatModel{}, EngineOptions{.max_sequences = sequences});
  }
  void run() {
    while (engine->has_work()) engine->step();
    EXPECT_EQ(engine->free_blocks(), stepper->block_count);
    engine->check_integrity();
    stepper->kv().check_integrity();
  }
  DummyTokenizer tokenizer;
  DummyStepper* stepper;
  std::unique_ptr<Engine> engine;
};

Request request(const std::vector<int32_t>& prompt, int64_t max_tokens, bool scores) {
  Request asked;
  asked.prompt = prompt;
  asked.max_tokens = max_tokens;
  asked.sampling.temperature = 1;
  asked.sampling.seed = 9;
  asked.sampling.logprobs = 3;
  asked.prompt_logprobs = scores;
  return asked;
}

// A prompt, and what followed it with its scores.
struct Sampled {
  std::vector<int32_t> all = {3, 1, 4, 1, 5};
  Heard heard;
  Sampled() {
    Bench bench(32, 64);
    bench.engine->submit(request(all, 90, false), heard.sink());
    bench.run();
    all.insert(all.end(), heard.tokens.begin(), heard.tokens.end());
  }
};

void expect_scores(const Scores& got, const Sampled& sampled) {
  ASSERT_EQ(got.prompts.size(), 1U);
  const Event& event = got.prompts.front();
  EXPECT_EQ(event.tokens, sampled.all);
  ASSERT_EQ(event.logprobs.size(), sampled.all.size());
  EXPECT_TRUE(std::isnan(event.logprobs[0][0].logprob));
  for (size_t i = 0; i < sampled.heard.logprobs.size(); ++i) {
    const auto& wanted = sampled.heard.logprobs[i];
    const auto& row = event.logprobs[5 + i];
    ASSERT_EQ(row.size(), wanted.size());
    for (size_t j = 0; j < row.size(); ++j) {
      EXPECT_EQ(row[j].token, wanted[j].token) << i;
      EXPECT_EQ(std::memcmp(&row[j].logprob, &wanted[j].logprob, sizeof(float)), 0) << i;
    }
  }
}

TEST(PromptScores, AreThoseOfSamplingInChunksOfAnyLength) {
  const Sampled sampled;
  for (const int64_t logit_rows : {3, 5, 18, 64}) {
    Bench bench(32, logit_rows);
    for (int again = 0; again < 2; ++again) {  // a cached prefix has no logits: it is computed again
      Scores scores;
      bench.engine->submit(request(sampled.all, 0, true), scores.sink());
      bench.run();
      expect_scores(scores, sampled);
      EXPECT_EQ(scores.rest.finish, FinishReason::length);
      EXPECT_TRUE(scores.rest.tokens.empty());
      EXPECT_EQ(scores.rest.usage.cached_tokens, 0);
    }
  }
}

TEST(PromptScores, DoNotChangeTheAnswerNorThoseOfOthers) {
  const Sampled sampled;
  Bench alone(32, 64);
  Heard wanted;
  alone.engine->submit(request(sampled.all, 40, false), wanted.sink());
  alone.run();
  Bench bench(16, 6);
  Scores scores;
  Heard other;
  Heard long_one;
  bench.engine->submit(request({7, 7, 7}, 60, false), other.sink());
  bench.engine->submit(request(sampled.all, 40, true), scores.sink());
  bench.engine->submit(request(std::vector<int32_t>(70, 2), 5, false), long_one.sink());
  bench.run();
  expect_scores(scores, sampled);
  expect_same_bits(scores.rest, wanted);
  EXPECT_EQ(other.tokens.size(), 60U);
  EXPECT_EQ(long_one.tokens.size(), 5U);
}

TEST(PromptScores, AreToldOnceThoughTheRequestIsPreempted) {
  const Sampled sampled;
  Bench bench(32, 8, 11, 2);  // blocks for 176 tokens: both cannot grow to their ends together
  Heard other;
  Scores scores;
  bench.engine->submit(request({7, 7, 7}, 100, false), other.sink());
  bench.engine->submit(request(sampled.all, 60, true), scores.sink());
  bench.run();
  expect_scores(scores, sampled);
  EXPECT_GT(scores.rest.usage.preemptions, 0);
  EXPECT_EQ(scores.rest.tokens.size(), 60U);
}

TEST(PromptScores, NeedRowsOfTheirOwn) {
  Bench bench(32, 2);
  EXPECT_THROW(bench.engine->submit(request({1, 2}, 1, true), nullptr), Error);
  Request without = request({1, 2}, 1, true);
  without.sampling.logprobs = -1;
  EXPECT_NO_THROW(bench.engine->submit(without, nullptr));
  bench.run();
}

TEST(PromptScores, OfOneTokenAreNone) {
  Bench bench(32, 8);
  Scores scores;
  bench.engine->submit(request({4}, 0, true), scores.sink());
  bench.run();
  ASSERT_EQ(scores.prompts.size(), 1U);
  EXPECT_EQ(scores.prompts[0].logprobs.size(), 1U);
  EXPECT_EQ(scores.rest.finishes, 1);
}

}  // namespace
}  // namespace autoglm
