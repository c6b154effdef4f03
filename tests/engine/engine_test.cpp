// The engine against a dummy model: what it promises about order, identity, errors and blocks.
#include "engine/engine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "engine/dummy.h"

namespace autoglm {
namespace {

using test::DummyStepper;
using test::DummyTokenizer;
using test::Heard;

struct Bench {
  explicit Bench(const EngineOptions& options = {},
                 std::unique_ptr<DummyStepper> made = std::make_unique<DummyStepper>(), ChatModel chat = {})
      : stepper(made.get()), engine(std::move(made), tokenizer, std::move(chat), options) {}
  void run() {
    for (int i = 0; engine.has_work(); ++i) {
      ASSERT_LT(i, 100000) << "the engine does not end";
      engine.step();
    }
    engine.step();  // nothing left: must be harmless
  }
  DummyTokenizer tokenizer;
  DummyStepper* stepper;
  Engine engine;
};

Request request(std::vector<int32_t> prompt, int64_t max_tokens, uint64_t seed = 1) {
  Request result;
  result.prompt = std::move(prompt);
  result.max_tokens = max_tokens;
  result.sampling.temperature = 1.0f;
  result.sampling.seed = seed;
  return result;
}

std::vector<int32_t> prompt_of(int length, int start) {
  std::vector<int32_t> tokens;
  for (int i = 0; i < length; ++i) tokens.push_back((start * 7 + i * 3) % 50);
  return tokens;
}

Heard alone(Request asked) {
  Bench bench;
  Heard heard;
  bench.engine.submit(std::move(asked), heard.sink());
  bench.run();
  return heard;
}

TEST(Engine, OneRequestFromPromptToFinish) {
  const Heard heard = alone(request({1, 2, 3}, 20));
  EXPECT_EQ(heard.finish, FinishReason::length);
  EXPECT_EQ(heard.finishes, 1);
  EXPECT_EQ(heard.tokens.size(), 20U);
  EXPECT_EQ(heard.text, DummyTokenizer().decode(heard.tokens, false));
  EXPECT_EQ(heard.usage.prompt_tokens, 3);
  EXPECT_EQ(heard.usage.completion_tokens, 20);
  EXPECT_EQ(heard.usage.seed, 1U);
}

TEST(Engine, BatchMatesChunksAndPreemptionNeverChangeAnAnswer) {
  constexpr int kRequests = 9;
  for (const int64_t blocks : {int64_t{64}, int64_t{9}}) {
    auto stepper = std::make_unique<DummyStepper>();
    stepper->block_count = blocks;
    stepper->context_size = 9 * kKvBlock;
    stepper->rows = 11;
    Bench bench({.max_sequences = 5}, std::move(stepper));
    std::vector<Heard> heard(kRequests);
    int64_t preemptions = 0;
    for (int i = 0; i < kRequests; ++i) {
      bench.engine.submit(request(prompt_of(1 + i * 5, i), 40, static_cast<uint64_t>(i + 1)),
                          heard[static_cast<size_t>(i)].sink());
      if (i % 3 == 0) bench.engine.step();  // some arrive while others run
    }
    bench.run();
    for (int i = 0; i < kRequests; ++i) {
      const Heard& got = heard[static_cast<size_t>(i)];
      const Heard wanted = alone(request(prompt_of(1 + i * 5, i), 40, static_cast<uint64_t>(i + 1)));
      EXPECT_EQ(got.tokens, wanted.tokens) << "request " << i << ", " << blocks << " blocks";
      EXPECT_EQ(got.text, wanted.text);
      EXPECT_EQ(got.finishes, 1);
      preemptions += got.usage.preemptions;
    }
    EXPECT_GT(bench.stepper->most_sequences, 1);
    EXPECT_LE(bench.stepper->most_rows, 11);
    EXPECT_EQ(preemptions > 0, blocks == 9) << "few blocks must have forced someone out";
    EXPECT_EQ(bench.stepper->live_sequences, 0);
    EXPECT_EQ(bench.engine.free_blocks(), blocks);
  }
}

TEST(Engine, EndTokensStopAndIgnoreEosDoesNot) {
  const Heard free_run = alone(request({5}, 30));
  ChatModel chat;
  chat.ends = {free_run.tokens[10]};
  size_t first = 0;
  while (free_run.tokens[first] != chat.ends[0]) ++first;
  for (const bool ignore : {false, true}) {
    Bench bench({}, std::make_unique<DummyStepper>(), chat);
    Heard heard;
    Request asked = request({5}, 30);
    asked.ignore_eos = ignore;
    bench.engine.submit(std::move(asked), heard.sink());
    bench.run();
    EXPECT_EQ(heard.finish, ignore ? FinishReason::length : FinishReason::stop);
    EXPECT_EQ(heard.tokens.size(), ignore ? 30U : first + 1) << "the end token is counted, not printed";
    if (!ignore) {
      EXPECT_EQ(heard.text.size(), first);
    }
  }
}

TEST(Engine, StopStringsAcrossTokenBorders) {
  const Heard free_run = alone(request({8}, 30));
  const std::string stop = free_run.text.substr(12, 3);
  const size_t place = free_run.text.find(stop);
  Bench bench;
  Heard heard;
  Request asked = request({8}, 30);
  asked.stop = {stop, "never"};
  bench.engine.submit(std::move(asked), heard.sink());
  bench.run();
  EXPECT_EQ(heard.finish, FinishReason::stop);
  EXPECT_EQ(heard.text, free_run.text.substr(0, place));
  EXPECT_EQ(heard.tokens.size(), place + 3);
}

TEST(Engine, ReasoningMarksThatPrintNothingAreStillSeen) {
  ChatSpec spec;
  spec.reasoning_open = "<think>";
  spec.reasoning_close = "</think>";
  ChatModel chat;
  chat.spec = &spec;
  auto stepper = std::make_unique<DummyStepper>();
  const std::vector<int32_t> script = {48, 3, 4, 49, 5};  // <think> d e </think> f
  stepper->hook = [&script](const std::vector<int32_t>& history, std::span<float> logits) {
    std::fill(logits.begin(), logits.end(), 0.0f);
    logits[static_cast<size_t>(script.at(history.size() - 1))] = 100.0f;
  };
  DummyTokenizer tokenizer;
  tokenizer.pieces[48] = "<think>";
  tokenizer.pieces[49] = "</think>";
  for (const bool control : {true, false}) {
    if (control) tokenizer.controls = {48, 49};
    auto copy = std::make_unique<DummyStepper>();
    copy->hook = stepper->hook;
    Engine engine(std::move(copy), tokenizer, chat);
    Heard heard;
    Request asked = request({1}, 5);
    asked.reasoning = ReasoningStart::at_mark;
    engine.submit(std::move(asked), heard.sink());
    while (engine.has_work()) engine.step();
    EXPECT_EQ(heard.reasoning, "de");
    EXPECT_EQ(heard.text, "f");
    EXPECT_EQ(heard.tokens, script) << "every token is in exactly one event";
    tokenizer.controls.clear();
  }
}

TEST(Engine, LogprobsComeWithTheirTokens) {
  Bench bench;
  Heard heard;
  Request asked = request({1, 2}, 6);
  asked.sampling.logprobs = 2;
  bench.engine.submit(std::move(asked), heard.sink());
  bench.run();
  ASSERT_EQ(heard.logprobs.size(), 6U);
  for (size_t i = 0; i < 6; ++i) {
    ASSERT_EQ(heard.logprobs[i].size(), 3U);
    EXPECT_EQ(heard.logprobs[i][0].token, heard.tokens[i]);
    EXPECT_GE(heard.logprobs[i][1].logprob, heard.logprobs[i][2].logprob);
  }
}

template <typename F>
Error refused(F&& act) {
  try {
    act();
  } catch (const Error& error) {
    return error;
  }
  return Error(Code::internal, "accepted");
}

TEST(Engine, RefusesWhatCannotBeHonouredAndSaysBothNumbers) {
  Bench bench;  // context 256
  const auto submit = [&](Request asked) { return refused([&] { bench.engine.submit(std::move(asked), nullptr); }); };
  EXPECT_EQ(submit(request({}, 5)).code(), Code::bad_request);
  EXPECT_EQ(submit(request({50}, 5)).code(), Code::bad_request);
  EXPECT_EQ(submit(request({-1}, 5)).code(), Code::bad_request);
  const Error too_long = submit(request(prompt_of(300, 1), -1));
  EXPECT_EQ(too_long.code(), Code::context_exceeded);
  EXPECT_THAT(too_long.what(), testing::AllOf(testing::HasSubstr("300"), testing::HasSubstr("256")));
  const Error too_much = submit(request(prompt_of(200, 1), 57));
  EXPECT_EQ(too_much.code(), Code::context_exceeded);
  EXPECT_THAT(too_much.what(),
              testing::AllOf(testing::HasSubstr("200"), testing::HasSubstr("57"), testing::HasSubstr("256")));
  Request bad = request({1}, 5);
  bad.sampling.temperature = std::numeric_limits<float>::quiet_NaN();
  EXPECT_EQ(submit(std::move(bad)).code(), Code::bad_request);
  EXPECT_FALSE(bench.engine.has_work());
}

TEST(Engine, WithoutMaxTokensTheContextIsTheEnd) {
  const Heard heard = alone(request(prompt_of(200, 1), -1));
  EXPECT_EQ(heard.finish, FinishReason::length);
  EXPECT_EQ(heard.tokens.size(), 56U);
  const Heard none = alone(request({1}, 0));
  EXPECT_EQ(none.finish, FinishReason::length);
  EXPECT_TRUE(none.tokens.empty());
}

TEST(Engine, ANumberThatIsNoneEndsItsOwnRequestOnly) {
  Bench bench({.max_sequences = 2});
  bench.stepper->hook = [](const std::vector<int32_t>& history, std::span<float> logits) {
    if (history[0] == 9 && history.size() == 4) logits[7] = std::numeric_limits<float>::quiet_NaN();
  };
  Heard bad;
  Heard good;
  bench.engine.submit(request({9}, 20), bad.sink());
  bench.engine.submit(request({3}, 20), good.sink());
  bench.run();
  EXPECT_EQ(bad.finish, FinishReason::error);
  ASSERT_TRUE(bad.error);
  EXPECT_EQ(bad.error->code(), Code::numeric);
  EXPECT_EQ(bad.tokens.size(), 3U);
  EXPECT_EQ(good.tokens, alone(request({3}, 20)).tokens);
  EXPECT_EQ(bench.engine.free_blocks(), bench.stepper->block_count);
}

TEST(Engine, AnExceptionInAStepFailsItsRequestsAndFreesTheirBlocks) {
  Bench bench({.max_sequences = 2});
  bool armed = true;
  bench.stepper->hook = [&armed](const std::vector<int32_t>& history, std::span<float>) {
    if (history.size() == 5 && std::exchange(armed, false)) throw std::runtime_error("the device is gone");
  };
  std::vector<Heard> heard(3);  // the third waits, and is served after the failure
  for (Heard& one : heard) bench.engine.submit(request({4, 2}, 20), one.sink());
  bench.run();
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(heard[static_cast<size_t>(i)].finish, FinishReason::error);
    ASSERT_TRUE(heard[static_cast<size_t>(i)].error);
    EXPECT_THAT(heard[static_cast<size_t>(i)].error->what(), testing::HasSubstr("the device is gone"));
    EXPECT_EQ(heard[static_cast<size_t>(i)].finishes, 1);
  }
  EXPECT_EQ(heard[2].finish, FinishReason::length);
  EXPECT_EQ(heard[2].tokens, alone(request({4, 2}, 20)).tokens);
  EXPECT_EQ(bench.stepper->live_sequences, 0);
  EXPECT_EQ(bench.engine.free_blocks(), bench.stepper->block_count);
}

TEST(Engine, ASinkThatThrowsEndsItsOwnRequestOnly) {
  Bench bench({.max_sequences = 2});
  int calls = 0;
  bench.engine.submit(request({1}, 20), [&calls](const Event&) {
    if (++calls == 3) throw std::runtime_error("connection reset");
  });
  Heard good;
  bench.engine.submit(request({3}, 20), good.sink());
  bench.run();
  EXPECT_EQ(calls, 3);
  EXPECT_EQ(good.tokens, alone(request({3}, 20)).tokens);
  EXPECT_EQ(bench.stepper->live_sequences, 0);
}

TEST(Engine, CancelFreesAtOnceInEveryPhaseAndFromInsideASink) {
  auto stepper = std::make_unique<DummyStepper>();
  stepper->rows = 4;
  Bench bench({.max_sequences = 2}, std::move(stepper));
  std::vector<Heard> heard(4);
  const RequestId prefilling = bench.engine.submit(request(prompt_of(60, 1), 20), heard[0].sink());
  RequestId self = 0;
  int texts = 0;
  const EventSink inner = heard[1].sink();
  self = bench.engine.submit(request({3}, 20), [&](const Event& event) {
    inner(event);
    if (event.kind == Event::Kind::text && ++texts == 2) bench.engine.cancel(self);
  });
  const RequestId waiting = bench.engine.submit(request({4}, 20), heard[2].sink());
  bench.engine.submit(request({5}, 20), heard[3].sink());
  bench.engine.step();
  bench.engine.step();
  bench.engine.cancel(waiting);
  bench.engine.cancel(prefilling);
  bench.engine.cancel(12345);
  EXPECT_EQ(heard[0].finish, FinishReason::cancelled);
  EXPECT_EQ(heard[2].finish, FinishReason::cancelled);
  bench.run();
  EXPECT_EQ(heard[1].finish, FinishReason::cancelled);
  EXPECT_EQ(heard[1].tokens.size(), 2U);
  EXPECT_EQ(heard[3].tokens, alone(request({5}, 20)).tokens);
  for (const Heard& one : heard) {
    EXPECT_EQ(one.finishes, 1);
    EXPECT_EQ(one.after_finish, 0);
  }
  EXPECT_EQ(bench.stepper->live_sequences, 0);
  EXPECT_EQ(bench.engine.free_blocks(), bench.stepper->block_count);
}

}  // namespace
}  // namespace autoglm
