#include "hw/resident.h"

#include <gtest/gtest.h>

#include <memory>

#include "support/temporary_folder.h"

namespace autoglm {
namespace {

TEST(Resident, ReadsWhatTheSystemSays) {
  const test::TemporaryFolder root;
  root.write("proc/self/status",
             "Name:\tautoglm\nVmPeak:\t  900 kB\nVmHWM:\t  700 kB\nVmRSS:\t 600 kB\nRssAnon:\t 250 kB\n");
  const ResidentMemory memory = resident_memory(root.path());
  EXPECT_EQ(memory.peak, 700 * 1024);
  EXPECT_EQ(memory.now, 600 * 1024);
  EXPECT_EQ(memory.anonymous, 250 * 1024);
}

TEST(Resident, APeakStaysWhenMemoryIsGivenBack) {
  constexpr size_t kBytes = 64 << 20;
  const int64_t before = resident_memory().anonymous;
  {
    const std::unique_ptr<volatile char[]> taken(new volatile char[kBytes]);
    for (size_t at = 0; at < kBytes; at += 4096) taken[at] = 1;
    EXPECT_GE(resident_memory().anonymous, before + static_cast<int64_t>(kBytes) / 2);
  }
  EXPECT_GE(resident_memory().peak, before + static_cast<int64_t>(kBytes) / 2);
  ASSERT_TRUE(forget_resident_peak());
  const ResidentMemory memory = resident_memory();
  EXPECT_LE(memory.peak, memory.now + (static_cast<int64_t>(kBytes) / 4)) << "what was given back is forgotten";
}

}  // namespace
}  // namespace autoglm
