// Rows of a table that are read one by one are right and do not become resident.
#include "base/row_reads.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <string>
#include <vector>

#include "base/error.h"
#include "support/temporary_folder.h"

namespace autoglm {
namespace {

constexpr int64_t kRow = 4096;
constexpr int64_t kRows = 8192;

/// RssFile of this process, in bytes.
int64_t resident_file_bytes() {
  std::ifstream file("/proc/self/status");
  for (std::string word; file >> word;) {
    int64_t kilobytes = 0;
    if (word == "RssFile:" && file >> kilobytes) return kilobytes * 1024;
  }
  return 0;
}

class RowReadsTest : public testing::Test {
 protected:
  RowReadsTest() {
    std::string text(kRow * kRows, 'x');
    for (size_t row = 0; row < kRows; ++row) text[row * kRow + 1] = static_cast<char>(row % 101);
    path_ = folder_.write("table", text);
  }
  test::TemporaryFolder folder_;
  std::filesystem::path path_;
};

TEST_F(RowReadsTest, RowsAreRightAndDoNotStay) {
  const RowReads reads(path_, *stamp_of(path_));
  ASSERT_TRUE(reads.active());
  std::vector<std::byte> row(kRow);
  const int64_t before = resident_file_bytes();
  for (int64_t i = 0; i < 3000; ++i) {
    const int64_t at = i * 37 % kRows;
    reads.read(at * kRow, row);
    ASSERT_EQ(static_cast<int64_t>(row[1]), at % 101);
    ASSERT_EQ(row.back(), std::byte{'x'});
  }
  EXPECT_LT(resident_file_bytes() - before, 2 << 20) << "of 32 MiB";
}

TEST_F(RowReadsTest, AnotherFileIsNotRead) {
  FileStamp stamp = *stamp_of(path_);
  ++stamp.inode;
  EXPECT_FALSE(RowReads(path_, stamp).active());
  EXPECT_FALSE(RowReads(folder_ / "none", stamp).active());
  EXPECT_FALSE(RowReads().active());
}

TEST_F(RowReadsTest, AFileThatWasCutIsAnError) {
  const RowReads reads(path_, *stamp_of(path_));
  std::filesystem::resize_file(path_, kRow * 10);
  std::vector<std::byte> row(kRow);
  reads.read(9 * kRow, row);
  try {
    reads.read(10 * kRow, row);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Code::bad_model_file);
    EXPECT_THAT(error.what(), testing::HasSubstr("table was cut"));
  }
}

}  // namespace
}  // namespace autoglm
