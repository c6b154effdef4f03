// `serve` as a program: one line when it is ready, signals, exit codes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <csignal>

#include "cli/command_runner.h"

namespace autoglm {
namespace {

using test::Outcome;
using test::run_program;
using test::smollm2;
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
}  // namespace autoglm
