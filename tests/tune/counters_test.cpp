// From planted /proc and /sys files to findings: each fault in the system's own words.
#include "tune/counters.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/temporary_folder.h"
#include "tune/rules.h"

namespace autoglm {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::IsEmpty;

class Planted : public testing::Test {
 protected:
  void SetUp() override {
    put("proc/meminfo", "MemTotal: 16777216 kB\nMemAvailable: 8388608 kB\n");
    put("proc/self/status", "Name:\tx\nCpus_allowed_list:\t0-1\n");
    put("sys/devices/system/cpu/online", "0-1\n");
    for (const std::string cpu : {"0", "1"}) {
      put("sys/devices/system/cpu/cpu" + cpu + "/topology/core_cpus_list", cpu + "\n");
    }
    put("sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never\n");
    stat(0);
    faults(0);
    swap(0);
    put("proc/self/task/10/schedstat", "900 0 5\n");
    put("proc/self/task/11/schedstat", "900 0 5\n");
  }

  void put(const std::string& path, const std::string& text) { root_.write(path, text); }
  // 1000 ticks of two CPUs, of which `steal` each were stolen; CPU 2 is not ours.
  void stat(int steal) {
    const std::string ours = " 100 0 100 " + std::to_string(500 - steal) + " 0 0 0 " + std::to_string(steal) + " 0 0\n";
    put("proc/stat", "cpu  1 2 3 4 5 6 7 999 0 0\ncpu0" + ours + "cpu1" + ours + "cpu2 0 0 0 0 0 0 0 99999 0 0\n");
  }
  void faults(int64_t count) {
    put("proc/self/stat", "77 (a (b) c) S 1 2 3 4 5 6 7 8 " + std::to_string(count) + " 9 10\n");
  }
  void swap(int64_t count) { put("proc/vmstat", "pgpgin 5\npswpin " + std::to_string(count) + "\npswpout 7\n"); }

  void throttling_v1(int periods, int throttled, int64_t nanoseconds) {
    put("proc/self/mountinfo", "31 23 0:27 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n");
    put("proc/self/cgroup", "3:cpu:/\n");
    put("sys/fs/cgroup/cpu/cpu.stat", "nr_periods " + std::to_string(periods) + "\nnr_throttled " +
                                          std::to_string(throttled) + "\nthrottled_time " +
                                          std::to_string(nanoseconds) + "\n");
  }
  void throttling_v2(int periods, int throttled, int64_t microseconds) {
    put("proc/self/mountinfo", "30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
    put("proc/self/cgroup", "0::/\n");
    put("sys/fs/cgroup/cpu.stat", "usage_usec 5\nnr_periods " + std::to_string(periods) + "\nnr_throttled " +
                                      std::to_string(throttled) + "\nthrottled_usec " + std::to_string(microseconds) +
                                      "\n");
  }

  Counters counters() { return read_counters(machine().allowed, root_.path()); }
  Machine machine() { return read_machine(root_.path()); }

  /// What the doctor says of one second between two readings.
  std::vector<std::string> causes(const Counters& before) {
    Counters after = counters();
    after.seconds = before.seconds + 1;
    Facts facts;
    read_machine_facts(facts, machine(), root_.path());
    facts.threads = 2;
    facts.work = between(before, after);
    std::vector<std::string> names;
    for (const Finding& finding : diagnose(facts, Language::en)) names.emplace_back(finding.cause);
    return names;
  }

  test::TemporaryFolder root_;
};

TEST_F(Planted, NothingHappened) { EXPECT_THAT(causes(counters()), IsEmpty()); }

TEST_F(Planted, QuotaOfBothCgroupVersions) {
  throttling_v1(100, 10, 0);
  Counters before = counters();
  throttling_v1(110, 18, 900000000);  // 0.9 s of 2 CPU seconds
  EXPECT_THAT(causes(before), ElementsAre("quota_throttling"));
  throttling_v2(100, 10, 5);
  before = counters();
  throttling_v2(110, 18, 900005);
  EXPECT_THAT(causes(before), ElementsAre("quota_throttling"));
}

TEST_F(Planted, ThrottlingOfThePastIsNotOfThisRun) {
  throttling_v2(100000, 90000, 900000000);
  EXPECT_THAT(causes(counters()), IsEmpty());
}

TEST_F(Planted, StealOfOurCpusOnly) {
  const Counters before = counters();
  stat(0);
  EXPECT_EQ(between(before, counters()).steal_share, 0);
  put("proc/stat", "cpu0 200 0 200 900 0 0 0 100 0 0\ncpu1 200 0 200 900 0 0 0 100 0 0\n");
  EXPECT_NEAR(between(before, counters()).steal_share, 200.0 / 1400, 1e-9);
  EXPECT_THAT(causes(before), ElementsAre("steal"));
}

TEST_F(Planted, RunQueueDelayOfEveryThread) {
  const Counters before = counters();
  put("proc/self/task/10/schedstat", "900 300000000 9\n");
  put("proc/self/task/11/schedstat", "900 100000000 9\n");
  EXPECT_NEAR(between(before, counters()).run_delay_seconds, 0.4, 1e-9);
  EXPECT_THAT(causes(before), ElementsAre("run_queue"));
  fs::remove_all(root_ / "proc/self/task/10");  // a thread that ended takes its past with it
  EXPECT_GE(between(before, counters()).run_delay_seconds, 0);
}

TEST_F(Planted, FaultsAndSwap) {
  const Counters before = counters();
  faults(5000);
  EXPECT_THAT(causes(before), ElementsAre("major_faults"));
  swap(4000);
  EXPECT_THAT(causes(before), ElementsAre("swapping"));
}

TEST_F(Planted, ThreadsAgainstQuotaAndAffinity) {
  put("proc/self/mountinfo", "30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
  put("proc/self/cgroup", "0::/\n");
  put("sys/fs/cgroup/cpu.max", "100000 100000\n");
  EXPECT_THAT(causes(counters()), ElementsAre("too_many_threads"));
  fs::remove(root_ / "sys/fs/cgroup/cpu.max");
  put("proc/self/status", "Name:\tx\nCpus_allowed_list:\t1\n");
  EXPECT_THAT(causes(counters()), ElementsAre("too_many_threads"));
}

TEST_F(Planted, ClockAndPages) {
  const std::string clock = "sys/devices/system/cpu/cpu0/cpufreq/";
  put(clock + "scaling_governor", "powersave\n");
  put(clock + "scaling_driver", "intel_pstate\n");
  put(clock + "scaling_max_freq", "3000000\n");
  put(clock + "cpuinfo_max_freq", "3000000\n");
  EXPECT_THAT(causes(counters()), IsEmpty()) << "the normal mode of this driver";
  put(clock + "scaling_max_freq", "1200000\n");
  EXPECT_THAT(causes(counters()), ElementsAre("clock"));
  put(clock + "scaling_max_freq", "3000000\n");
  put(clock + "scaling_driver", "acpi-cpufreq\n");
  EXPECT_THAT(causes(counters()), ElementsAre("clock"));
  put(clock + "scaling_governor", "performance\n");
  put("sys/kernel/mm/transparent_hugepage/enabled", "always madvise [never]\n");
  EXPECT_THAT(causes(counters()), ElementsAre("huge_pages"));
}

TEST(Counters, OfThisMachineCanBeRead) {
  const Machine machine = read_machine();
  const Counters counters = read_counters(machine.allowed);
  EXPECT_GT(counters.total_ticks, 0);
  EXPECT_GT(counters.seconds, 0);
}

}  // namespace
}  // namespace autoglm
