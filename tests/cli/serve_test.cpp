// `serve` as a program: one line when it is ready, signals, exit codes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <unistd.h>

#include <csignal>
#include <cstring>
#include <filesystem>

#include "cli/command_runner.h"

namespace autoglm::test {
namespace {

using testing::HasSubstr;

std::vector<std::string> serve(std::vector<std::string> more) {
  std::vector<std::string> arguments = {"serve", smollm2(), "--ctx", "256", "--no-kv-persist"};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return arguments;
}

TEST(Serve, SaysWhenItIsReadyAndEndsAtSigint) {
  const Outcome outcome = run_program(serve({"--port", "0"}), {.interrupt_after = "listening on "});
  EXPECT_FALSE(outcome.timed_out);
  EXPECT_EQ(outcome.exit_code, 130);
  EXPECT_THAT(outcome.out, testing::MatchesRegex("listening on http://127.0.0.1:[0-9]+\n"));
  EXPECT_THAT(outcome.err, HasSubstr("planned"));
}

/// Counts how often a file was opened.
class Opens {
 public:
  explicit Opens(const std::filesystem::path& file) : notify_(::inotify_init1(IN_NONBLOCK | IN_CLOEXEC)) {
    // Events that are equal to the one before are one: with closing, opening is seen every time.
    EXPECT_GE(::inotify_add_watch(notify_, file.c_str(), IN_OPEN | IN_CLOSE_NOWRITE), 0);
  }
  ~Opens() { ::close(notify_); }
  Opens(const Opens&) = delete;
  Opens& operator=(const Opens&) = delete;
  /// Since the last call.
  int64_t take() const {
    std::vector<char> events(1 << 16);
    const ssize_t got = ::read(notify_, events.data(), events.size());
    int64_t opened = 0;
    for (ssize_t at = 0; at < got; at += static_cast<ssize_t>(sizeof(inotify_event))) {  // without a name: all one size
      inotify_event event{};
      std::memcpy(&event, events.data() + at, sizeof event);
      if ((event.mask & IN_OPEN) != 0) ++opened;
    }
    return opened;
  }

 private:
  int notify_;
};

TEST(Serve, OpensTheModelNoMoreOftenThanRunDoes) {
  const TemporaryFolder folder;
  const std::string model = (folder / "model.gguf").string();
  std::filesystem::copy_file(smollm2(), model);  // a file that nobody else opens
  const Opens opens(model);
  ASSERT_EQ(run_program({"run", model, "Hi", "-n", "1", "--ctx", "256", "--no-cache"}).exit_code, 0);
  const int64_t by_run = opens.take();
  ASSERT_GE(by_run, 1);
  const Outcome outcome =
      run_program({"serve", model, "--ctx", "256", "--no-cache", "--port", "0", "--profile", "efficient"},
                  {.interrupt_after = "listening on "});
  EXPECT_EQ(outcome.exit_code, 130) << outcome.err;
  EXPECT_EQ(opens.take(), by_run);
}

TEST(Serve, WarnsOfStrangersAndOfWhatHasNoEffect) {
  const Outcome outcome =
      run_program(serve({"--port", "0", "--host", "0.0.0.0", "--padding"}), {.interrupt_after = "listening on "});
  EXPECT_THAT(outcome.err, HasSubstr("warning: whoever reaches this address"));
  EXPECT_THAT(outcome.err, HasSubstr("enable_padding has no effect"));
}

TEST(Serve, RefusesWhatCannotBeBeforeItLoads) {
  const int taken = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  ASSERT_EQ(::bind(taken, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  ASSERT_EQ(::listen(taken, 1), 0);
  socklen_t size = sizeof address;
  ::getsockname(taken, reinterpret_cast<sockaddr*>(&address), &size);
  const std::string port = std::to_string(ntohs(address.sin_port));
  const auto code = [](const Outcome& outcome) { return outcome.json()["error"].value("code", ""); };
  const Outcome in_use = run_program(serve({"--port", port, "--json"}));
  EXPECT_EQ(in_use.exit_code, 2);
  EXPECT_EQ(code(in_use), "bad_flag");
  EXPECT_THAT(in_use.out, HasSubstr("taken"));
  EXPECT_THAT(in_use.err, testing::Not(HasSubstr("planned")));
  EXPECT_EQ(code(run_program(serve({"--port", "0", "--api-key-file", "/nonexistent", "--json"}))), "bad_file");
  EXPECT_EQ(code(run_program(serve({"--port", "0", "--tls-cert", "a.pem", "--json"}))), "bad_flag");
  EXPECT_EQ(code(run_program(serve({"--port", "0", "--host", "no such host", "--json"}))), "bad_flag");
  ::close(taken);
}

}  // namespace
}  // namespace autoglm::test
