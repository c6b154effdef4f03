#include "cli/command_runner.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <string_view>

namespace autoglm::test {
namespace {

struct Pipe {
  int read = -1;
  int write = -1;
  Pipe() {
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) == 0) {
      read = ends[0];
      write = ends[1];
    }
  }
  static void close(int& end) {
    if (end >= 0) ::close(end);
    end = -1;
  }
  ~Pipe() {
    close(read);
    close(write);
  }
};

// Settings of whoever runs the tests are not theirs.
void forget_settings() {
  std::vector<std::string> names;
  for (char** line = ::environ; *line != nullptr; ++line) {
    const std::string_view text = *line;
    if (text.starts_with("AUTOGLM_")) names.emplace_back(text.substr(0, text.find('=')));
  }
  for (const std::string& name : names) ::unsetenv(name.c_str());
}

[[noreturn]] void become(const std::vector<std::string>& arguments, const RunOptions& options, const Pipe& in,
                         const Pipe& out, const Pipe& err) {
  ::dup2(in.read, STDIN_FILENO);
  ::dup2(out.write, STDOUT_FILENO);
  ::dup2(err.write, STDERR_FILENO);
  if (options.close_stdout) ::close(STDOUT_FILENO);
  forget_settings();
  ::unsetenv("LANG");
  ::setenv("LC_ALL", "C.UTF-8", 1);
  // Packs of tests do not belong into the cache of whoever runs them.
  const auto build = std::filesystem::path(AUTOGLM_BINARY).parent_path().parent_path();
  ::setenv("XDG_CACHE_HOME", (build / "test-cache").c_str(), 1);
  for (const std::string& line : options.environment) {
    const size_t equals = line.find('=');
    ::setenv(line.substr(0, equals).c_str(), line.substr(equals + 1).c_str(), 1);
  }
  std::vector<char*> words = {const_cast<char*>(AUTOGLM_BINARY)};
  for (const std::string& argument : arguments) words.push_back(const_cast<char*>(argument.c_str()));
  words.push_back(nullptr);
  ::execv(AUTOGLM_BINARY, words.data());
  ::_exit(127);
}

// False at end of file.
bool read_some(int descriptor, std::string& to) {
  std::array<char, 65536> buffer{};
  const ssize_t got = ::read(descriptor, buffer.data(), buffer.size());
  if (got > 0) to.append(buffer.data(), static_cast<size_t>(got));
  return got > 0;
}

void talk(pid_t child, const RunOptions& options, Pipe& in, Pipe& out, Pipe& err, Outcome& outcome) {
  using Clock = std::chrono::steady_clock;
  const auto end = Clock::now() + std::chrono::duration<double>(options.seconds);
  size_t written = 0;
  bool interrupted = options.interrupt_after.empty();
  while (out.read >= 0 || err.read >= 0) {
    if (Clock::now() > end) {
      outcome.timed_out = true;
      ::kill(child, SIGKILL);
      return;
    }
    if (written == options.in.size()) Pipe::close(in.write);
    std::array<pollfd, 3> polled{pollfd{out.read, POLLIN, 0}, pollfd{err.read, POLLIN, 0},
                                 pollfd{in.write, POLLOUT, 0}};
    ::poll(polled.data(), polled.size(), 100);
    if (polled[0].revents != 0 && !read_some(out.read, outcome.out)) Pipe::close(out.read);
    if (polled[1].revents != 0 && !read_some(err.read, outcome.err)) Pipe::close(err.read);
    if (in.write >= 0 && polled[2].revents != 0) {
      const ssize_t sent = ::write(in.write, options.in.data() + written, options.in.size() - written);
      if (sent > 0) written += static_cast<size_t>(sent);
      if (sent < 0 && errno != EAGAIN) Pipe::close(in.write);
    }
    if (!interrupted && (outcome.out + outcome.err).find(options.interrupt_after) != std::string::npos) {
      interrupted = true;
      if (options.instead) {
        options.instead();
      } else {
        ::kill(child, SIGINT);
      }
    }
  }
}

}  // namespace

nlohmann::json Outcome::json() const {
  const nlohmann::json value = nlohmann::json::parse(out, nullptr, false);
  return value.is_object() ? value : nlohmann::json{{"not_json", out + err}};
}

Outcome run_program(const std::vector<std::string>& arguments, const RunOptions& options) {
  std::signal(SIGPIPE, SIG_IGN);
  Pipe in;
  Pipe out;
  Pipe err;
  Outcome outcome;
  if (options.close_reader) Pipe::close(out.read);
  const pid_t child = ::fork();
  if (child == 0) become(arguments, options, in, out, err);
  Pipe::close(in.read);
  Pipe::close(out.write);
  Pipe::close(err.write);
  ::fcntl(in.write, F_SETFL, O_NONBLOCK);
  talk(child, options, in, out, err, outcome);
  int status = 0;
  ::waitpid(child, &status, 0);
  outcome.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return outcome;
}

std::string smollm2() { return AUTOGLM_ORACLE_DIR "/smollm2-135m-q4_1.gguf"; }
std::string tiny() { return AUTOGLM_TEST_DATA "/models/llama-a"; }

}  // namespace autoglm::test
