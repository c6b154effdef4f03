// Memory that is promised first and taken later.
#include "base/pages.h"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <algorithm>
#include <vector>

namespace autoglm {
namespace {

constexpr int64_t kPage = 4096;

int64_t resident_pages(const Pages& pages) {
  std::vector<unsigned char> present(static_cast<size_t>((pages.size() + kPage - 1) / kPage));
  EXPECT_EQ(::mincore(pages.data(), static_cast<size_t>(pages.size()), present.data()), 0);
  return std::count_if(present.begin(), present.end(), [](unsigned char p) { return (p & 1) != 0; });
}

TEST(Pages, AreTakenAtOnceUnlessAsked) {
  EXPECT_EQ(resident_pages(Pages(100 * kPage)), 100);
  EXPECT_EQ(resident_pages(Pages(100 * kPage, /*huge=*/false, /*resident=*/false)), 0);
}

TEST(PageFiller, TakesWhatWasPromisedAndLeavesWhatIsThere) {
  const auto filler = std::make_shared<PageFiller>();
  const Pages small(100 * kPage, false, filler), large(int64_t{9} << 20, true, filler);
  small.data()[7 * kPage + 1] = 42;
  EXPECT_EQ(resident_pages(small), 1);
  EXPECT_EQ(resident_pages(large), 0);
  filler->finish();
  EXPECT_EQ(resident_pages(small), 100);
  EXPECT_EQ(resident_pages(large), (9 << 20) / kPage);
  EXPECT_EQ(small.data()[7 * kPage + 1], 42);
  EXPECT_EQ(large.data()[large.size() - 1], 0);
  const Pages late(50 * kPage, false, filler);
  filler->finish();
  EXPECT_EQ(resident_pages(late), 50);
}

TEST(PageFiller, MemoryMayGoOrMoveMeanwhile) {
  const auto filler = std::make_shared<PageFiller>();
  std::vector<Pages> kept;
  for (int i = 0; i < 50; ++i) {
    const Pages gone(int64_t{5} << 20, i % 2 == 0, filler);
    kept.emplace_back(3 * kPage, false, filler);
    if (i == 10) filler->start();
  }
  filler->finish();
  for (const Pages& pages : kept) EXPECT_EQ(resident_pages(pages), 3);
}

TEST(PageFiller, EndsBeforeAllIsTaken) {
  const auto filler = std::make_shared<PageFiller>();
  const Pages much(int64_t{1} << 40, true, filler);  // more than the machine has
  filler->start();
}

}  // namespace
}  // namespace autoglm
