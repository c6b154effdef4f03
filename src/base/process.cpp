#include "base/process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <string_view>

#include "base/error.h"

extern char** environ;

namespace autoglm {
namespace {

constexpr size_t kMostOut = 64U << 20;
constexpr size_t kMostErr = 8U << 10;

/// A pipe whose ends are closed when it goes out of scope.
struct Pipe {
  std::array<int, 2> ends{-1, -1};
  Pipe() {
    if (pipe2(ends.data(), O_CLOEXEC) != 0) fail(Code::work_failed, "cannot make a pipe");
  }
  ~Pipe() {
    close_end(0);
    close_end(1);
  }
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;
  void close_end(size_t which) {
    if (ends.at(which) >= 0) close(ends.at(which));
    ends.at(which) = -1;
  }
};

/// Reads what is there; false at end of file.
bool drain(int fd, std::string& into, size_t most, bool keep_tail) {
  std::array<char, 65536> buffer{};
  const ssize_t got = read(fd, buffer.data(), buffer.size());
  if (got == 0) return false;
  if (got < 0) return errno == EINTR || errno == EAGAIN;
  into.append(buffer.data(), static_cast<size_t>(got));
  if (into.size() > most) {
    if (keep_tail) {
      into.erase(0, into.size() - most);
    } else {
      into.resize(most);
    }
  }
  return true;
}

/// Writes what fits; false when all is written or the reader is gone.
bool feed(int fd, std::string_view& rest) {
  const ssize_t put = write(fd, rest.data(), rest.size());
  if (put < 0) return errno == EINTR || errno == EAGAIN;
  rest.remove_prefix(static_cast<size_t>(put));
  return !rest.empty();
}

pid_t spawn(const std::vector<std::string>& argv, Pipe& in, Pipe& out, Pipe& err) {
  std::vector<char*> words;
  words.reserve(argv.size() + 1);
  for (const std::string& word : argv) words.push_back(const_cast<char*>(word.c_str()));
  words.push_back(nullptr);

  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, in.ends[0], 0);
  posix_spawn_file_actions_adddup2(&actions, out.ends[1], 1);
  posix_spawn_file_actions_adddup2(&actions, err.ends[1], 2);
  // A group of its own: Ctrl-C reaches us alone, and we end the child in order.
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
  posix_spawnattr_setpgroup(&attributes, 0);
  pid_t child = -1;
  const int error = posix_spawnp(&child, words[0], &actions, &attributes, words.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
  return error == 0 ? child : -1;
}

}  // namespace

ProcessResult run_process(const std::vector<std::string>& argv, const ProcessOptions& options) {
  AUTOGLM_CHECK(!argv.empty(), "a process needs a program");
  ProcessResult result;
  Pipe in;
  Pipe out;
  Pipe err;
  const pid_t child = spawn(argv, in, out, err);
  if (child < 0) {
    result.exit_code = 127;
    result.err = argv[0] + " cannot be started";
    return result;
  }
  in.close_end(0);
  out.close_end(1);
  err.close_end(1);
  fcntl(in.ends[1], F_SETFL, O_NONBLOCK);
  signal(SIGPIPE, SIG_IGN);  // a child that does not read its stdin is no reason to die
  std::string_view rest = options.in;
  if (rest.empty()) in.close_end(1);
  bool killed = false;
  while (out.ends[0] >= 0 || err.ends[0] >= 0) {
    std::array<pollfd, 3> fds{pollfd{out.ends[0], POLLIN, 0}, pollfd{err.ends[0], POLLIN, 0},
                              pollfd{in.ends[1], POLLOUT, 0}};
    poll(fds.data(), fds.size(), 200);
    if (fds[0].revents != 0 && !drain(out.ends[0], result.out, kMostOut, false)) out.close_end(0);
    if (fds[1].revents != 0 && !drain(err.ends[0], result.err, kMostErr, true)) err.close_end(0);
    if (fds[2].revents != 0 && !feed(in.ends[1], rest)) in.close_end(1);
    if (options.tick && !options.tick() && !killed) {
      kill(-child, SIGTERM);
      killed = true;
    }
  }
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  result.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return result;
}

bool program_exists(const std::string& name) {
  const char* path = std::getenv("PATH");
  std::string_view rest = path != nullptr ? path : "/usr/bin:/bin";
  while (!rest.empty()) {
    const size_t colon = rest.find(':');
    const std::filesystem::path folder(rest.substr(0, colon));
    if (access((folder / name).c_str(), X_OK) == 0) return true;
    rest = colon == std::string_view::npos ? std::string_view() : rest.substr(colon + 1);
  }
  return false;
}

}  // namespace autoglm
