#include "engine/sampler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numeric>

namespace autoglm {
namespace {

using ::testing::ElementsAre;

std::vector<float> noise(size_t n, uint32_t seed, float scale = 4.0f) {
  std::vector<float> logits(n);
  for (float& logit : logits) {
    seed = seed * 1664525U + 1013904223U;
    logit = scale * (static_cast<float>(seed >> 8) / static_cast<float>(1 << 24) - 0.5f);
  }
  return logits;
}

/// Which tokens come out over many seeds' draws, and how often.
std::vector<double> frequencies(const std::vector<float>& logits, SamplingParams params, int draws = 20000) {
  const auto n = static_cast<int64_t>(logits.size());
  Sampler sampler(n);
  params.seed = 7;
  SamplerState state(params, {}, n);
  std::vector<double> counts(logits.size(), 0.0);
  std::vector<TokenLogprob> none;
  for (int i = 0; i < draws; ++i) {
    const int32_t token = sampler.sample(logits, state, none);
    counts.at(static_cast<size_t>(token)) += 1.0 / draws;
    if (params.presence_penalty == 0 && params.frequency_penalty == 0 && params.repetition_penalty == 1) {
      state.accept(token);  // moves the stream
    }
  }
  return counts;
}

/// The textbook: sort, cut, renormalize.
std::vector<double> expected(const std::vector<float>& logits, const SamplingParams& params) {
  std::vector<size_t> order(logits.size());
  std::iota(order.begin(), order.end(), 0);
  std::sort(order.begin(), order.end(),
            [&](size_t a, size_t b) { return logits[a] > logits[b] || (logits[a] == logits[b] && a < b); });
  std::vector<double> p(logits.size(), 0.0);
  const double best = logits[order[0]];
  for (size_t i = 0; i < logits.size(); ++i) p[i] = std::exp((logits[i] - best) / params.temperature);
  if (params.top_k > 0) {
    for (size_t i = static_cast<size_t>(params.top_k); i < order.size(); ++i) p[order[i]] = 0;
  }
  const double total = std::accumulate(p.begin(), p.end(), 0.0);
  double sum = 0;
  for (const size_t id : order) {
    if (sum >= params.top_p * total) p[id] = 0;
    sum += p[id];
    if (p[id] < params.min_p) p[id] = 0;
  }
  const double kept = std::accumulate(p.begin(), p.end(), 0.0);
  for (double& value : p) value /= kept;
  return p;
}

TEST(Philox, MatchesThePublishedVectors) {  // Random123, kat_vectors, philox4x32 10 rounds
  EXPECT_THAT(philox({0, 0, 0, 0}, {0, 0}), ElementsAre(0x6627e8d5U, 0xe169c58dU, 0xbc57ac4cU, 0x9b00dbd8U));
  EXPECT_THAT(philox({~0U, ~0U, ~0U, ~0U}, {~0U, ~0U}),
              ElementsAre(0x408f276dU, 0x41c83b0eU, 0xa20bc7c6U, 0x6d5451fdU));
  EXPECT_THAT(philox({0x243f6a88U, 0x85a308d3U, 0x13198a2eU, 0x03707344U}, {0xa4093822U, 0x299f31d0U}),
              ElementsAre(0xd16cfe09U, 0x94fdccebU, 0x5001e420U, 0x24126ea1U));
}

TEST(Sampler, GreedyTakesTheLowestIdAmongEquals) {
  std::vector<float> logits(100, 1.0f);
  logits[37] = logits[38] = logits[99] = 5.0f;
  SamplingParams params;
  params.temperature = 0;
  Sampler sampler(100);
  SamplerState state(params, {}, 100);
  std::vector<TokenLogprob> none;
  EXPECT_EQ(sampler.sample(logits, state, none), 37);
}

TEST(Sampler, DrawsFromTheDistributionThatTheSettingsDescribe) {
  struct Case {
    float temperature;
    int top_k;
    float top_p;
    float min_p;
  };
  const std::vector<Case> cases = {{1, 0, 1, 0},     {0.5f, 0, 1, 0},    {2, 5, 1, 0},          {1, 0, 0.7f, 0},
                                   {1, 0, 1, 0.2f},  {1, 20, 0.8f, 0},   {0.8f, 9, 0.9f, 0.1f}, {1, 1, 1, 0},
                                   {1, 0, 1e-6f, 0}, {3, 64, 0.999f, 0}, {0.01f, 0, 0.95f, 0}};
  for (const Case& c : cases) {
    SamplingParams params;
    params.temperature = c.temperature;
    params.top_k = c.top_k;
    params.top_p = c.top_p;
    params.min_p = c.min_p;
    for (const float scale : {1.0f, 8.0f, 60.0f}) {
      const std::vector<float> logits = noise(64, 11, scale);
      const std::vector<double> wanted = expected(logits, params);
      const std::vector<double> got = frequencies(logits, params);
      for (size_t i = 0; i < logits.size(); ++i) {
        if (wanted[i] == 0) {
          EXPECT_EQ(got[i], 0.0) << "token " << i << " was cut, top_k " << c.top_k << " top_p " << c.top_p;
        }
        // Five standard deviations of a binomial share over 20,000 draws.
        EXPECT_NEAR(got[i], wanted[i], 5 * std::sqrt(wanted[i] * (1 - wanted[i]) / 20000) + 2e-4);
      }
    }
  }
}

/// One draw by the textbook, over the whole vocabulary.
int32_t textbook_draw(const std::vector<float>& logits, const SamplingParams& params, double uniform) {
  const std::vector<double> p = expected(logits, params);
  double sum = 0.0;
  for (size_t i = 0; i < p.size(); ++i) {
    sum += p[i];
    if (sum > uniform) return static_cast<int32_t>(i);
  }
  return -1;
}

// The blocks that top-k skips hold nothing of its k, whether a block has one logit of them, many or ties on the border.
TEST(Sampler, TopKOfALargeVocabularyDrawsWhatTheWholeScanWould) {
  std::vector<TokenLogprob> none;
  for (const size_t n : {size_t{641}, size_t{5000}, size_t{20003}}) {
    Sampler sampler(static_cast<int64_t>(n));
    for (uint32_t round = 0; round < 60; ++round) {
      std::vector<float> logits = noise(n, round + 1, 12.0f);
      if (round % 3 == 1) {
        for (float& logit : logits) logit = std::round(logit);  // many equal ones
      }
      if (round % 3 == 2) {  // the best lie together
        for (size_t i = 0; i < 70; ++i) logits[(round * 131 + i) % n] += 9.0f;
      }
      SamplingParams params;
      params.temperature = round % 2 == 0 ? 0.8f : 2.5f;
      params.top_k = std::array{1, 2, 5}[round % 3] * (n > 1000 && round % 4 == 0 ? 7 : 1);
      params.top_p = round % 5 == 0 ? 0.7f : 1.0f;
      params.min_p = round % 7 == 0 ? 0.3f : 0.0f;
      params.seed = round + 1;
      SamplerState state(params, {}, static_cast<int64_t>(n));
      for (int draw = 0; draw < 5; ++draw) {
        ASSERT_EQ(sampler.sample(logits, state, none), textbook_draw(logits, params, state.uniform()))
            << n << " logits, round " << round;
        state.accept(0);
      }
    }
  }
}

// With some tokens allowed: as if the others had no chance, whether they are few or many.
TEST(Sampler, AllowedTokensAreAllThereIs) {
  const size_t n = 20000;
  const std::vector<float> logits = noise(n, 5);
  const auto params = [](float temperature, int top_k, float top_p, float min_p) {
    SamplingParams made;
    made.temperature = temperature;
    made.top_k = top_k;
    made.top_p = top_p;
    made.min_p = min_p;
    return made;
  };
  SamplingParams adjusted = params(0.7f, 0, 0.95f, 0.0f);
  adjusted.presence_penalty = 1.5f;
  adjusted.logit_bias = {{0, 3.0f}, {1, 100.0f}};
  adjusted.logprobs = 2;
  for (const size_t every : {size_t{2}, size_t{97}}) {  // dense and sparse
    std::vector<uint64_t> allowed((n + 63) / 64, 0);
    std::vector<float> reduced = logits;
    for (size_t i = 0; i < n; ++i) {
      if (i % every == 0) {
        allowed[i / 64] |= uint64_t{1} << (i % 64);
      } else {
        reduced[i] = -1e30f;
      }
    }
    for (const SamplingParams& one :
         {params(0.0f, 0, 1.0f, 0.0f), params(0.8f, 0, 1.0f, 0.0f), params(1.0f, 20, 0.9f, 0.0f),
          params(0.3f, 0, 0.8f, 0.0f), params(1.0f, 500000, 1.0f, 0.3f), adjusted}) {
      Sampler sampler(static_cast<int64_t>(n));
      SamplingParams seeded = one;
      seeded.seed = 11;
      SamplerState masked(seeded, {}, static_cast<int64_t>(n));
      seeded.logit_bias.erase(1);  // not allowed, whatever its bias
      SamplerState plain(seeded, {}, static_cast<int64_t>(n));
      for (int i = 0; i < 50; ++i) {
        std::vector<TokenLogprob> got, wanted;
        const int32_t token = sampler.sample(logits, masked, got, allowed);
        ASSERT_EQ(token % static_cast<int32_t>(every), 0);
        ASSERT_EQ(token, sampler.sample(reduced, plain, wanted)) << every << " " << one.temperature << " " << i;
        if (one.logprobs > 0) EXPECT_LT(got[0].logprob, wanted[0].logprob) << "the model's own distribution";
        masked.accept(token);
        plain.accept(token);
      }
    }
  }
  Sampler sampler(100);
  SamplingParams any;
  any.seed = 1;
  const SamplerState state(any, {}, 100);
  std::vector<TokenLogprob> none;
  EXPECT_EQ(sampler.sample(noise(100, 1), state, none, std::vector<uint64_t>(2, 0)), Sampler::kNothingAllowed);
  EXPECT_EQ(sampler.sample(noise(100, 1), state, none, std::vector<uint64_t>{0, 8}), 67);
}

TEST(Sampler, CutsEqualLogitsByIdAndNeverSortsThemAll) {
  const std::vector<float> flat(100000, 0.0f);
  SamplingParams params;
  params.temperature = 1;
  params.top_k = 3;
  params.top_p = 1;
  const std::vector<double> by_count = frequencies(flat, params, 60);
  EXPECT_NEAR(by_count[0] + by_count[1] + by_count[2], 1.0, 1e-9);
  params.top_k = 0;
  params.top_p = 0.25f;
  const std::vector<double> by_mass = frequencies(flat, params, 60);
  EXPECT_NEAR(std::accumulate(by_mass.begin(), by_mass.begin() + 25000, 0.0), 1.0, 1e-9);
}

TEST(Sampler, TheSameSeedGivesTheSameStreamAndAnotherDoesNot) {
  const std::vector<float> logits = noise(1000, 3, 2);
  const auto stream = [&](uint64_t seed) {
    SamplingParams params;
    params.temperature = 1;
    params.seed = seed;
    Sampler sampler(1000);
    SamplerState state(params, {}, 1000);
    std::vector<int32_t> tokens;
    std::vector<TokenLogprob> none;
    for (int i = 0; i < 50; ++i) {
      tokens.push_back(sampler.sample(logits, state, none));
      state.accept(tokens.back());
    }
    return tokens;
  };
  EXPECT_EQ(stream(42), stream(42));
  EXPECT_NE(stream(42), stream(43));
  SamplerState chosen(SamplingParams{}, {}, 10);
  EXPECT_NE(chosen.params().seed, 0U) << "seed 0 is replaced by one that can be reported";
}

TEST(Sampler, PenaltiesAndBiasDoWhatTheySay) {
  const int64_t n = 4;
  SamplingParams params;
  params.temperature = 0;
  params.repetition_penalty = 2.0f;
  params.presence_penalty = 0.5f;
  params.frequency_penalty = 0.25f;
  params.logit_bias = {{3, 1.5f}};
  const std::vector<int32_t> prompt = {0, 1};
  SamplerState state(params, prompt, n);
  state.accept(1);
  state.accept(1);
  state.accept(2);
  std::vector<float> logits = {4.0f, 8.0f, -2.0f, 1.0f};
  state.adjust(logits);
  EXPECT_FLOAT_EQ(logits[0], 2.0f) << "in the prompt: repetition only";
  EXPECT_FLOAT_EQ(logits[1], 4.0f - 0.5f - 0.5f) << "twice in the answer";
  EXPECT_FLOAT_EQ(logits[2], -4.0f - 0.5f - 0.25f) << "a negative logit is multiplied";
  EXPECT_FLOAT_EQ(logits[3], 2.5f) << "never seen: only its bias";
}

TEST(Sampler, LogprobsAreTheModelsOwn) {
  const std::vector<float> logits = {1.0f, 3.0f, 2.0f, 3.0f, -10.0f};
  double mass = 0;
  for (const float logit : logits) mass += std::exp(static_cast<double>(logit));
  SamplingParams params;
  params.temperature = 0;
  params.logit_bias = {{0, 50.0f}};  // changes the choice, not the model's opinion
  params.logprobs = 3;
  Sampler sampler(5);
  SamplerState state(params, {}, 5);
  std::vector<TokenLogprob> row;
  EXPECT_EQ(sampler.sample(logits, state, row), 0);
  ASSERT_EQ(row.size(), 4U);
  const std::vector<int32_t> order = {0, 1, 3, 2};
  for (size_t i = 0; i < row.size(); ++i) {
    EXPECT_EQ(row[i].token, order[i]);
    EXPECT_NEAR(row[i].logprob, logits[static_cast<size_t>(order[i])] - std::log(mass), 1e-5);
  }
}

TEST(Sampler, RefusesLogitsThatAreNotNumbers) {
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(),
                          -std::numeric_limits<float>::infinity()}) {
    for (const size_t place : {0U, 5U, 12U}) {
      std::vector<float> logits = noise(13, 5);
      logits[place] = bad;
      Sampler sampler(13);
      SamplerState state(SamplingParams{}, {}, 13);
      std::vector<TokenLogprob> none;
      EXPECT_EQ(sampler.sample(logits, state, none), -1);
    }
  }
}

TEST(Sampler, ExtremeLogitsStillGiveAToken) {
  for (const float size : {1e-30f, 1e30f, 3e38f}) {
    std::vector<float> logits(20, -size);
    logits[4] = size;
    SamplingParams params;
    params.temperature = 1e-7f;
    params.top_k = 3;
    params.min_p = 0.01f;
    Sampler sampler(20);
    SamplerState state(params, {}, 20);
    std::vector<TokenLogprob> none;
    const int32_t token = sampler.sample(logits, state, none);
    EXPECT_TRUE(token >= 0 && token < 20);
    if (size > 1) {
      EXPECT_EQ(token, 4);
    }
  }
}

TEST(SamplingParams, OutOfRangeIsNamed) {
  const auto message = [](auto change) -> std::string {
    SamplingParams params;
    change(params);
    try {
      check(params, 100);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), Code::bad_request);
      return error.what();
    }
    return {};
  };
  const float nan = std::numeric_limits<float>::quiet_NaN();
  EXPECT_THAT(message([&](auto& p) { p.temperature = nan; }), testing::HasSubstr("temperature"));
  EXPECT_THAT(message([&](auto& p) { p.temperature = -1; }), testing::HasSubstr("temperature"));
  EXPECT_THAT(message([&](auto& p) { p.top_p = 0; }), testing::HasSubstr("top_p"));
  EXPECT_THAT(message([&](auto& p) { p.min_p = nan; }), testing::HasSubstr("min_p"));
  EXPECT_THAT(message([&](auto& p) { p.top_k = -2; }), testing::HasSubstr("top_k"));
  EXPECT_THAT(message([&](auto& p) { p.repetition_penalty = 0; }), testing::HasSubstr("repetition_penalty"));
  EXPECT_THAT(message([&](auto& p) { p.presence_penalty = 3; }), testing::HasSubstr("presence_penalty"));
  EXPECT_THAT(message([&](auto& p) { p.logit_bias = {{100, 1.0f}}; }), testing::HasSubstr("logit_bias"));
  EXPECT_THAT(message([&](auto& p) { p.logit_bias = {{1, nan}}; }), testing::HasSubstr("logit_bias"));
  EXPECT_EQ(message([](auto&) {}), "");
}

}  // namespace
}  // namespace autoglm
