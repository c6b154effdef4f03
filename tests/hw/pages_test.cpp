#include "hw/pages.h"

#include <gtest/gtest.h>

#include <fstream>

namespace autoglm {
namespace {

TEST(Pages, SumsEveryKindOfHugePage) {
  const auto root = std::filesystem::temp_directory_path() / ("autoglm-pages-" + std::to_string(getpid()));
  std::filesystem::create_directories(root / "proc/self");
  EXPECT_FALSE(huge_page_bytes(root)) << "no such file";
  std::ofstream(root / "proc/self/smaps_rollup") << "55d0-7ffd ---p 00000000 00:00 0   [rollup]\n"
                                                    "Rss:                1744 kB\n"
                                                    "AnonHugePages:      4096 kB\n"
                                                    "ShmemPmdMapped:     2048 kB\n"
                                                    "FilePmdMapped:         0 kB\n"
                                                    "Private_Hugetlb:    1024 kB\n";
  EXPECT_EQ(huge_page_bytes(root), 7168 * 1024);
  std::filesystem::remove_all(root);
}

}  // namespace
}  // namespace autoglm
