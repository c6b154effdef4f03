// The prefix cache's policy: what is found, what is kept, what goes first.
#include "engine/prefix_cache.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>

namespace autoglm {
namespace {

using Tokens = std::vector<int32_t>;
using testing::ElementsAre;

Tokens tokens_from(int32_t first) {
  Tokens tokens(kKvBlock);
  std::iota(tokens.begin(), tokens.end(), first);
  return tokens;
}

const PrefixKey kRoot = root_key("model", "q8", 0);

/// A conversation of `count` blocks, numbered from `number`, each costing as much as all up to its end.
struct Chain {
  Chain(PrefixCache& cache, int32_t number, int count, double cost_of_block = 1) : first(number) {
    PrefixKey key = kRoot;
    for (int i = 0; i < count; ++i) {
      tokens.push_back(tokens_from(1000 * number + i));
      key = chain_key(key, tokens.back());
      keys.push_back(key);
      EXPECT_TRUE(cache.insert(key, i == 0 ? -1 : number + i - 1, tokens.back(), number + i, (i + 1) * cost_of_block));
    }
  }
  void leave(PrefixCache& cache) const {
    for (int i = static_cast<int>(keys.size()); i-- > 0;) cache.leave(first + i);
  }
  void use(PrefixCache& cache) const {
    for (int i = 0; i < static_cast<int>(keys.size()); ++i) cache.use(first + i);
  }
  int kept(const PrefixCache& cache) const {
    int count = 0;
    for (size_t i = 0; i < keys.size(); ++i) {
      const auto number = first + static_cast<int32_t>(i);
      if (cache.find(keys[i], i == 0 ? -1 : number - 1, tokens[i]) == number) ++count;
    }
    return count;
  }
  int32_t first;
  std::vector<PrefixKey> keys;
  std::vector<Tokens> tokens;
};

TEST(PrefixKey, DependsOnEverythingThatAContentDependsOn) {
  const std::vector<PrefixKey> roots = {kRoot, root_key("model", "q8", 1), root_key("model", "f32", 0),
                                        root_key("other", "q8", 0), root_key("modelq8", "", 0)};
  for (size_t i = 0; i < roots.size(); ++i) {
    for (size_t j = 0; j < i; ++j) EXPECT_FALSE(roots[i] == roots[j]) << i << " and " << j;
  }
  const Tokens a = tokens_from(1);
  const Tokens b = tokens_from(2);
  EXPECT_FALSE(chain_key(kRoot, a) == chain_key(kRoot, b));
  EXPECT_FALSE(chain_key(chain_key(kRoot, a), b) == chain_key(chain_key(kRoot, b), b)) << "what came before counts";
  EXPECT_TRUE(chain_key(kRoot, a) == chain_key(root_key("model", "q8", 0), tokens_from(1)));
}

TEST(PrefixCache, FindsWhatItKeepsAndNothingElse) {
  PrefixCache cache;
  const Chain chain(cache, 10, 2);
  EXPECT_EQ(chain.kept(cache), 2);
  EXPECT_EQ(cache.find(chain_key(kRoot, tokens_from(5)), -1, tokens_from(5)), -1);
  // A key that collides: other tokens, or other tokens in front.
  EXPECT_EQ(cache.find(chain.keys[0], -1, tokens_from(7)), -1);
  EXPECT_EQ(cache.find(chain.keys[1], 77, chain.tokens[1]), -1);
  EXPECT_FALSE(cache.insert(chain.keys[0], -1, tokens_from(7), 99, 1)) << "the key is taken";
  EXPECT_EQ(cache.size(), 2);
  cache.check_integrity();
}

TEST(PrefixCache, WhatIsUsedStaysAndTheEndOfAChainGoesFirst) {
  PrefixCache cache;
  const Chain chain(cache, 0, 3);
  EXPECT_EQ(cache.evict(), -1);
  cache.use(0);  // a second user of the first block
  chain.leave(cache);
  EXPECT_EQ(cache.unused(), 2);
  cache.check_integrity();
  EXPECT_EQ(cache.evict(), 2);
  EXPECT_EQ(cache.evict(), 1);
  EXPECT_EQ(cache.evict(), -1) << "somebody uses the first";
  cache.leave(0);
  EXPECT_EQ(cache.evict(), 0);
  EXPECT_EQ(cache.size(), 0);
  cache.check_integrity();
}

TEST(PrefixCache, AmongEqualsTheLeastRecentlyUsedGoesFirst) {
  PrefixCache cache;
  std::vector<Chain> chains;
  for (int32_t i = 0; i < 4; ++i) chains.emplace_back(cache, i, 1);
  for (const Chain& chain : chains) chain.leave(cache);
  EXPECT_EQ(cache.evict(), 0);  // from here on, use lends a value above those that were left before
  chains[1].use(cache);
  chains[1].leave(cache);
  EXPECT_EQ(cache.evict(), 2);
  EXPECT_EQ(cache.evict(), 3);
  EXPECT_EQ(cache.evict(), 1);
}

// What agents do: one long conversation, and many small ones that nobody comes back to, in a cache that does not hold
// them all.
TEST(PrefixCache, ALongConversationOutlivesManySmallOnesButNotForever) {
  PrefixCache cache;
  constexpr int64_t kBlocks = 100;
  const Chain longer(cache, 0, 60);
  longer.leave(cache);
  int32_t next = 1000;
  int small = 0;
  const auto one_more = [&] {
    while (cache.size() + 4 > kBlocks) ASSERT_GE(cache.evict(), 0);
    Chain(cache, next, 4).leave(cache);
    next += 10;
    ++small;
  };
  while (small < 100) one_more();  // 400 blocks: ten times what is left beside the long one
  EXPECT_EQ(longer.kept(cache), 60) << "the least recently used of all, and still here";
  while (small < 3000) one_more();
  EXPECT_EQ(longer.kept(cache), 0) << "nobody came back";
  cache.check_integrity();
}

TEST(PrefixCache, AUseRenewsAConversation) {
  PrefixCache cache;
  const Chain chain(cache, 0, 4);
  chain.leave(cache);
  for (int32_t i = 0; i < 500; ++i) {
    while (cache.size() > 20) ASSERT_GE(cache.evict(), 0);
    Chain(cache, 100 + 10 * i, 4).leave(cache);
    if (i % 3 != 0) continue;
    ASSERT_EQ(chain.kept(cache), 4) << i;
    chain.use(cache);
    chain.leave(cache);
  }
}

TEST(PrefixCache, WhatComesFromElsewhereIsUnused) {
  PrefixCache cache;
  const Tokens a = tokens_from(1), b = tokens_from(2);
  const PrefixKey first = chain_key(kRoot, a), second = chain_key(first, b);
  EXPECT_TRUE(cache.insert_unused(first, -1, a, 5, 1));
  EXPECT_FALSE(cache.insert_unused(first, -1, a, 6, 1)) << "it is there";
  EXPECT_EQ(cache.unused(), 1);
  EXPECT_EQ(cache.evict(5), -1) << "not the one that is needed";
  EXPECT_TRUE(cache.insert_unused(second, 5, b, 7, 2));
  cache.check_integrity();
  EXPECT_EQ(cache.find(second, b), 7);
  EXPECT_EQ(cache.find(second, a), -1) << "other tokens";
  EXPECT_EQ(cache.find(second, 5, b), 7) << "and as any other block";
  cache.use(5);
  cache.use(7);
  EXPECT_EQ(cache.unused(), 0);
  cache.leave(7);
  cache.leave(5);
  EXPECT_EQ(cache.evict(), 7) << "the last of a chain first";
  EXPECT_EQ(cache.evict(), 5);
  cache.check_integrity();
}

}  // namespace
}  // namespace autoglm
