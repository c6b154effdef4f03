// Speculation: it changes how many steps an answer takes and nothing else, and it knows when to keep quiet.
#include "engine/speculation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "engine/dummy.h"
#include "engine/engine.h"

namespace autoglm {
namespace {

using test::DummyStepper;
using test::DummyTokenizer;
using test::Heard;

// --- policy: driven by hand, no clock ---

StepCosts costs_of(double slope, int64_t rows = 1) {
  StepCosts costs;
  for (int i = 0; i < 5; ++i) {
    for (const int64_t r : {int64_t{4}, int64_t{16}, rows}) costs.observe(r, 1 + slope * static_cast<double>(r - 1));
  }
  return costs;
}

Acceptance taught(int64_t length, double share) {
  Acceptance acceptance;
  for (int i = 0; i < 400; ++i) {
    for (int64_t l = length; l < length + 48; ++l) acceptance.observe(l, i * 37 % 100 < 100 * share);
  }
  return acceptance;
}

int64_t chosen(const Acceptance& acceptance, const StepCosts& costs, int64_t length = 8) {
  DraftOption option{.acceptance = &acceptance, .match_length = length, .most = kMostDraft};
  choose_drafts({&option, 1}, 1, 100, costs);
  return option.chosen;
}

TEST(StepCosts, LearnsInterpolatesAndForgets) {
  StepCosts costs;
  EXPECT_EQ(costs.predict(1), 0);
  costs.observe(1, 2.0);
  EXPECT_FALSE(costs.measured(1)) << "once is not enough";
  for (int i = 0; i < 10; ++i) costs.observe(1, 2.0);
  for (int i = 0; i < 10; ++i) costs.observe(9, 4.0);
  EXPECT_TRUE(costs.measured(1));
  EXPECT_NEAR(costs.predict(1), 2.0, 1e-9);
  EXPECT_NEAR(costs.predict(5), 3.0, 1e-9);
  EXPECT_GE(costs.predict(16), 4.0);
  costs.observe(1, 2000.0);
  EXPECT_LT(costs.predict(1), 3.0) << "one bad moment moves it a little";
  for (int i = 0; i < 400; ++i) costs.observe(1, 2.0);
  EXPECT_LT(costs.predict(9), 4.0) << "not seen for long: to be tried again";
  for (int i = 0; i < 100; ++i) costs.observe(9, 4.0);
  EXPECT_FALSE(costs.measured(1)) << "the comparison must be fresh";
  costs.observe(0, 1.0);
  costs.observe(StepCosts::kMostRows + 1, 1.0);
  EXPECT_EQ(costs.predict(StepCosts::kMostRows + 1), 0);
}

TEST(ChooseDrafts, DraftsWhatIsWorthItsRows) {
  EXPECT_EQ(chosen(taught(8, 1.0), costs_of(0.01)), kMostDraft) << "always right and nearly free";
  EXPECT_EQ(chosen(taught(8, 1.0), costs_of(1.1)), 0) << "a row costs more than a step";
  EXPECT_EQ(chosen(taught(8, 0.0), costs_of(0.01)), 0) << "never right";
  const int64_t middle = chosen(taught(8, 0.6), costs_of(0.1));
  EXPECT_GT(middle, 0);
  EXPECT_LT(middle, 5) << "the chance that the fifth in a row is right is 8 %";
  EXPECT_EQ(chosen(taught(8, 1.0), StepCosts()), 0) << "no step was measured yet";
}

TEST(ChooseDrafts, SharesRowsAmongSequencesByTheirChances) {
  const Acceptance good = taught(8, 0.95);
  const Acceptance bad = taught(8, 0.02);
  const StepCosts costs = costs_of(0.05, 3);
  std::vector<DraftOption> options = {{.acceptance = &bad, .match_length = 8, .most = kMostDraft},
                                      {.acceptance = &good, .match_length = 8, .most = kMostDraft},
                                      {.acceptance = &good, .match_length = 8, .most = 2}};
  choose_drafts(options, 3, 10, costs);
  EXPECT_EQ(options[0].chosen, 0);
  EXPECT_EQ(options[2].chosen, 2);
  EXPECT_GT(options[1].chosen, 2);
  EXPECT_LE(options[1].chosen + options[2].chosen, 10);
  choose_drafts(options, 3, 0, costs);
  EXPECT_EQ(options[1].chosen, 0) << "no room";
}

TEST(Acceptance, SwitchesOffOnProseAndOnAgainWhenTheTextRepeats) {
  Acceptance acceptance;
  const StepCosts costs = costs_of(0.05);
  EXPECT_GT(chosen(acceptance, costs, 9), 0) << "long matches are trusted at once";
  for (int i = 0; i < 40; ++i) acceptance.observe(2, false);
  EXPECT_EQ(chosen(acceptance, costs, 2), 0);
  for (int i = 0; i < 20; ++i) acceptance.observe(2, true);  // seen without drafting
  EXPECT_GT(chosen(acceptance, costs, 2), 0);
}

// --- the engine on a dummy that repeats itself ---

// Mostly a function of the last two tokens, so that a sequence comes back to what it has said; sometimes of all of
// them, so that it leaves again and any token lost, doubled or not taken back shows.
void repeat_yourself(const std::vector<int32_t>& history, std::span<float> logits) {
  uint64_t whole = 7;
  for (const int32_t token : history) whole = (whole ^ static_cast<uint64_t>(token + 1)) * 1099511628211ULL;
  if ((whole >> 32) % 9 == 0) return;
  const size_t n = history.size();
  uint64_t hash = static_cast<uint64_t>(history[n - 1]) * 31 + (n > 1 ? static_cast<uint64_t>(history[n - 2] % 3) : 0);
  for (float& logit : logits) {
    hash = hash * 6364136223846793005ULL + 1442695040888963407ULL;
    logit = static_cast<float>(hash >> 40) / static_cast<float>(1 << 21);
  }
}

struct Sizes {
  int64_t blocks = 64;
  int64_t context = 256;
  int64_t logit_rows = 64;
  int64_t sequences = 1;
  ChatModel chat{};
};

struct Result {
  std::vector<Heard> heard;
  int64_t steps = 0;
  int64_t truncations = 0;
};

Result run(const std::vector<Request>& requests, Speculation speculation, const Sizes& sizes = {}) {
  auto made = std::make_unique<DummyStepper>();
  DummyStepper& stepper = *made;
  stepper.block_count = sizes.blocks;
  stepper.context_size = sizes.context;
  stepper.logit_rows = sizes.logit_rows;
  stepper.hook = repeat_yourself;
  const DummyTokenizer tokenizer;
  Engine engine(std::move(made), tokenizer, sizes.chat, {.max_sequences = sizes.sequences, .speculation = speculation});
  Result result;
  result.heard.resize(requests.size());
  for (size_t i = 0; i < requests.size(); ++i) {
    engine.submit(requests[i], result.heard[i].sink());
    if (i % 2 == 1) engine.step();
  }
  for (int i = 0; engine.has_work() && i < 100000; ++i) engine.step();
  EXPECT_FALSE(engine.has_work());
  EXPECT_EQ(stepper.live_sequences, 0);
  EXPECT_EQ(engine.free_blocks(), sizes.blocks);
  result.steps = stepper.steps;
  result.truncations = stepper.truncations;
  return result;
}

Request request(int length, int64_t max_tokens, float temperature, uint64_t seed = 1) {
  Request result;
  for (int i = 0; i < length; ++i) result.prompt.push_back(static_cast<int32_t>((i * 3 + static_cast<int>(seed)) % 50));
  result.max_tokens = max_tokens;
  result.sampling.temperature = temperature;
  result.sampling.seed = seed;
  return result;
}

void expect_same(const Heard& got, const Heard& wanted, const std::string& what) {
  EXPECT_EQ(got.tokens, wanted.tokens) << what;
  EXPECT_EQ(got.text, wanted.text) << what;
  EXPECT_EQ(got.finish, wanted.finish) << what;
  EXPECT_EQ(got.finishes, 1) << what;
  EXPECT_EQ(got.after_finish, 0) << what;
  ASSERT_EQ(got.logprobs.size(), wanted.logprobs.size()) << what;
  for (size_t i = 0; i < got.logprobs.size(); ++i) {
    ASSERT_EQ(got.logprobs[i].size(), wanted.logprobs[i].size()) << what;
    for (size_t j = 0; j < got.logprobs[i].size(); ++j) {
      EXPECT_EQ(got.logprobs[i][j].token, wanted.logprobs[i][j].token) << what;
      EXPECT_EQ(std::memcmp(&got.logprobs[i][j].logprob, &wanted.logprobs[i][j].logprob, sizeof(float)), 0) << what;
    }
  }
  EXPECT_EQ(got.usage.completion_tokens, wanted.usage.completion_tokens) << what;
}

/// The same answers with and without; returns what `always` did.
Result expect_unchanged(const std::vector<Request>& requests, const std::string& what, const Sizes& sizes = {}) {
  const Result off = run(requests, Speculation::off, sizes);
  Result always;
  for (const Speculation mode : {Speculation::automatic, Speculation::always}) {
    always = run(requests, mode, sizes);
    for (size_t i = 0; i < requests.size(); ++i) {
      expect_same(always.heard[i], off.heard[i], what + ", request " + std::to_string(i));
      EXPECT_LE(always.heard[i].usage.accepted_tokens, always.heard[i].usage.drafted_tokens);
      EXPECT_EQ(off.heard[i].usage.drafted_tokens, 0);
    }
  }
  return always;
}

TEST(Speculation, SameAnswersInFewerSteps) {
  int64_t accepted_sampled = 0;
  for (const float temperature : {0.0f, 0.4f, 1.0f}) {
    for (const int length : {1, 15, 16, 17, 40}) {
      const std::vector<Request> one = {request(length, 120, temperature, static_cast<uint64_t>(length + 1))};
      const std::string what = "temperature " + std::to_string(temperature) + ", prompt " + std::to_string(length);
      const Result always = expect_unchanged(one, what);
      if (temperature > 0) accepted_sampled += always.heard[0].usage.accepted_tokens;
      if (temperature > 0) continue;
      EXPECT_GT(always.heard[0].usage.accepted_tokens, 0) << what;
      EXPECT_LT(always.steps, 120) << what;
      EXPECT_GT(always.truncations, 0) << "something must have been rejected for this to be a test";
      EXPECT_EQ(always.steps + always.heard[0].usage.accepted_tokens, 120 + (length > 32 ? 1 : 0)) << what;
    }
  }
  EXPECT_GT(accepted_sampled, 0);
}

TEST(Speculation, SamplersOptionsSeeTheSameState) {
  Request penalties = request(20, 100, 0.7f, 3);
  penalties.sampling.repetition_penalty = 1.2f;
  penalties.sampling.presence_penalty = 0.3f;
  penalties.sampling.frequency_penalty = 0.2f;
  penalties.sampling.top_k = 20;
  expect_unchanged({penalties}, "penalties");
  Request bias = request(20, 100, 0.0f, 4);
  bias.sampling.logit_bias = {{3, 2.0f}, {7, -5.0f}};
  bias.sampling.logprobs = 4;
  const Result biased = expect_unchanged({bias}, "bias and logprobs");
  EXPECT_EQ(biased.heard[0].logprobs.size(), 100U);
  EXPECT_GT(biased.heard[0].usage.accepted_tokens, 0);
}

TEST(Speculation, EndsWhereTheAnswerEnds) {
  const Heard whole = run({request(9, 100, 0.0f)}, Speculation::off).heard[0];
  for (size_t at = 40; at < 60; ++at) {  // wherever it falls within a draft
    Request stopped = request(9, 100, 0.0f);
    stopped.stop = {whole.text.substr(at, 3)};
    expect_unchanged({stopped}, "stop string at " + std::to_string(at));
    expect_unchanged({request(9, static_cast<int64_t>(at), 0.0f)}, "length " + std::to_string(at));
    Sizes sizes;
    sizes.chat.ends = {whole.tokens[at]};
    expect_unchanged({request(9, 100, 0.0f)}, "end token at " + std::to_string(at), sizes);
  }
  expect_unchanged({request(9, 1, 0.0f)}, "one token");
  Sizes small;
  small.context = 64;
  expect_unchanged({request(9, -1, 0.0f)}, "to the end of the context", small);
}

TEST(Speculation, SeveralRequestsShareSteps) {
  std::vector<Request> requests;
  for (int i = 0; i < 7; ++i) requests.push_back(request(3 + 9 * i, 60 + i, i % 2 == 0 ? 0.0f : 0.5f, 11U + i));
  Sizes sizes;
  sizes.sequences = 4;
  const Result together = expect_unchanged(requests, "four at once", sizes);
  int64_t accepted = 0;
  for (const Heard& heard : together.heard) accepted += heard.usage.accepted_tokens;
  EXPECT_GT(accepted, 0);
  sizes.blocks = 16;
  int64_t preemptions = 0;
  for (const Heard& heard : expect_unchanged(requests, "few blocks", sizes).heard) {
    preemptions += heard.usage.preemptions;
  }
  EXPECT_GT(preemptions, 0) << "16 blocks must have forced someone out";
  sizes.logit_rows = 4;
  expect_unchanged(requests, "rows for drafts only when others have ended", sizes);
}

TEST(Speculation, AListenerThatCancelsOrThrowsAmidADraftEndsOnlyItself) {
  for (const bool throws : {false, true}) {
    auto made = std::make_unique<DummyStepper>();
    made->hook = repeat_yourself;
    const DummyTokenizer tokenizer;
    Engine engine(std::move(made), tokenizer, {}, {.max_sequences = 2, .speculation = Speculation::always});
    Heard first;
    Heard second;
    RequestId id = 0;
    const EventSink into_first = first.sink();
    id = engine.submit(request(9, 100, 0.0f), [&](const Event& event) {
      into_first(event);
      if (first.tokens.size() != 50 || first.finishes > 0) return;
      if (throws) throw std::runtime_error("gone");
      engine.cancel(id);
    });
    engine.submit(request(9, 100, 0.0f), second.sink());
    while (engine.has_work()) engine.step();
    EXPECT_EQ(first.tokens.size(), 50U);
    EXPECT_EQ(first.finishes, throws ? 0 : 1);
    expect_same(second, run({request(9, 100, 0.0f)}, Speculation::off).heard[0], "the other one");
    EXPECT_EQ(engine.free_blocks(), 64);
  }
}

}  // namespace
}  // namespace autoglm
