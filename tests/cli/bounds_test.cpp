// The line after `run`: what it blames, and that measuring needs no memory that is not there.
#include "cli/bounds.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kernels/backend.h"
#include "kernels/probe.h"

namespace autoglm {
namespace {

using testing::HasSubstr;

TEST(Bounds, TheLineSaysWhatWouldHelp) {
  EXPECT_EQ(bounds_line(6.1, 0.88, 8.5, {}), "6.1 tok/s, 88 % of memory bandwidth; a smaller type would help");
  EXPECT_EQ(bounds_line(6.1, 1.2, 4.5, {}), "6.1 tok/s, 100 % of memory bandwidth; a smaller model would help");
  EXPECT_EQ(bounds_line(6.1, 0.3, 4.5, {}), "6.1 tok/s, 30 % of memory bandwidth; bound by computing");
  EXPECT_EQ(bounds_line(6.1, {}, 4.5, {}), "6.1 tok/s");
}

TEST(Bounds, WaitingIsNotComputing) {
  Interval work;
  work.seconds = 10;
  EXPECT_FALSE(held_up(work, 2));
  work.run_delay_seconds = 1;  // of 20 thread seconds: too little to be told
  EXPECT_FALSE(held_up(work, 2));
  work.run_delay_seconds = 8;
  EXPECT_EQ(bounds_line(2, 0.3, 4.5, held_up(work, 2)),
            "2.0 tok/s, 30 % of memory bandwidth; waiting for a processor: other processes use our CPUs (`autoglm "
            "doctor` says more)");
  EXPECT_THAT(bounds_line(2, {}, 4.5, held_up(work, 2)), HasSubstr("2.0 tok/s; waiting for a processor"));
  work.periods = 100;
  work.throttled_periods = 80;
  work.throttled_seconds = 8;  // the waiting is the quota's
  EXPECT_THAT(bounds_line(2, 0.3, 4.5, held_up(work, 2)), HasSubstr("stopped by the CPU quota"));
  work = {};
  work.seconds = 10;
  work.swap_ins = work.major_faults = 50'000;
  EXPECT_THAT(bounds_line(2, 0.3, 4.5, held_up(work, 2)), HasSubstr("; memory comes back from swap"));
}

TEST(Bounds, TheProbeIsSkippedWhereItsBufferDoesNotFit) {
  Runtime runtime;
  runtime.pool = std::make_unique<WorkerPool>(PoolOptions{.threads = 1});
  runtime.backend = make_backend("auto", *runtime.pool);
  const int64_t buffer = probe_read_bytes(1);
  EXPECT_EQ(buffer, 64 << 20);
  runtime.ledger = std::make_unique<Ledger>(buffer + 1000);
  runtime.ledger->reserve(MemoryLine::process, 1001, "something else");
  EXPECT_EQ(read_roof(runtime, 1), std::nullopt);
  runtime.ledger->release(MemoryLine::process, 1);
  EXPECT_GT(read_roof(runtime, 1).value_or(0), 0);
  EXPECT_EQ(runtime.ledger->total(), 1000);
}

}  // namespace
}  // namespace autoglm
