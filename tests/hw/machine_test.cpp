#include "hw/machine.h"

#include <gtest/gtest.h>
#include <sched.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "hw/files.h"
#include "support/temporary_folder.h"

namespace autoglm {
namespace {

namespace fs = std::filesystem;

/// A root folder with the files of a machine that we do not have.
class Planted : public testing::Test {
 protected:
  void SetUp() override {
    put("proc/meminfo", "MemTotal: 16777216 kB\nMemFree: 100 kB\nMemAvailable: 8388608 kB\n");
    cpus(8, 1, "0-7");
  }

  void put(const std::string& path, const std::string& text) { root_.write(path, text); }
  // `count` logical CPUs; the siblings of a core are numbered count / siblings apart, as on most x86 machines.
  void cpus(int count, int siblings, const std::string& allowed) {
    put("sys/devices/system/cpu/online", "0-" + std::to_string(count - 1) + "\n");
    put("proc/self/status", "Name:\tx\nCpus_allowed:\tff\nCpus_allowed_list:\t" + allowed + "\n");
    const int cores = count / siblings;
    for (int cpu = 0; cpu < count; ++cpu) {
      std::string list;
      for (int s = 0; s < siblings; ++s) list += (s > 0 ? "," : "") + std::to_string(cpu % cores + s * cores);
      put("sys/devices/system/cpu/cpu" + std::to_string(cpu) + "/topology/core_cpus_list", list + "\n");
      put("sys/devices/system/cpu/cpu" + std::to_string(cpu) + "/topology/physical_package_id", "0\n");
    }
  }
  void v2(const std::string& own = "/", const std::string& mounted = "/") {
    put("proc/self/mountinfo", "30 23 0:26 " + mounted + " /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw\n");
    put("proc/self/cgroup", "0::" + own + "\n");
    fs::create_directories(root_ / "sys/fs/cgroup");
  }
  void v1(const std::string& own, const std::string& mounted = "/") {
    put("proc/self/mountinfo", "31 23 0:27 " + mounted +
                                   " /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n" + "32 23 0:28 " +
                                   mounted + " /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n");
    put("proc/self/cgroup", "7:memory:" + own + "\n3:cpu,cpuacct:" + own + "\n1:name=systemd:/x\n");
  }
  Machine read() const { return read_machine(root_.path()); }
  test::TemporaryFolder root_;
};

TEST_F(Planted, ThreadsAreTheLeastOfAffinityQuotaAndCores) {
  EXPECT_EQ(read().threads(), 8);
  cpus(8, 2, "0-7");
  EXPECT_EQ(read().physical_cores, 4);
  EXPECT_EQ(read().threads(), 4);
  cpus(8, 2, "0,4");  // two siblings of one core
  EXPECT_EQ(read().physical_cores, 1);
  EXPECT_EQ(read().threads(), 1);
  cpus(8, 1, "2-4");
  EXPECT_EQ(read().threads(), 3);
  EXPECT_EQ(read().allowed.front().cpu, 2);
}

TEST_F(Planted, QuotaOfVersion2IsFloored) {
  for (const auto& [text, threads] : {std::pair{"150000 100000", 1},
                                      {"50000 100000", 1},
                                      {"200000 100000", 2},
                                      {"250000 100000", 2},
                                      {"400000 100000", 4},
                                      {"9900000 100000", 8},
                                      {"max 100000", 8},
                                      {"nonsense", 8},
                                      {"100000 0", 8}}) {
    v2();
    put("sys/fs/cgroup/cpu.max", std::string(text) + "\n");
    EXPECT_EQ(read().threads(), threads) << text;
  }
}

TEST_F(Planted, ParentsBindTheirChildren) {
  v2("/a/b/c");
  put("sys/fs/cgroup/a/cpu.max", "200000 100000\n");
  put("sys/fs/cgroup/a/memory.max", "1073741824\n");
  put("sys/fs/cgroup/a/memory.current", "209715200\n");
  put("sys/fs/cgroup/a/memory.stat", "anon 1\ninactive_file 104857600\nactive_file 0\n");
  put("sys/fs/cgroup/a/b/cpu.max", "max 100000\n");
  put("sys/fs/cgroup/a/b/memory.max", "max\n");
  put("sys/fs/cgroup/a/b/c/cpu.max", "600000 100000\n");
  put("sys/fs/cgroup/a/b/c/memory.max", "2147483648\n");
  const Machine machine = read();
  EXPECT_EQ(machine.cpu_quota, 2.0);
  EXPECT_EQ(machine.memory_limit, 1073741824);
  EXPECT_EQ(machine.memory_used, 104857600);
  EXPECT_EQ(machine.usable_memory(), 1073741824 - 104857600);
  EXPECT_NE(machine.usable_memory_reason().find("cgroup limit 1 GiB"), std::string::npos);
}

TEST_F(Planted, MemoryHighCountsAsALimit) {
  v2("/");
  put("sys/fs/cgroup/memory.max", "4294967296\n");
  put("sys/fs/cgroup/memory.high", "1073741824\n");
  EXPECT_EQ(read().memory_limit, 1073741824);
}

TEST_F(Planted, Version1) {
  v1("/docker/abc");
  put("sys/fs/cgroup/cpu,cpuacct/docker/abc/cpu.cfs_quota_us", "150000\n");
  put("sys/fs/cgroup/cpu,cpuacct/docker/abc/cpu.cfs_period_us", "100000\n");
  put("sys/fs/cgroup/cpu,cpuacct/docker/abc/cpu.stat", "nr_periods 50\nnr_throttled 5\nthrottled_time 7000000\n");
  put("sys/fs/cgroup/memory/docker/abc/memory.limit_in_bytes", "536870912\n");
  put("sys/fs/cgroup/memory/docker/abc/memory.usage_in_bytes", "104857600\n");
  put("sys/fs/cgroup/memory/docker/abc/memory.stat", "cache 5\ntotal_inactive_file 4857600\ntotal_active_file 0\n");
  put("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");  // none
  const Machine machine = read();
  EXPECT_EQ(machine.cpu_quota, 1.5);
  EXPECT_EQ(machine.threads(), 1);
  EXPECT_EQ(machine.memory_limit, 536870912);
  EXPECT_EQ(machine.memory_used, 100000000);
  const Throttling throttling = read_throttling(root_.path());
  EXPECT_EQ(throttling.periods, 50);
  EXPECT_EQ(throttling.throttled_periods, 5);
  EXPECT_EQ(throttling.throttled_us, 7000);
}

TEST_F(Planted, AContainerWithoutANamespaceSeesOnlyItsPart) {
  v1("/docker/abc", "/docker/abc");  // the mount shows /docker/abc at its point
  put("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "300000\n");
  put("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n");
  put("sys/fs/cgroup/memory/memory.limit_in_bytes", "268435456\n");
  EXPECT_EQ(read().cpu_quota, 3.0);
  EXPECT_EQ(read().memory_limit, 268435456);
}

TEST_F(Planted, APathOutsideTheNamespaceFallsBackToTheMount) {
  v2("/../../other");
  put("sys/fs/cgroup/cpu.max", "100000 100000\n");
  EXPECT_EQ(read().threads(), 1);
  v2("/gone");  // no such folder
  EXPECT_EQ(read().threads(), 1);
}

TEST_F(Planted, BothVersionsSideBySideGiveTheTighterLimit) {
  v1("/a");
  std::ofstream(root_ / "proc/self/mountinfo", std::ios::app)
      << "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
  std::ofstream(root_ / "proc/self/cgroup", std::ios::app) << "0::/u\n";
  put("sys/fs/cgroup/unified/u/cpu.max", "300000 100000\n");
  put("sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_quota_us", "200000\n");
  put("sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(read().cpu_quota, 2.0);
}

TEST_F(Planted, ALimitAboveTheMemoryIsNone) {
  v2("/");
  put("sys/fs/cgroup/memory.max", "99999999999999\n");
  EXPECT_FALSE(read().memory_limit);
  EXPECT_EQ(read().usable_memory(), 8388608LL * 1024);
}

TEST_F(Planted, OnlyAPoolThatTakesEveryCoreIsPinned) {
  cpus(8, 2, "0-7");
  EXPECT_EQ(read().pin_order(4), (std::vector<int>{0, 1, 2, 3}));
  EXPECT_EQ(read().pin_order(8), (std::vector<int>{0, 1, 2, 3, 4, 5, 6, 7}));
  EXPECT_THAT(read().pin_order(3), testing::IsEmpty());
  EXPECT_THAT(read().pin_order(9), testing::IsEmpty());
  v2();
  put("sys/fs/cgroup/cpu.max", "800000 100000\n");
  EXPECT_THAT(read().pin_order(8), testing::IsEmpty());
}

TEST_F(Planted, CachesAndHugePages) {
  put("sys/devices/system/cpu/cpu0/cache/index0/type", "Instruction\n");
  put("sys/devices/system/cpu/cpu0/cache/index0/level", "2\n");
  put("sys/devices/system/cpu/cpu0/cache/index0/size", "1K\n");
  put("sys/devices/system/cpu/cpu0/cache/index1/type", "Unified\n");
  put("sys/devices/system/cpu/cpu0/cache/index1/level", "2\n");
  put("sys/devices/system/cpu/cpu0/cache/index1/size", "2048K\n");
  put("sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never\n");
  EXPECT_EQ(read().cache_l2_bytes, 2 << 20);
  EXPECT_EQ(read().huge_pages, "madvise");
}

TEST(Machine, AnEmptyRootStillGivesAMachine) {
  const Machine machine = read_machine("/nonexistent");
  EXPECT_EQ(machine.threads(), 1);
  EXPECT_EQ(machine.allowed.size(), 1u);
  EXPECT_FALSE(machine.cpu_quota);
  EXPECT_FALSE(machine.memory_limit);
}

TEST(Machine, ThisMachineAgreesWithTheSystem) {
  const Machine machine = read_machine();
  cpu_set_t set;
  ASSERT_EQ(sched_getaffinity(getpid(), sizeof set, &set), 0);
  EXPECT_EQ(static_cast<int>(machine.allowed.size()), CPU_COUNT(&set));
  EXPECT_GE(machine.threads(), 1);
  EXPECT_LE(machine.threads(), static_cast<int>(machine.allowed.size()));
  EXPECT_EQ(machine.memory_total / machine.page_bytes, sysconf(_SC_PHYS_PAGES));
  EXPECT_GT(machine.usable_memory(), 0);
}

TEST(Files, CpuLists) {
  EXPECT_EQ(hw::parse_cpu_list("0-2,5,4-4"), (std::vector<int>{0, 1, 2, 4, 5}));
  EXPECT_THAT(hw::parse_cpu_list(""), testing::IsEmpty());
  EXPECT_EQ(hw::parse_cpu_list("3,x,7-,-2,2-1,0-999999999"), (std::vector<int>{3}));
}

}  // namespace
}  // namespace autoglm
