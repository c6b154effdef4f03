#include "engine/scheduler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <set>

namespace autoglm {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

std::vector<RequestId> ids(const Plan& plan) {
  std::vector<RequestId> result;
  for (const Work& work : plan.work) result.push_back(work.id);
  return result;
}

SchedulerLimits limits(int64_t rows, int64_t sequences, int64_t blocks) {
  return {.rows = rows, .sequences = sequences, .blocks = blocks, .block_tokens = 4};
}

TEST(Scheduler, CutsAPromptIntoChunksAndSamplesOnlyAtItsEnd) {
  Scheduler scheduler(limits(8, 1, 100));
  scheduler.add(1, 19);
  std::vector<std::array<int64_t, 3>> chunks;
  for (int i = 0; i < 3; ++i) {
    const Plan& plan = scheduler.plan();
    ASSERT_EQ(plan.work.size(), 1U);
    chunks.push_back({plan.work[0].begin, plan.work[0].rows, plan.work[0].sample});
  }
  EXPECT_THAT(chunks, ElementsAre(std::array<int64_t, 3>{0, 8, 0}, std::array<int64_t, 3>{8, 8, 0},
                                  std::array<int64_t, 3>{16, 3, 1}));
  scheduler.grow(1);
  const Plan& decode = scheduler.plan();
  EXPECT_EQ(decode.work[0].begin, 19);
  EXPECT_EQ(decode.work[0].rows, 1);
}

TEST(Scheduler, DecodesBeforeItReadsPrompts) {
  Scheduler scheduler(limits(8, 4, 100));
  scheduler.add(1, 3);
  scheduler.plan();
  scheduler.grow(1);
  scheduler.add(2, 30);
  const Plan& plan = scheduler.plan();
  ASSERT_THAT(ids(plan), ElementsAre(1, 2));
  EXPECT_EQ(plan.work[0].rows, 1);
  EXPECT_EQ(plan.work[1].rows, 7) << "the prompt gets what is left of the budget";
}

TEST(Scheduler, AdmitsInOrderAndOnlyWhenTheWholePromptFits) {
  Scheduler scheduler(limits(100, 4, 10));
  scheduler.add(1, 30);  // 8 of 10 blocks
  scheduler.add(2, 12);  // 3 blocks: waits
  scheduler.add(3, 4);   // would fit, but came later
  EXPECT_THAT(ids(scheduler.plan()), ElementsAre(1));
  EXPECT_EQ(scheduler.waiting(), 2);
  scheduler.remove(1);
  EXPECT_EQ(scheduler.free_blocks(), 10);
  EXPECT_THAT(ids(scheduler.plan()), ElementsAre(2, 3));
}

TEST(Scheduler, PreemptsTheNewestWhenBlocksRunOut) {
  Scheduler scheduler(limits(100, 4, 5));
  scheduler.add(1, 8);  // 2 blocks, full
  scheduler.add(2, 7);  // 2 blocks and room for one token
  EXPECT_THAT(ids(scheduler.plan()), ElementsAre(1, 2));
  scheduler.grow(1);
  scheduler.grow(2);
  EXPECT_THAT(ids(scheduler.plan()), ElementsAre(1, 2)) << "1 takes the last block";
  for (int i = 0; i < 3; ++i) {
    scheduler.grow(1);
    if (i == 0) scheduler.grow(2);  // 2 now needs a third block
    const Plan& plan = scheduler.plan();
    EXPECT_THAT(ids(plan), ElementsAre(1)) << i;
    if (i == 0) {
      EXPECT_THAT(plan.preempted, ElementsAre(2));
    }
  }
  scheduler.remove(1);
  const Plan& resumed = scheduler.plan();
  EXPECT_THAT(resumed.admitted, ElementsAre(2));
  ASSERT_THAT(ids(resumed), ElementsAre(2));
  EXPECT_EQ(resumed.work[0].begin, 0) << "it is computed again from its beginning";
  EXPECT_EQ(resumed.work[0].rows, 9);
  EXPECT_TRUE(resumed.work[0].sample);
}

TEST(Scheduler, RemovesFromTheQueueToo) {
  Scheduler scheduler(limits(8, 1, 10));
  scheduler.add(1, 4);
  scheduler.add(2, 4);
  scheduler.plan();
  scheduler.remove(2);
  scheduler.remove(77);
  scheduler.remove(1);
  EXPECT_TRUE(scheduler.empty());
  EXPECT_THAT(scheduler.plan().work, IsEmpty());
}

// Random traffic against the promises: no budget passed, no block lost, everyone finishes, first come first served.
TEST(Scheduler, KeepsItsPromisesUnderRandomTraffic) {
  for (uint32_t seed = 1; seed <= 200; ++seed) {
    uint32_t state = seed;
    const auto random = [&state](int64_t n) {
      state = state * 1664525U + 1013904223U;
      return static_cast<int64_t>(state >> 8) % n;
    };
    const int64_t rows = 1 + random(12);
    const int64_t sequences = 1 + random(5);
    const int64_t blocks = 8 + random(20);
    Scheduler scheduler(limits(rows, sequences, blocks));
    std::map<RequestId, int64_t> tokens;
    std::map<RequestId, int64_t> target;
    std::map<RequestId, int64_t> stored;
    for (RequestId id = 1; id <= 12; ++id) {
      tokens[id] = 1 + random(16);
      target[id] = tokens[id] + random(16);
      scheduler.add(id, tokens[id]);
    }
    int steps = 0;
    for (; !scheduler.empty() && steps < 20000; ++steps) {
      const Plan& plan = scheduler.plan();
      for (const RequestId id : plan.preempted) stored.erase(id);
      for (const RequestId id : plan.admitted) stored[id] = 0;
      int64_t used = 0;
      ASSERT_FALSE(plan.work.empty() && plan.preempted.empty()) << "a step that does nothing";
      for (const Work& work : plan.work) {
        ASSERT_TRUE(stored.contains(work.id));
        ASSERT_EQ(work.begin, stored[work.id]);
        stored[work.id] += work.rows;
        ASSERT_EQ(work.sample, stored[work.id] == tokens[work.id]);
        used += work.rows;
      }
      ASSERT_LE(used, rows);
      ASSERT_LE(static_cast<int64_t>(stored.size()), sequences);
      int64_t held = 0;
      for (const auto& [id, n] : stored) held += (n + 3) / 4;
      ASSERT_LE(held, blocks - scheduler.free_blocks());
      const std::vector<Work> work = plan.work;
      for (const Work& done : work) {
        if (!done.sample) continue;
        if (tokens[done.id] == target[done.id]) {
          scheduler.remove(done.id);
          stored.erase(done.id);
        } else {
          ++tokens[done.id];
          scheduler.grow(done.id);
        }
      }
    }
    ASSERT_TRUE(scheduler.empty()) << "starved, seed " << seed;
    ASSERT_EQ(scheduler.free_blocks(), blocks);
  }
}

}  // namespace
}  // namespace autoglm
