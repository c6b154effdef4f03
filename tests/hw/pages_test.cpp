#include "hw/pages.h"

#include <gtest/gtest.h>

#include "support/temporary_folder.h"

namespace autoglm {
namespace {

TEST(Pages, SumsEveryKindOfHugePage) {
  const test::TemporaryFolder root;
  EXPECT_FALSE(huge_page_bytes(root.path())) << "no such file";
  root.write("proc/self/smaps_rollup",
             "55d0-7ffd ---p 00000000 00:00 0   [rollup]\n"
             "Rss:                1744 kB\n"
             "AnonHugePages:      4096 kB\n"
             "ShmemPmdMapped:     2048 kB\n"
             "FilePmdMapped:         0 kB\n"
             "Private_Hugetlb:    1024 kB\n");
  EXPECT_EQ(huge_page_bytes(root.path()), 7168 * 1024);
}

}  // namespace
}  // namespace autoglm
