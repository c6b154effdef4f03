// What cannot become optimize's folder is refused before any work, and nothing is made by asking.
#include "optimize/folder.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>

#include "support/errors.h"
#include "support/temporary_folder.h"

namespace autoglm {
namespace {

namespace fs = std::filesystem;

class FolderTest : public testing::Test {
 protected:
  std::ptrdiff_t entries(const fs::path& folder) const {
    return std::distance(fs::directory_iterator(folder), fs::directory_iterator());
  }
  test::TemporaryFolder dir_;
};

/// 0 if `work` holds for a user without any rights; permissions do not bind root, who runs tests in containers.
int as_nobody(const std::function<bool()>& work) {
  constexpr unsigned kNobody = 65534;
  const pid_t child = ::fork();
  if (child == 0) {
    if (::geteuid() == 0 && (::setegid(kNobody) != 0 || ::seteuid(kNobody) != 0)) ::_exit(2);
    ::_exit(work() ? 0 : 1);
  }
  int status = -1;
  ::waitpid(child, &status, 0);
  return status;
}

bool refused(const fs::path& path) {
  try {
    check_optimize_folder(path);
    return false;
  } catch (const Error& error) {
    return error.code() == Code::work_failed &&
           std::string_view(error.what()).find("Permission denied") != std::string_view::npos;
  }
}

TEST_F(FolderTest, WhatCanBeMadeIsNotMadeByAsking) {
  check_optimize_folder(dir_ / "new");
  check_optimize_folder(dir_.path());
  EXPECT_EQ(entries(dir_.path()), 0);
}

TEST_F(FolderTest, WhatCannotBeAFolderIsRefused) {
  dir_.write("file", "");
  fs::create_symlink("nowhere", dir_ / "dangling");
  fs::create_symlink("loop", dir_ / "loop");
  EXPECT_ERROR(check_optimize_folder(""), Code::bad_flag, "needs a folder");
  EXPECT_ERROR(check_optimize_folder(dir_ / "file"), Code::bad_flag, "is not a folder");
  EXPECT_ERROR(check_optimize_folder(dir_ / "file/out"), Code::bad_flag, "is not there");
  EXPECT_ERROR(check_optimize_folder(dir_ / "none/out"), Code::bad_flag, "is not there");
  EXPECT_ERROR(check_optimize_folder(dir_ / "dangling"), Code::bad_flag, "a link to nothing");
  EXPECT_ERROR(check_optimize_folder(dir_ / "loop"), Code::work_failed, "symbolic links");
  EXPECT_ERROR(check_optimize_folder(dir_ / std::string(300, 'x')), Code::work_failed, "too long");
  EXPECT_ERROR(check_optimize_folder("/proc/out"), Code::work_failed, "cannot make /proc/out");
  EXPECT_EQ(entries(dir_.path()), 3);
}

TEST_F(FolderTest, WhatAnEarlierRunCouldNotHaveWrittenIsRefused) {
  dir_.write("out/report.md", "");
  fs::create_directory(dir_ / "out/.work");
  fs::create_symlink("nowhere", dir_ / "out/report.json");
  check_optimize_folder(dir_ / "out");
  dir_.write("foreign/notes.txt", "");
  EXPECT_ERROR(check_optimize_folder(dir_ / "foreign"), Code::bad_flag, "did not write");
  fs::create_directories(dir_ / "report/report.html");
  EXPECT_ERROR(check_optimize_folder(dir_ / "report"), Code::bad_flag, "report.html is a folder, not a file");
  fs::create_directories(dir_ / "model/model.gguf");
  EXPECT_ERROR(check_optimize_folder(dir_ / "model"), Code::bad_flag, "model.gguf is a folder, not a file");
  dir_.write("scratch/.work", "");
  EXPECT_ERROR(check_optimize_folder(dir_ / "scratch"), Code::bad_flag, ".work is a file, not a folder");
}

TEST_F(FolderTest, PermissionsOfTheUserCount) {
  fs::permissions(dir_.path(), fs::perms(0755));
  fs::create_directory(dir_ / "closed");
  fs::permissions(dir_ / "closed", fs::perms(0555));
  fs::create_directories(dir_ / "open/.work");
  fs::permissions(dir_ / "open", fs::perms(0777));
  fs::permissions(dir_ / "open/.work", fs::perms(0555));
  EXPECT_EQ(as_nobody([&] { return refused(dir_ / "closed"); }), 0);
  EXPECT_EQ(as_nobody([&] { return refused(dir_ / "closed/out"); }), 0);
  EXPECT_EQ(as_nobody([&] { return refused(dir_ / "open"); }), 0) << "its .work is not writable";
  fs::remove(dir_ / "open/.work");
  EXPECT_NE(as_nobody([&] { return refused(dir_ / "open"); }), 0);
}

}  // namespace
}  // namespace autoglm
