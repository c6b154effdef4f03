// The n-gram index: what it finds is there, is the newest, and costs bounded memory.
#include "engine/ngram_index.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck.h>

namespace autoglm {
namespace {

using Tokens = std::vector<int32_t>;
using testing::ElementsAre;

NgramIndex::Match find(const Tokens& tokens) {
  NgramIndex index(std::ssize(tokens));
  index.extend(tokens);
  return index.find(tokens);
}

TEST(NgramIndex, FindsWhatFollowedLastTime) {
  const NgramIndex::Match match = find({1, 2, 3, 4, 9, 1, 2, 3});
  EXPECT_EQ(match.next, 3);
  EXPECT_EQ(match.length, 3);
}

TEST(NgramIndex, SaysNothingWithoutARepeatedPair) {
  EXPECT_EQ(find({}).length, 0);
  EXPECT_EQ(find({1}).length, 0);
  EXPECT_EQ(find({1, 1}).length, 0) << "one token more than a pair is needed to repeat it";
  EXPECT_EQ(find({5, 1, 6, 2, 7, 1}).length, 0) << "a single token is not enough";
}

TEST(NgramIndex, PrefersTheLongerMatchThenTheNewer) {
  // "1 2 3 4" stands at the beginning, "3 4" alone comes later.
  EXPECT_EQ(find({1, 2, 3, 4, 7, 3, 4, 8, 1, 2, 3, 4}).next, 4);
  EXPECT_EQ(find({3, 4, 7, 3, 4, 8, 5, 3, 4}).next, 5);
}

TEST(NgramIndex, MeasuresTheMatchUpToItsBound) {
  Tokens tokens;
  for (int round = 0; round < 2; ++round) {
    for (int32_t i = 0; i < 100; ++i) tokens.push_back(i);
  }
  EXPECT_EQ(find(tokens).next, 100);
  EXPECT_EQ(find(tokens).length, NgramIndex::kLongest);
}

TEST(NgramIndex, DraftsGoAroundAPeriod) {
  const Tokens tokens = {8, 1, 2, 3, 1, 2, 3};
  const NgramIndex::Match match = find(tokens);
  EXPECT_EQ(match.next, 4);
  Tokens draft(8);
  copy_after(tokens, match, draft);
  EXPECT_THAT(draft, ElementsAre(1, 2, 3, 1, 2, 3, 1, 2));
}

TEST(NgramIndex, MemoryIsBoundedAndOldTextGivesWay) {
  for (const int64_t tokens : {0, 10, 513, 5000, 32768, 1 << 24}) {
    EXPECT_EQ(NgramIndex(tokens).bytes(), NgramIndex::bytes_for(tokens)) << tokens;
  }
  EXPECT_LE(NgramIndex(10).bytes(), 1 << 14);
  EXPECT_LE(NgramIndex(int64_t{1} << 24).bytes(), 1 << 20);
  NgramIndex index(int64_t{1} << 24);
  Tokens tokens;
  uint64_t state = 1;
  for (int i = 0; i < 400000; ++i) {
    state = state * 6364136223846793005ULL + 1442695040888963407ULL;
    tokens.push_back(static_cast<int32_t>(state >> 40));
  }
  for (int i = 0; i < 8; ++i) tokens.push_back(tokens[tokens.size() - 1000]);
  index.extend(tokens);
  EXPECT_EQ(index.find(tokens).next, std::ssize(tokens) - 1000) << "the newest thousand are certainly there";
}

// Tokens of a small alphabet repeat all the time.
rc::Gen<Tokens> sequences() { return rc::gen::container<Tokens>(rc::gen::inRange<int32_t>(0, 4)); }

TEST(NgramIndex, WhateverItFindsIsAMatchAndPiecesDoNotMatter) {
  EXPECT_TRUE(rc::check("a match is true, and the same however the sequence came", [] {
    const Tokens tokens = *sequences();
    NgramIndex index(std::ssize(tokens));
    for (size_t known = 0; known < tokens.size();) {
      known = *rc::gen::inRange(known, tokens.size() + 1);
      index.extend(std::span(tokens).first(known));
      if (*rc::gen::inRange(0, 4) == 0) known = tokens.size();
    }
    index.extend(tokens);
    const NgramIndex::Match match = index.find(tokens);
    const NgramIndex::Match whole = find(tokens);
    RC_ASSERT(match.next == whole.next);
    RC_ASSERT(match.length == whole.length);
    if (match.length == 0) {
      return;
    }
    RC_ASSERT(match.length >= 2);
    RC_ASSERT(match.next >= match.length);
    RC_ASSERT(match.next < std::ssize(tokens));
    for (int64_t back = 1; back <= match.length; ++back) {
      RC_ASSERT(tokens[static_cast<size_t>(match.next - back)] ==
                tokens[static_cast<size_t>(std::ssize(tokens) - back)]);
    }
    Tokens draft(20);
    copy_after(tokens, match, draft);
    for (size_t i = 0; i < draft.size(); ++i) {
      const size_t from = static_cast<size_t>(match.next) + i;
      RC_ASSERT(draft[i] == (from < tokens.size() ? tokens[from] : draft[from - tokens.size()]));
    }
  }));
}

}  // namespace
}  // namespace autoglm
