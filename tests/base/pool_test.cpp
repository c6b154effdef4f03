#include "base/pool.h"

#include <gtest/gtest.h>
#include <sched.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <numeric>
#include <stdexcept>
#include <thread>

#include "base/error.h"

namespace autoglm {
namespace {

class PoolSizes : public testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(Pool, PoolSizes, testing::Values(1, 2, 3, 8));

TEST_P(PoolSizes, RunCallsEveryWorkerOnce) {
  WorkerPool pool({.threads = GetParam()});
  ASSERT_EQ(pool.size(), GetParam());
  for (int round = 0; round < 200; ++round) {
    std::vector<int> calls(static_cast<size_t>(GetParam()), 0);  // not atomic: each worker has its own place
    pool.run([&](int worker) { calls[static_cast<size_t>(worker)]++; });
    EXPECT_EQ(calls, std::vector<int>(calls.size(), 1));
  }
}

TEST_P(PoolSizes, WorkersAreSeparateThreadsAndTheCallerIsWorkerZero) {
  WorkerPool pool({.threads = GetParam()});
  std::vector<std::thread::id> ids(static_cast<size_t>(GetParam()));
  pool.run([&](int worker) { ids[static_cast<size_t>(worker)] = std::this_thread::get_id(); });
  EXPECT_EQ(ids[0], std::this_thread::get_id());
  std::sort(ids.begin(), ids.end());
  EXPECT_EQ(std::unique(ids.begin(), ids.end()), ids.end());
}

TEST_P(PoolSizes, WorkersThatSleepAreWoken) {
  WorkerPool pool({.threads = GetParam(), .spin_microseconds = 0});
  for (int round = 0; round < 50; ++round) {
    std::atomic<int> sum{0};
    pool.run([&](int worker) { sum += worker + 1; });
    EXPECT_EQ(sum, GetParam() * (GetParam() + 1) / 2);
    std::this_thread::sleep_for(std::chrono::microseconds(200));
  }
}

TEST_P(PoolSizes, ParallelForCoversEachElementOnce) {
  WorkerPool pool({.threads = GetParam()});
  for (const int64_t n : {0, 1, 7, 64, 1000}) {
    for (const int64_t grain : {1, 3, 64, 5000}) {
      std::vector<int> seen(static_cast<size_t>(n), 0);
      pool.parallel_for(n, grain, [&](int64_t begin, int64_t end) {
        EXPECT_LE(end - begin, grain);
        EXPECT_EQ(begin % grain, 0);
        for (int64_t i = begin; i < end; ++i) seen[static_cast<size_t>(i)]++;
      });
      EXPECT_EQ(std::accumulate(seen.begin(), seen.end(), 0), n);
      EXPECT_EQ(seen, std::vector<int>(seen.size(), 1));
    }
  }
}

TEST_P(PoolSizes, BarrierOrdersWhatLiesBeforeAndAfter) {
  WorkerPool pool({.threads = GetParam()});
  const auto n = static_cast<size_t>(GetParam());
  std::vector<int64_t> values(n, 0);
  pool.run([&](int worker) {
    const auto w = static_cast<size_t>(worker);
    for (int64_t round = 1; round <= 300; ++round) {
      values[w] = round * 10 + worker;  // plain memory: TSan and the comparison see a barrier that does not hold
      pool.barrier();
      for (size_t other = 0; other < n; ++other) ASSERT_EQ(values[other], round * 10 + static_cast<int64_t>(other));
      pool.barrier();
    }
  });
}

TEST_P(PoolSizes, AnExceptionReachesTheCallerAfterAllHaveFinished) {
  WorkerPool pool({.threads = GetParam()});
  const int last = GetParam() - 1;
  for (int round = 0; round < 50; ++round) {
    std::atomic<int> finished{0};
    try {
      pool.run([&](int worker) {
        if (worker == last) fail(Code::numeric, "planted");
        finished++;
      });
      FAIL() << "nothing was thrown";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), Code::numeric);
      EXPECT_STREQ(error.what(), "planted");
    }
    EXPECT_EQ(finished, last);
    std::atomic<int> after{0};
    pool.run([&](int) { after++; });
    EXPECT_EQ(after, GetParam());
  }
}

TEST_P(PoolSizes, AnExceptionFreesThoseWhoWaitAtABarrier) {
  WorkerPool pool({.threads = GetParam()});
  for (int failing = 0; failing < GetParam(); ++failing) {
    EXPECT_THROW(pool.run([&](int worker) {
      pool.barrier();
      if (worker == failing) throw std::runtime_error("planted");
      pool.barrier();
      pool.barrier();
    }),
                 std::runtime_error);
    std::vector<int> values(static_cast<size_t>(GetParam()), 0);
    pool.run([&](int worker) {  // the barrier works again
      values[static_cast<size_t>(worker)] = 1;
      pool.barrier();
      EXPECT_EQ(std::accumulate(values.begin(), values.end(), 0), GetParam());
    });
  }
}

TEST_P(PoolSizes, ParallelForStopsAtAnException) {
  WorkerPool pool({.threads = GetParam()});
  EXPECT_THROW(pool.parallel_for(1'000'000'000, 1,
                                 [&](int64_t begin, int64_t) {
                                   if (begin == 10) throw std::runtime_error("planted");
                                 }),
               std::runtime_error);
}

TEST(Pool, ManyShortJobsBetweenSpinningAndSleeping) {
  for (const int spin : {0, 5, 50}) {
    WorkerPool pool({.threads = 4, .spin_microseconds = spin});
    int64_t total = 0;
    for (int64_t round = 0; round < 3000; ++round) {
      std::atomic<int64_t> sum{0};
      pool.run([&](int) { sum.fetch_add(round, std::memory_order_relaxed); });
      total += sum;
    }
    EXPECT_EQ(total, 4LL * 2999 * 3000 / 2);
  }
}

TEST(Pool, MakingAndDestroyingAtOnceIsSafe) {
  for (int round = 0; round < 100; ++round) {
    WorkerPool pool({.threads = 3});
    if (round % 2 == 0) pool.run([](int) {});
  }
}

TEST(Pool, OnePoolServesCallersOnDifferentThreadsInTurn) {
  WorkerPool pool({.threads = 2});
  for (int round = 0; round < 10; ++round) {
    std::thread([&] {
      std::atomic<int> calls{0};
      pool.run([&](int) { calls++; });
      EXPECT_EQ(calls, 2);
    }).join();
  }
}

TEST(Pool, PinsEveryWorkerAndGivesTheCallerBackItsMask) {
  cpu_set_t before;
  ASSERT_EQ(sched_getaffinity(0, sizeof before, &before), 0);
  int cpu = 0;
  while (!CPU_ISSET(static_cast<size_t>(cpu), &before)) ++cpu;
  {
    WorkerPool pool({.threads = 2, .cpus = {cpu, cpu}});
    pool.run([&](int) {
      cpu_set_t mine;
      ASSERT_EQ(sched_getaffinity(0, sizeof mine, &mine), 0);
      EXPECT_EQ(CPU_COUNT(&mine), 1);
      EXPECT_TRUE(CPU_ISSET(static_cast<size_t>(cpu), &mine));
    });
  }
  cpu_set_t after;
  ASSERT_EQ(sched_getaffinity(0, sizeof after, &after), 0);
  EXPECT_TRUE(CPU_EQUAL(&before, &after));
}

TEST(PoolDeathTest, NestedRunIsABug) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  EXPECT_DEATH(
      {
        WorkerPool pool({.threads = 2});
        pool.run([&](int worker) {
          if (worker == 0) pool.run([](int) {});
        });
      },
      "run\\(\\) called inside a job");
  EXPECT_DEATH(
      {
        WorkerPool pool({.threads = 1});
        pool.barrier();
      },
      "outside a job");
}

}  // namespace
}  // namespace autoglm
