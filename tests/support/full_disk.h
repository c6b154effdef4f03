// A disk that is really full.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <string>

namespace autoglm::test {

inline bool write_text(const char* path, const std::string& text) {
  const int file = ::open(path, O_WRONLY | O_CLOEXEC);
  const bool good = file >= 0 && ::write(file, text.data(), text.size()) == static_cast<ssize_t>(text.size());
  if (file >= 0) ::close(file);
  return good;
}

/// A file system in memory of this size at `folder`, for this process alone: it must have one thread.
inline bool mount_small_disk(const std::filesystem::path& folder, int64_t bytes) {
  const std::string user = "0 " + std::to_string(::getuid()) + " 1";
  const std::string group = "0 " + std::to_string(::getgid()) + " 1";
  if (::unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0) {
    if (::unshare(CLONE_NEWNS) != 0 || ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) return false;
  } else if (!write_text("/proc/self/setgroups", "deny") || !write_text("/proc/self/uid_map", user) ||
             !write_text("/proc/self/gid_map", group)) {
    return false;
  }
  const std::string options = "size=" + std::to_string(bytes);
  return ::mount("none", folder.c_str(), "tmpfs", 0, options.c_str()) == 0;
}

/// Where no file system may be mounted: from here on the kernel answers ENOSPC to what is written beyond `bytes` of a
/// file, and to large pieces of files that are written from their beginning to their end.
inline bool filter_writes(int64_t bytes) {
  constexpr uint32_t kFull = SECCOMP_RET_ERRNO | ENOSPC;
  constexpr auto kOffset = static_cast<uint32_t>(offsetof(seccomp_data, args) + 3 * sizeof(uint64_t));
  constexpr auto kCount = static_cast<uint32_t>(offsetof(seccomp_data, args) + 2 * sizeof(uint64_t));
  sock_filter rules[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_pwrite64, 0, 3),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, kOffset),
      BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, static_cast<uint32_t>(bytes), 3, 0),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_write, 2, 0),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
      BPF_STMT(BPF_RET | BPF_K, kFull),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, kCount),
      BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, 1 << 16, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, kFull),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog program{.len = static_cast<unsigned short>(std::size(rules)), .filter = rules};
  return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program) == 0;
}

/// Runs `body` in a child process in which `folder` lies on a disk of `bytes`. Whether it returned true, without a
/// failed expectation.
template <typename Body>
bool on_a_small_disk(const std::filesystem::path& folder, int64_t bytes, Body&& body) {
  std::filesystem::create_directories(folder);
  std::fflush(nullptr);
  const pid_t child = ::fork();
  if (child == 0) {
    const bool small = mount_small_disk(folder, bytes) || filter_writes(bytes);
    const bool good = small && body() && !::testing::Test::HasFailure();
    std::fflush(nullptr);
    ::_exit(good ? 0 : 1);
  }
  int status = 0;
  return ::waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

}  // namespace autoglm::test
