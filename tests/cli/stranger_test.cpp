// What a person does who has not read the manual: wrong names, wrong places to write to, Ctrl-C at any time.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>

#include "cli/command_runner.h"
#include "support/read_file.h"

namespace autoglm::test {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

/// The error object of a command with --json; every error that has something to do about it says so.
nlohmann::json error_of(std::vector<std::string> arguments, int exit_code, const std::string& code) {
  arguments.emplace_back("--json");
  const Outcome outcome = run_program(arguments, {.seconds = 60});
  EXPECT_EQ(outcome.exit_code, exit_code) << outcome.out << outcome.err;
  const nlohmann::json error = outcome.json().value("error", nlohmann::json::object());
  EXPECT_EQ(error.value("code", ""), code) << arguments[1] << outcome.out;
  EXPECT_NE(error.value("hint", ""), "") << error.value("message", "");
  return error;
}

std::ptrdiff_t files_in(const fs::path& folder) {
  return std::distance(fs::directory_iterator(folder), fs::directory_iterator());
}

TEST(Stranger, ARefusedOptimizationLeavesNothing) {
  const TemporaryFolder folder;
  const fs::path requests = folder.write("requests.jsonl", "{");
  error_of({"optimize", smollm2(), "-o", folder.path() / "out", "--workload", requests.string()}, 3, "bad_file");
  EXPECT_EQ(files_in(folder.path()), 1);
}

// A text to calibrate with, which may take minutes to write, is not even looked for.
TEST(Stranger, AQuantizedSourceIsRefusedBeforeItsCalibration) {
  const TemporaryFolder folder;
  error_of({"quantize", smollm2(), folder.path() / "out.gguf", "--type", "Q4_0", "--calib", folder.path() / "none"}, 2,
           "bad_flag");
  EXPECT_EQ(files_in(folder.path()), 0);
}

TEST(Stranger, NamesThatAreNoModel) {
  const TemporaryFolder folder;
  const fs::path cut = folder.write("cut.gguf", read_file(smollm2()).substr(0, 300000));
  const fs::path weights_cut = folder.write("weights_cut.gguf", read_file(smollm2()).substr(0, 30'000'000));
  const fs::path no_config = folder.write("weights/model.safetensors", "x").parent_path();
  for (const char* command : {"doctor", "bench", "inspect"}) {
    error_of({command, cut}, 3, "bad_model_file");
    error_of({command, weights_cut}, 3, "bad_model_file");
    error_of({command, no_config}, 3, "model_not_found");
    error_of({command, folder / "none.gguf"}, 3, "model_not_found");
    EXPECT_THAT(error_of({command, "smolm2:135m"}, 3, "model_not_found")["hint"].get<std::string>(),
                HasSubstr("smollm2:135m"));
    error_of({command, "http://example.invalid/m.gguf"}, 2, "bad_flag");
    error_of({command, "https://example.invalid/m.gguf", "--pull", "never"}, 3, "model_not_found");
    error_of({command, "hf:nobody"}, 2, "bad_flag");
    error_of({command, "/dev/null"}, 3, "bad_file");
  }
}

TEST(Stranger, AContextThatTheModelHasNotIsNotReplacedByAnother) {
  for (const char* command : {"doctor", "run"}) {
    std::vector<std::string> arguments = {command, smollm2(), "--ctx", "9000"};
    if (arguments[0] == "run") arguments.emplace_back("hello");
    EXPECT_THAT(error_of(arguments, 2, "bad_flag")["message"].get<std::string>(), HasSubstr("8192"));
  }
}

TEST(Stranger, AnInstructionSetOfAnotherProcessor) {
  const nlohmann::json hw = run_program({"hw", "--no-probe", "--json"}).json();
  const std::string other = hw.value("isa", "") == "neon" ? "avx2" : "neon";
  for (const char* command : {"doctor", "hw"}) {
    const nlohmann::json error = error_of({command, "--isa", other}, 2, "bad_flag");
    EXPECT_THAT(error["message"].get<std::string>(), HasSubstr("no code for"));
    EXPECT_THAT(error["hint"].get<std::string>(), HasSubstr(hw.value("isa", "?")));
  }
}

// Renaming the finished file over /dev/null would leave the machine without one.
TEST(Stranger, OnlyFilesAreWrittenTo) {
  const TemporaryFolder folder;
  const fs::path pipe = folder / "pipe";
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  fs::create_symlink("/dev/null", folder / "link");
  for (const fs::path& out : {fs::path("/dev/full"), pipe, folder / "link", folder.path(), folder / "none/out"}) {
    error_of({"bench", "--shape", "smollm2-135m", "--write", out}, 2, "bad_flag");
    error_of({"convert", tiny(), out}, 2, "bad_flag");
    error_of({"logits", tiny(), "--tokens", "1", "--out", out}, 2, "bad_flag");
  }
  EXPECT_TRUE(fs::is_character_file("/dev/full"));
  EXPECT_TRUE(fs::is_fifo(pipe));
  EXPECT_TRUE(fs::is_symlink(folder / "link"));
  EXPECT_EQ(files_in(folder.path()), 2);
}

TEST(Stranger, CtrlCLeavesNoFileBehind) {
  const TemporaryFolder folder;
  const Outcome outcome = run_program({"bench", "--shape", "smollm2-360m", "--write", folder / "out.gguf"},
                                      {.interrupt_after = "making random weights"});
  EXPECT_EQ(outcome.exit_code, 130) << outcome.err;
  EXPECT_THAT(outcome.err, HasSubstr("error: interrupted"));
  EXPECT_EQ(files_in(folder.path()), 0);
}

TEST(Stranger, CtrlCWhileMeasuring) {
  const std::vector<std::pair<std::vector<std::string>, std::string>> measuring = {
      {{"doctor", smollm2()}, "context:"},
      {{"bench", smollm2(), "--reps", "1000"}, "context:"},
      {{"hw"}, "features"},
  };
  for (const auto& [arguments, said] : measuring) {
    const Outcome outcome = run_program(arguments, {.interrupt_after = said});
    EXPECT_EQ(outcome.exit_code, 130) << arguments[0] << outcome.err;
    EXPECT_FALSE(outcome.timed_out) << arguments[0];
  }
}

TEST(Stranger, AReaderThatHasEnoughIsNoFailure) {
  for (const std::vector<std::string>& arguments : std::vector<std::vector<std::string>>{
           {"inspect", smollm2()},
           {"logits", tiny(), "--tokens", "1,2,3", "--json"},
           {"bench", tiny(), "--prompt", "4", "--gen", "1", "--reps", "1", "--no-probe"}}) {
    const Outcome outcome = run_program(arguments, {.close_reader = true});
    EXPECT_EQ(outcome.exit_code, 0) << arguments[0] << outcome.err;
    EXPECT_THAT(outcome.err, testing::Not(HasSubstr("error"))) << arguments[0];
  }
}

}  // namespace
}  // namespace autoglm::test
