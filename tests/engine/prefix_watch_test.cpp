// What could have been reused: the same start, and the same text further on.
#include "engine/prefix_watch.h"

#include <gtest/gtest.h>

namespace autoglm {
namespace {

using Tokens = std::vector<int32_t>;

Tokens text(uint64_t seed, size_t length) {
  Tokens tokens;
  for (uint64_t state = seed * 977 + 1; tokens.size() < length;) {
    state = state * 6364136223846793005U + 1442695040888963407U;
    tokens.push_back(static_cast<int32_t>(state >> 34));
  }
  return tokens;
}

Tokens joined(Tokens a, const Tokens& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

TEST(PrefixWatch, CountsTheSameStart) {
  PrefixWatch watch;
  const Tokens system = text(1, 500);
  for (uint64_t user = 10; user < 15; ++user) watch.observe(joined(system, text(user, 40)));
  const ReuseCounters& seen = watch.counters();
  EXPECT_EQ(seen.requests, 5);
  EXPECT_EQ(seen.prompt_tokens, 5 * 540);
  EXPECT_EQ(seen.same_start_tokens, 4 * 496);
  EXPECT_GE(seen.repeated_tokens, seen.same_start_tokens);
  EXPECT_LE(seen.repeated_tokens, 4 * 540);
}

// The date stands before a long system message: all of it is there again, at another place.
TEST(PrefixWatch, FindsWhatStandsBehindAnotherStart) {
  PrefixWatch watch;
  const Tokens system = text(1, 2000);
  for (uint64_t user = 10; user < 15; ++user) watch.observe(joined(text(user, 5 + user % 3), system));
  EXPECT_EQ(watch.counters().same_start_tokens, 0);
  EXPECT_GT(watch.counters().repeated_tokens, 4 * 1800);
}

TEST(PrefixWatch, StrangersHaveNothingInCommon) {
  PrefixWatch watch;
  for (uint64_t user = 1; user < 30; ++user) watch.observe(text(user, 700));
  EXPECT_EQ(watch.counters().same_start_tokens, 0);
  EXPECT_EQ(watch.counters().repeated_tokens, 0);
}

TEST(PrefixWatch, ForgetsWhatIsLongAgoAndLooksNotTooFar) {
  PrefixWatch watch;
  watch.observe(text(1, 400));
  for (uint64_t user = 2; user < 2 + PrefixWatch::kRecent; ++user) watch.observe(text(user, 100));
  watch.observe(text(1, 400));
  EXPECT_EQ(watch.counters().same_start_tokens, 0);
  PrefixWatch far;
  far.observe(text(1, PrefixWatch::kMostTokens + 5000));
  far.observe(text(1, PrefixWatch::kMostTokens + 5000));
  EXPECT_EQ(far.counters().same_start_tokens, static_cast<int64_t>(PrefixWatch::kMostTokens));
  EXPECT_EQ(far.counters().prompt_tokens, 2 * static_cast<int64_t>(PrefixWatch::kMostTokens + 5000));
  far.observe({});
  far.observe(Tokens(3, 1));
  far.observe(Tokens(3000, 1));  // repeats itself
  EXPECT_EQ(far.counters().requests, 5);
}

}  // namespace
}  // namespace autoglm
