// The scheduler driven by hand: every transition, with times and costs that the test chooses.
#include "engine/scheduler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

namespace autoglm {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

constexpr int64_t kBlockTokens = 4;

SchedulerLimits limits(int64_t rows, int64_t sequences, int64_t blocks) {
  return {.rows = rows, .sequences = sequences, .blocks = blocks, .block_tokens = kBlockTokens};
}

/// What a step of the imaginary machine takes: 1 s, and 0.1 s a row.
double seconds_of(const StepShape& shape) {
  return 1 + 0.1 * static_cast<double>(shape.prefill_rows + shape.decode_rows);
}

/// Carries plans out, with numbers in the place of blocks.
struct Driver {
  explicit Driver(const SchedulerLimits& limits, const SchedulerPolicy& policy = {}) : scheduler(limits, policy) {}

  void add(RequestId id, int64_t length, double arrival = 0, const QueuedRequest& job = {}) {
    add(id, prompt(length, static_cast<int32_t>(id)), arrival, job);
  }
  void add(RequestId id, std::vector<int32_t> prompt, double arrival = 0, QueuedRequest job = {}) {
    tokens[id] = std::move(prompt);
    job.id = id;
    job.tokens = &tokens[id];
    job.arrival = arrival;
    scheduler.add(job);
  }
  static std::vector<int32_t> prompt(int64_t length, int32_t start) {
    std::vector<int32_t> result;
    for (int32_t i = 0; i < length; ++i) result.push_back(1000 * start + i);
    return result;
  }
  const Plan& step(double now = 0) {
    const Plan& plan = scheduler.plan(now);
    scheduler.check_integrity();
    for (const RequestId id : plan.preempted) table.erase(id);
    for (const Adoption& adoption : plan.adopted) table[adoption.id].push_back(adoption.block);
    for (const int32_t block : scheduler.take_evicted()) evicted.push_back(block);
    for (const Work& work : plan.work) {
      std::vector<int32_t>& blocks = table[work.id];
      while (std::ssize(blocks) * kBlockTokens < work.begin + work.rows) blocks.push_back(next_block++);
      for (const Share& share : scheduler.share(work.id, blocks))
        blocks[static_cast<size_t>(share.index)] = share.block;
    }
    if (!plan.work.empty()) scheduler.completed(seconds_of(plan.shape));
    scheduler.check_integrity();
    return plan;
  }
  /// A step whose sampled requests all go on.
  const Plan& step_and_grow(double now = 0) {
    const Plan& plan = step(now);
    for (const Work& work : plan.work) {
      if (work.sample) grow(work.id);
    }
    return plan;
  }
  void grow(RequestId id, double now = 0) {
    tokens[id].push_back(static_cast<int32_t>(500000 + tokens[id].size()));
    scheduler.grow(id, now);
  }
  void remove(RequestId id) {
    scheduler.remove(id);
    scheduler.check_integrity();
    table.erase(id);
  }
  /// Teaches the imaginary machine's costs.
  void teach() {
    for (RequestId id = 1; id <= 40; ++id) {
      add(id, 1 + id * 7 % 60);
      while (scheduler.running() + scheduler.waiting() > 2) {
        const Plan plan = step();
        for (const Work& work : plan.work) {
          if (work.sample && work.rows > 1) grow(work.id);
          if (work.sample && work.rows == 1) remove(work.id);
        }
      }
    }
    for (RequestId id = 1; id <= 40; ++id) remove(id);
    evicted.clear();
    ASSERT_TRUE(scheduler.empty());
  }

  Scheduler scheduler;
  std::map<RequestId, std::vector<int32_t>> tokens;
  std::map<RequestId, std::vector<int32_t>> table;
  std::vector<int32_t> evicted;
  int32_t next_block = 0;
};

const SchedulerPolicy kNoCache = {.prefix_cache = false};

std::vector<RequestId> ids(const Plan& plan) {
  std::vector<RequestId> result;
  for (const Work& work : plan.work) result.push_back(work.id);
  return result;
}

int64_t rows_of(const Plan& plan, RequestId id) {
  for (const Work& work : plan.work) {
    if (work.id == id) return work.rows;
  }
  return 0;
}

// --- chunks and streams ---

TEST(Scheduler, CutsAPromptIntoChunksAndSamplesOnlyAtItsEnd) {
  Driver driver(limits(8, 1, 100));
  driver.add(1, 19);
  std::vector<std::array<int64_t, 3>> chunks;
  for (int i = 0; i < 3; ++i) {
    const Plan& plan = driver.step();
    ASSERT_EQ(plan.work.size(), 1U);
    chunks.push_back({plan.work[0].begin, plan.work[0].rows, plan.work[0].sample});
  }
  EXPECT_THAT(chunks, ElementsAre(std::array<int64_t, 3>{0, 8, 0}, std::array<int64_t, 3>{8, 8, 0},
                                  std::array<int64_t, 3>{16, 3, 1}));
  driver.grow(1);
  const Plan& decode = driver.step();
  EXPECT_EQ(decode.work[0].begin, 19);
  EXPECT_EQ(decode.work[0].rows, 1);
  EXPECT_EQ(decode.shape.decode_rows, 1);
  EXPECT_EQ(decode.shape.decode_depth, 19);
}

TEST(Scheduler, AChunkBesideStreamsTakesTheTimeThatTheTargetLeaves) {
  Driver driver(limits(512, 8, 1000), {.target_gap = 5, .prefix_cache = false});
  driver.teach();
  for (RequestId id = 100; id < 103; ++id) driver.add(id, 3);
  driver.step_and_grow();
  driver.add(200, 400);
  int chunks = 0;
  for (int64_t done = 0; done < 400; ++chunks) {
    ASSERT_LT(chunks, 40);
    const Plan& plan = driver.step_and_grow();
    for (RequestId id = 100; id < 103; ++id) ASSERT_EQ(rows_of(plan, id), 1) << "streams advance in every step";
    EXPECT_EQ(plan.limit, 5);
    EXPECT_LE(plan.predicted, 5);
    EXPECT_NEAR(plan.predicted, seconds_of(plan.shape), 0.05 * seconds_of(plan.shape));
    done += rows_of(plan, 200);
    if (done < 400) {
      EXPECT_GE(seconds_of(plan.shape), 4.2) << "the time is used";
    }
  }
  for (RequestId id = 100; id < 103; ++id) driver.remove(id);
  driver.remove(200);
  driver.add(300, 400);
  const Plan& alone = driver.step();
  EXPECT_EQ(rows_of(alone, 300), 400) << "nobody waits: the whole prompt at once";
  EXPECT_EQ(alone.limit, std::numeric_limits<double>::infinity());
}

TEST(Scheduler, AChunkBesideStreamsFillsTheTilesOfItsStep) {
  // Rows of a step by what its time allows.
  const std::vector<std::pair<int64_t, int64_t>> expected = {{20, 20}, {27, 27}, {30, 32}, {32, 32}, {36, 32},
                                                             {42, 32}, {44, 48}, {60, 64}, {70, 64}};
  for (const auto& [allowed, rows] : expected) {
    SchedulerLimits tiled = limits(512, 8, 1000);
    tiled.row_tile = 16;
    StepShape shape;
    for (int i = 0; i < 3; ++i) shape.add_decode(3);
    shape.add_prefill(0, allowed - 3, false);
    Driver driver(tiled, {.target_gap = seconds_of(shape) * 1.001, .prefix_cache = false});
    driver.teach();
    for (RequestId id = 100; id < 103; ++id) driver.add(id, 3);
    driver.step_and_grow();
    driver.add(200, 400);
    EXPECT_NEAR(3 + rows_of(driver.step(), 200), rows, rows % 16 == 0 ? 0 : 1) << allowed;
  }
}

TEST(Scheduler, WithoutATargetTheGapFollowsTheStreamsOwnCost) {
  Driver driver(limits(512, 8, 1000), kNoCache);
  driver.teach();
  for (RequestId id = 100; id < 104; ++id) driver.add(id, 3);
  driver.step_and_grow();
  driver.add(200, 400);
  const Plan& plan = driver.step();
  EXPECT_NEAR(plan.limit, kAutomaticGap * 1.4, 0.3) << "four streams alone take 1.4 s";
  EXPECT_LE(plan.predicted, plan.limit);
  EXPECT_GT(plan.predicted, 0.85 * plan.limit);
}

TEST(Scheduler, APromptAdvancesEvenWhereTheTargetCannotBeKept) {
  Driver driver(limits(512, 8, 1000), {.target_gap = 0.001, .prefix_cache = false});
  driver.teach();
  driver.add(100, 3);
  driver.step_and_grow();
  driver.add(200, 100);
  driver.add(201, 100);
  const Plan& plan = driver.step();
  EXPECT_EQ(rows_of(plan, 200), kLeastChunk);
  EXPECT_EQ(rows_of(plan, 201), 0) << "one least chunk a step, not one a prompt";
  EXPECT_GE(plan.limit, plan.predicted) << "the limit says what was allowed";
}

// --- who is next ---

TEST(Scheduler, AShortPromptPassesALongOneAndTheLongOneStillEnds) {
  Driver driver(limits(40, 64, 10000), kNoCache);
  driver.teach();
  driver.add(100, 4000, 0);
  double now = 0;
  RequestId next = 101;
  std::map<RequestId, int> waited;  // steps
  bool done = false;
  for (int step = 0; !done && step < 2000; ++step) {
    if (step % 2 == 0) driver.add(next++, 30, now);  // short ones keep three quarters of the machine busy
    const Plan plan = driver.step(now);
    now += seconds_of(plan.shape);
    for (RequestId id = 101; id < next; ++id) ++waited[id];
    for (const Work& work : plan.work) {
      if (!work.sample) continue;
      if (work.id == 100) {
        done = true;
      } else {
        EXPECT_LE(waited[work.id], 12) << work.id;
        driver.remove(work.id);
        waited.erase(work.id);
      }
    }
    for (const auto& [id, steps] : waited) {
      if (driver.tokens.contains(id) && id < next) {
        ASSERT_LE(steps, 2000);
      }
    }
  }
  EXPECT_TRUE(done) << "the long prompt starved";
}

TEST(Scheduler, ManyRequestsOfOneClientCountAsOne) {
  Driver driver(limits(32, 64, 10000), kNoCache);
  driver.teach();
  QueuedRequest greedy;
  greedy.client = 7;
  QueuedRequest modest;
  modest.client = 8;
  for (RequestId id = 100; id < 120; ++id) driver.add(id, 32, 0, greedy);
  driver.add(120, 32, 0.5, modest);
  EXPECT_THAT(ids(driver.step(1)), ElementsAre(120)) << "it came last, and is its client's only one";
  driver.remove(120);
  EXPECT_THAT(ids(driver.step(2)), ElementsAre(100)) << "among equals the first to come";
}

TEST(Scheduler, RequestsOfNobodyAreNotCountedTogether) {
  Driver driver(limits(32, 64, 10000), kNoCache);
  driver.teach();
  for (RequestId id = 100; id < 105; ++id) driver.add(id, 32, static_cast<double>(id) / 1000);
  QueuedRequest someone;
  someone.client = 1;
  driver.add(105, 32, 0.2, someone);
  EXPECT_THAT(ids(driver.step(1)), ElementsAre(100));
}

TEST(Scheduler, TheMostUrgentIsNotPassedByOneThatWouldFit) {
  Driver driver(limits(100, 4, 10), kNoCache);
  driver.add(1, 30);  // 8 of 10 blocks
  driver.add(2, 12);  // 3 blocks: waits
  driver.add(3, 12);
  EXPECT_THAT(driver.step().admitted, ElementsAre(1));
  driver.add(4, 4, 0.5);  // would fit, but has waited less
  EXPECT_THAT(driver.step(1).admitted, IsEmpty());
  EXPECT_EQ(driver.scheduler.waiting(), 3);
  driver.remove(1);
  EXPECT_EQ(driver.scheduler.free_blocks(), 10);
  EXPECT_THAT(driver.step(2).admitted, UnorderedElementsAre(2, 3, 4));
}

// --- preemption ---

TEST(Scheduler, PreemptsTheNewestWhenBlocksRunOut) {
  Driver driver(limits(100, 4, 5), kNoCache);
  driver.add(1, 8);  // 2 blocks, full
  driver.add(2, 7);  // 2 blocks and room for one token
  EXPECT_THAT(ids(driver.step_and_grow()), UnorderedElementsAre(1, 2));
  EXPECT_THAT(ids(driver.step()), ElementsAre(1, 2)) << "1 takes the last block";
  driver.grow(1);
  driver.grow(2);  // 2 now needs a third block
  const Plan preempting = driver.step();
  EXPECT_THAT(preempting.preempted, ElementsAre(2));
  EXPECT_THAT(ids(preempting), ElementsAre(1));
  driver.grow(1);
  EXPECT_THAT(ids(driver.step()), ElementsAre(1));
  driver.remove(1);
  const Plan resumed = driver.step();
  EXPECT_THAT(resumed.admitted, ElementsAre(2));
  ASSERT_THAT(ids(resumed), ElementsAre(2));
  EXPECT_EQ(resumed.work[0].begin, 0) << "without a cache it is computed again from its beginning";
  EXPECT_EQ(resumed.work[0].rows, 9);
  EXPECT_TRUE(resumed.work[0].sample);
}

TEST(Scheduler, WhoeverIsPreemptedFindsItsBlocksAgain) {
  Driver driver(limits(100, 4, 7));
  driver.add(1, 11);
  driver.add(2, 10);  // 3 blocks each
  Plan plan;
  for (int i = 0; i < 9 && plan.preempted.empty(); ++i) plan = driver.step_and_grow();
  ASSERT_THAT(plan.preempted, ElementsAre(2));
  EXPECT_THAT(driver.evicted, IsEmpty()) << "nobody needs its blocks yet";
  for (int i = 0; i < 9 && driver.evicted.empty(); ++i) driver.step_and_grow();
  EXPECT_EQ(driver.evicted.size(), 1U) << "the end of what 2 left behind";
  driver.remove(1);
  const Plan resumed = driver.step();
  EXPECT_THAT(resumed.admitted, ElementsAre(2));
  EXPECT_EQ(resumed.adopted.size(), 2U) << "of three blocks the last had to go";
  ASSERT_EQ(resumed.work.size(), 1U);
  EXPECT_EQ(resumed.work[0].begin, 8);
  EXPECT_EQ(resumed.work[0].rows, 5);
  EXPECT_TRUE(resumed.work[0].sample);
}

// --- the prefix cache ---

TEST(Scheduler, APromptGoesOnWhereAnotherHasBeen) {
  Driver driver(limits(100, 4, 100));
  const std::vector<int32_t> prompt = Driver::prompt(20, 1);
  driver.add(1, prompt);
  driver.step_and_grow();
  driver.remove(1);
  driver.add(2, prompt);
  Plan plan = driver.step();
  EXPECT_EQ(plan.adopted.size(), 4U) << "the last token is computed again: its logits are wanted";
  ASSERT_EQ(plan.work.size(), 1U);
  EXPECT_EQ(plan.work[0].begin, 16);
  EXPECT_TRUE(plan.work[0].sample);
  std::vector<int32_t> other = prompt;
  other[9] = -1;
  driver.add(3, other);
  plan = driver.step();
  EXPECT_EQ(plan.adopted.size(), 2U) << "up to the block that differs";
  const CacheStats stats = driver.scheduler.cache_stats();
  EXPECT_EQ(stats.looked_up_tokens, 60);
  EXPECT_EQ(stats.hit_tokens, 24);
  EXPECT_EQ(stats.blocks, 5 + 3);
}

TEST(Scheduler, AnswersAreSharedTooAndRootsAreApart) {
  Driver driver(limits(100, 4, 100));
  driver.add(1, 3);
  for (int i = 0; i < 9; ++i) driver.step_and_grow();
  const std::vector<int32_t> said = driver.tokens[1];  // 12 tokens, 11 stored
  driver.remove(1);
  driver.add(2, said);
  EXPECT_EQ(driver.step().adopted.size(), 2U);
  QueuedRequest adapted;
  adapted.root = root_key("model", "q8", 3);
  driver.add(3, said, 0, adapted);
  EXPECT_THAT(driver.step().adopted, IsEmpty()) << "another adapter computes other keys and values";
}

TEST(Scheduler, PromptsThatArriveTogetherComputeTheirCommonStartOnce) {
  Driver driver(limits(64, 8, 100));
  std::vector<int32_t> prompt = Driver::prompt(40, 1);
  for (RequestId id = 1; id <= 4; ++id) {
    prompt.back() = static_cast<int32_t>(id);
    driver.add(id, prompt);
  }
  int64_t rows = 0;
  int steps = 0;
  for (std::map<RequestId, bool> done; done.size() < 4 && steps < 10; ++steps) {
    const Plan& plan = driver.step();
    rows += plan.shape.prefill_rows + plan.shape.decode_rows;
    for (const Work& work : plan.work) {
      if (work.sample) done[work.id] = true;
    }
  }
  EXPECT_EQ(steps, 2);
  EXPECT_EQ(rows, 40 + 3 * 4) << "the block with the last token is everyone's own";
  EXPECT_EQ(driver.scheduler.cache_stats().hit_tokens, 3 * 36);
}

TEST(Scheduler, TwinsThatWereComputedTogetherBecomeOne) {
  Driver driver(limits(64, 8, 100));
  // A common start within a block, so that neither waits for the other; then the second becomes what the first is.
  driver.add(1, Driver::prompt(6, 1));
  driver.step();
  driver.add(2, Driver::prompt(6, 1));
  driver.step();  // 2 adopts the first block and computes the half one
  for (int i = 0; i < 3; ++i) {
    driver.grow(1);
    driver.grow(2);  // the driver's answers are alike
    driver.step();
  }
  EXPECT_EQ(driver.table[1][1], driver.table[2][1]);
  EXPECT_EQ(driver.scheduler.cache_stats().blocks, 2);
  driver.remove(1);
  driver.remove(2);
  EXPECT_EQ(driver.scheduler.free_blocks(), 100);
}

TEST(Scheduler, CachedBlocksNeverStandInAnyonesWay) {
  Driver driver(limits(100, 4, 10));
  driver.add(1, 36);
  driver.step();
  driver.remove(1);
  EXPECT_EQ(driver.scheduler.cache_stats().blocks, 9);
  EXPECT_EQ(driver.scheduler.free_blocks(), 10);
  driver.add(2, 37);
  const Plan& plan = driver.step();
  EXPECT_THAT(plan.admitted, ElementsAre(2));
  EXPECT_EQ(driver.evicted.size(), 9U);
}

TEST(Scheduler, WithoutTheCacheNothingIsShared) {
  Driver driver(limits(100, 4, 100), kNoCache);
  for (RequestId id = 1; id <= 2; ++id) {
    driver.add(id, Driver::prompt(20, 1));
    EXPECT_THAT(driver.step().adopted, IsEmpty());
  }
  EXPECT_EQ(driver.scheduler.cache_stats().blocks, 0);
}

// --- batching modes ---

TEST(Scheduler, NoneRunsOneAtATime) {
  Driver driver(limits(100, 8, 100), {.batching = Batching::none});
  driver.add(1, 4);
  driver.add(2, 4);
  EXPECT_THAT(driver.step_and_grow().admitted, ElementsAre(1));
  EXPECT_THAT(ids(driver.step()), ElementsAre(1));
  driver.remove(1);
  EXPECT_THAT(ids(driver.step()), ElementsAre(2));
}

TEST(Scheduler, FixedBatchesGatherAndRunToTheirEnd) {
  Driver driver(limits(100, 2, 100), {.batching = Batching::fixed, .window = 5});
  driver.add(1, 4, 10);
  EXPECT_THAT(driver.step(10).work, IsEmpty());
  EXPECT_EQ(driver.scheduler.wake(10), 15);
  driver.add(2, 4, 12);
  EXPECT_EQ(driver.scheduler.wake(12), 12) << "the batch is full";
  EXPECT_THAT(driver.step_and_grow(12).admitted, ElementsAre(1, 2));
  driver.add(3, 4, 12);
  driver.remove(1);
  EXPECT_THAT(driver.step_and_grow(99).admitted, IsEmpty()) << "the batch still runs";
  driver.remove(2);
  EXPECT_THAT(driver.step(100).admitted, ElementsAre(3)) << "it is not full, but its window is over";
}

TEST(Scheduler, DynamicBatchesGatherAndJoinThoseThatRun) {
  Driver driver(limits(100, 4, 100), {.batching = Batching::dynamic, .window = 5});
  driver.add(1, 4, 10);
  EXPECT_THAT(driver.step(14.9).work, IsEmpty());
  EXPECT_EQ(driver.scheduler.wake(14.9), 15);
  EXPECT_THAT(driver.step_and_grow(15).admitted, ElementsAre(1));
  driver.add(2, 4, 16);
  EXPECT_THAT(driver.step_and_grow(17).admitted, IsEmpty());
  EXPECT_THAT(driver.step_and_grow(21).admitted, ElementsAre(2)) << "beside the first, which still runs";
  driver.add(3, 4, 22);
  driver.add(4, 4, 22);
  EXPECT_THAT(driver.step_and_grow(22).admitted, ElementsAre(3, 4)) << "every place is taken: no need to wait";
}

TEST(Scheduler, WakesForRequestsAndDeadlinesOnly) {
  Driver driver(limits(100, 4, 100), {.batching = Batching::dynamic, .window = 5});
  EXPECT_EQ(driver.scheduler.wake(3), std::numeric_limits<double>::infinity());
  QueuedRequest hasty;
  hasty.deadlines.queue = 2;
  driver.add(1, 4, 10, hasty);
  EXPECT_EQ(driver.scheduler.wake(10), 12);
  driver.step(15);
  EXPECT_EQ(driver.scheduler.wake(15.5), 15.5) << "it runs";
}

// --- deadlines and queue ---

TEST(Scheduler, DeadlinesByPhase) {
  Driver driver(limits(4, 1, 100), kNoCache);
  const auto phases = [&](double now) {
    std::vector<std::pair<RequestId, std::string>> result;
    for (const Expired& late : driver.scheduler.expired(now)) result.emplace_back(late.id, late.phase);
    return result;
  };
  QueuedRequest job;
  job.deadlines = {.queue = 1, .prefill = 3, .decode = 5};
  driver.add(1, 8, 0, job);
  driver.add(2, 8, 0, job);
  driver.step(0.5);
  EXPECT_THAT(phases(1), IsEmpty());
  EXPECT_THAT(phases(1.1), ElementsAre(std::pair(2, "queue"))) << "1 has begun";
  EXPECT_THAT(phases(3.1), UnorderedElementsAre(std::pair(1, "prefill"), std::pair(2, "queue")));
  driver.remove(2);
  driver.step(2);
  driver.grow(1, 2);
  EXPECT_THAT(phases(7), IsEmpty());
  EXPECT_THAT(phases(7.1), ElementsAre(std::pair(1, "decode")));
  driver.remove(1);
  driver.add(3, 8, 0);
  EXPECT_THAT(phases(1e9), IsEmpty()) << "none by default";
}

TEST(Scheduler, RemovesFromTheQueueTooAndCountsPlaces) {
  Driver driver(limits(8, 2, 10), kNoCache);
  driver.add(1, 4);
  EXPECT_EQ(driver.scheduler.free_places(), 2);
  driver.step();
  EXPECT_EQ(driver.scheduler.free_places(), 1);
  driver.add(2, 4);
  driver.add(3, 4);
  EXPECT_EQ(driver.scheduler.queued(), 2);
  EXPECT_GT(driver.scheduler.backlog(), 0);
  driver.remove(2);
  driver.remove(77);
  driver.remove(3);
  driver.remove(1);
  EXPECT_TRUE(driver.scheduler.empty());
  EXPECT_THAT(driver.step().work, IsEmpty());
}

// --- drafts ---

TEST(Scheduler, DraftsTakeWhatIsLeftAndGiveItBack) {
  Driver driver(limits(16, 2, 6));
  driver.add(1, 7);
  driver.step_and_grow();
  driver.step();
  EXPECT_EQ(driver.scheduler.reserve(1, 100), 12) << "5 blocks: one stays for its next token";
  EXPECT_EQ(driver.scheduler.free_blocks(), 1);
  driver.scheduler.check_integrity();
  driver.grow(1);
  driver.grow(1);
  driver.scheduler.settle(1, 1);
  EXPECT_EQ(driver.scheduler.free_blocks(), 3) << "ten tokens need three blocks";
  driver.scheduler.check_integrity();
}

// --- what is on disk ---

/// Hands the scheduler the blocks of a request's prompt as a disk would.
Scheduler::Import give(Driver& driver, RequestId id, int64_t index, int32_t wrong_by = 0) {
  BlockRecord record = driver.scheduler.record(id, index);
  record.tokens[0] += wrong_by;
  const auto tokens = std::span(record.tokens).first(kBlockTokens);
  const Scheduler::Import answer = driver.scheduler.accept(id, index, record.key, tokens);
  for (const int32_t block : driver.scheduler.take_evicted()) driver.evicted.push_back(block);
  if (answer == Scheduler::Import::take) driver.scheduler.imported(id, index, driver.next_block++);
  driver.scheduler.check_integrity();
  return answer;
}

TEST(SchedulerFetch, WaitsForItsTurnAndThenForTheDisk) {
  Driver driver(limits(64, 1, 100));
  driver.add(1, 9);
  driver.add(2, 18);
  driver.scheduler.may_fetch(2);
  const Scheduler::Missing missing = driver.scheduler.missing(2);
  EXPECT_EQ(missing.first, 0);
  EXPECT_EQ(missing.keys.size(), 4u) << "the last token is computed in any case";
  EXPECT_THAT(driver.step_and_grow().fetched, IsEmpty()) << "another one runs";
  driver.remove(1);
  EXPECT_THAT(driver.step(1).fetched, ElementsAre(2));
  EXPECT_TRUE(driver.scheduler.fetching());
  EXPECT_THAT(driver.step(1.01).work, IsEmpty());
  EXPECT_EQ(give(driver, 2, 0), Scheduler::Import::take);
  EXPECT_EQ(give(driver, 2, 1), Scheduler::Import::take);
  EXPECT_EQ(give(driver, 2, 1), Scheduler::Import::skip) << "it is there";
  EXPECT_EQ(give(driver, 2, 3), Scheduler::Import::stop) << "what stands in front of it is not";
  EXPECT_EQ(give(driver, 2, 2, 1), Scheduler::Import::stop) << "other tokens under the same key";
  EXPECT_THAT(driver.step(1.02).work, IsEmpty());
  driver.scheduler.done_fetching(2);
  EXPECT_FALSE(driver.scheduler.fetching());
  const Plan& plan = driver.step(1.03);
  EXPECT_THAT(plan.admitted, ElementsAre(2));
  EXPECT_THAT(plan.fetched, IsEmpty()) << "once is enough";
  EXPECT_EQ(plan.adopted.size(), 2u);
  ASSERT_EQ(plan.work.size(), 1u);
  EXPECT_EQ(plan.work[0].begin, 8);
  EXPECT_EQ(driver.scheduler.cache_stats().fetched_tokens, 8);
  EXPECT_EQ(driver.scheduler.missing(2).keys.size(), 0u);
}

TEST(SchedulerFetch, OthersPassAndADiskThatIsSilentIsNotWaitedForLong) {
  Driver driver(limits(64, 2, 100));
  driver.add(1, 18);
  driver.scheduler.may_fetch(1);
  driver.add(2, 9);
  const Plan& first = driver.step_and_grow(10);
  EXPECT_THAT(first.fetched, ElementsAre(1));
  EXPECT_THAT(ids(first), ElementsAre(2));
  driver.add(3, 9, 10);
  EXPECT_THAT(ids(driver.step_and_grow(10.001)), ElementsAre(2)) << "who waits for a disk has a place";
  // What computing 18 tokens takes is 2.8 s by what this machine has shown.
  EXPECT_THAT(ids(driver.step_and_grow(10.002)), ElementsAre(2));
  EXPECT_THAT(ids(driver.step_and_grow(20)), UnorderedElementsAre(1, 2)) << "it is computed instead";
  EXPECT_TRUE(driver.scheduler.fetching());
  EXPECT_EQ(give(driver, 1, 0), Scheduler::Import::skip) << "what comes late is here already";
  driver.scheduler.done_fetching(1);
  driver.scheduler.done_fetching(77);  // long gone
  EXPECT_FALSE(driver.scheduler.fetching());
}

TEST(SchedulerFetch, WhoEndsIsNotFetchedFor) {
  Driver driver(limits(64, 2, 100));
  driver.add(1, 18);
  driver.scheduler.may_fetch(1);
  driver.step();
  EXPECT_TRUE(driver.scheduler.fetching());
  driver.remove(1);
  EXPECT_FALSE(driver.scheduler.fetching());
  const BlockRecord nothing;
  EXPECT_EQ(driver.scheduler.accept(1, 0, nothing.key, nothing.tokens), Scheduler::Import::stop);
  EXPECT_EQ(driver.scheduler.missing(1).keys.size(), 0u);
  driver.scheduler.may_fetch(1);
}

TEST(SchedulerFetch, MakesRoomAsFarAsNobodyNeedsIt) {
  Driver driver(limits(64, 2, 8));
  driver.add(1, 17);  // five blocks, of which four are kept
  driver.step_and_grow();
  driver.add(2, 26);
  driver.scheduler.may_fetch(2);
  driver.step(1);
  for (int64_t i = 0; i < 3; ++i) EXPECT_EQ(give(driver, 2, i), Scheduler::Import::take) << i;
  EXPECT_EQ(give(driver, 2, 3), Scheduler::Import::stop) << "all others are in use, and its own front is needed";
  driver.remove(1);
  EXPECT_EQ(give(driver, 2, 3), Scheduler::Import::take);
  EXPECT_EQ(give(driver, 2, 4), Scheduler::Import::take) << "at the cost of what is of less value";
  driver.scheduler.done_fetching(2);
  EXPECT_EQ(driver.step(2).adopted.size(), 5u);
}

}  // namespace
}  // namespace autoglm
