// A file appears whole or not at all, and nothing but a file is ever replaced.
#include "base/output_file.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <csignal>

#include "base/mmap.h"
#include "support/errors.h"
#include "support/read_file.h"
#include "support/temporary_folder.h"

namespace autoglm {
namespace {

namespace fs = std::filesystem;
using test::read_file;

std::span<const std::byte> bytes(std::string_view text) { return std::as_bytes(std::span(text)); }

class OutputFileTest : public testing::Test {
 protected:
  std::ptrdiff_t files() const { return std::distance(fs::directory_iterator(dir_.path()), fs::directory_iterator()); }
  test::TemporaryFolder dir_;
};

TEST_F(OutputFileTest, AppearsWhenItIsWhole) {
  dir_.write("out", "before");
  const std::string large(3 << 20, 'x');
  {
    OutputFile file(dir_ / "out");
    file.write(bytes("head "));
    file.write(bytes(large));
    file.write(bytes(" tail"));
    EXPECT_EQ(read_file(dir_ / "out"), "before");
    file.finish();
  }
  EXPECT_EQ(read_file(dir_ / "out"), "head " + large + " tail");
  EXPECT_EQ(files(), 1);
}

TEST_F(OutputFileTest, NothingIsLeftOfAnUnfinishedOne) {
  dir_.write("out", "before");
  {
    OutputFile file(dir_ / "out");
    file.write(bytes("half"));
    EXPECT_EQ(files(), 2);
  }
  EXPECT_EQ(files(), 1);
  EXPECT_EQ(read_file(dir_ / "out"), "before");
}

TEST_F(OutputFileTest, DevicesPipesAndFoldersStayWhatTheyAre) {
  ASSERT_EQ(::mkfifo((dir_ / "pipe").c_str(), 0600), 0);
  fs::create_directory(dir_ / "folder");
  fs::create_symlink("/dev/null", dir_ / "link");
  EXPECT_ERROR(OutputFile(dir_ / "pipe"), Code::bad_flag, "a pipe");
  EXPECT_ERROR(OutputFile(dir_ / "folder"), Code::bad_flag, "a folder");
  EXPECT_ERROR(OutputFile(dir_ / "link"), Code::bad_flag, "a device");
  EXPECT_ERROR(OutputFile("/dev/full"), Code::bad_flag, "a device");
  EXPECT_ERROR(OutputFile(dir_ / "folder/"), Code::bad_flag, "not the name of a file");
  EXPECT_ERROR(OutputFile(dir_ / "gone/out"), Code::bad_flag, "no folder");
  EXPECT_ERROR(OutputFile(""), Code::bad_flag, "not the name of a file");
  EXPECT_TRUE(fs::is_character_file("/dev/full"));
  EXPECT_EQ(files(), 3);
}

TEST_F(OutputFileTest, ALinkStaysALink) {
  dir_.write("target", "before");
  fs::create_symlink("target", dir_ / "link");
  OutputFile file(dir_ / "link");
  file.write(bytes("after"));
  file.finish();
  EXPECT_TRUE(fs::is_symlink(dir_ / "link"));
  EXPECT_EQ(read_file(dir_ / "target"), "after");
}

/// Lowers the largest size of a file for its lifetime: the one way to a failing write that needs no special disk.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) {
    getrlimit(RLIMIT_FSIZE, &before_);
    rlimit limit = before_;
    limit.rlim_cur = bytes;
    old_ = signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FileSizeLimit() {
    setrlimit(RLIMIT_FSIZE, &before_);
    signal(SIGXFSZ, old_);
  }

 private:
  rlimit before_{};
  void (*old_)(int) = nullptr;
};

TEST_F(OutputFileTest, AFullDiskLeavesNothing) {
  const std::string large(4 << 20, 'x');
  std::optional<Error> error;
  {
    const FileSizeLimit limit(3 << 20);
    error = test::error_of([&] {
      OutputFile file(dir_ / "out");
      file.write(bytes(large));
      file.finish();
    });
  }
  ASSERT_TRUE(error);
  EXPECT_EQ(error->code(), Code::disk_full);
  EXPECT_EQ(files(), 0);
}

// Copying from a mapped file that is cut: the system says EFAULT, which would tell nobody what happened.
TEST_F(OutputFileTest, ACutSourceIsNamed) {
  const fs::path source = dir_.write("source", std::string(8 << 20, 'x'));
  const MappedFile mapped(source);
  OutputFile file(dir_ / "out");
  fs::resize_file(source, 1 << 20);
  EXPECT_ERROR(file.write(mapped.bytes()), Code::bad_model_file, source.string() + " was cut");
}

}  // namespace
}  // namespace autoglm
