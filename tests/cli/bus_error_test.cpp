// Somebody cuts a model file that is mapped: the process says so and ends with the exit code of a bad model.
#include "cli/bus_error.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <filesystem>

#include "base/mmap.h"
#include "cli/command_runner.h"
#include "support/sanitized.h"
#include "support/temporary_folder.h"

namespace autoglm {
namespace {

using test::TemporaryFolder;
using testing::ExitedWithCode;
using testing::HasSubstr;

/// Maps a file, cuts it and reads what is gone. Does not return if the reader is ended.
void read_cut_file(const std::filesystem::path& path, bool json, Language language) {
  explain_bus_errors(json, language);
  const MappedFile file(path);
  std::filesystem::resize_file(path, 4096);
  volatile std::byte sink = file.bytes().back();
  (void)sink;
}

class BusErrorDeathTest : public testing::Test {
 protected:
  BusErrorDeathTest() { testing::FLAGS_gtest_death_test_style = "threadsafe"; }
  std::filesystem::path file() const { return folder_.write("a \"b\".gguf", std::string(1 << 20, 'x')); }
  TemporaryFolder folder_;
};

TEST_F(BusErrorDeathTest, NamesTheFileAndEndsWithItsCode) {
  EXPECT_EXIT(
      read_cut_file(file(), false, Language::en), ExitedWithCode(3),
      "error: .*a \"b\"\\.gguf was cut, or its disk failed, while it was in use\nhint: put the whole file back");
  EXPECT_EXIT(read_cut_file(file(), false, Language::zh), ExitedWithCode(3), "错误： .*gguf was cut");
}

// A program's own bug must not be taken for it.
TEST_F(BusErrorDeathTest, OtherFaultsStayWhatTheyAre) {
  if (test::kSanitized) return;  // a sanitizer reports the fault itself
  EXPECT_EXIT(
      {
        explain_bus_errors(false, Language::en);
        std::raise(SIGBUS);
        std::raise(SIGBUS);  // the handler has stepped aside
      },
      testing::KilledBySignal(SIGBUS), "");
}

// While it is loaded it is read where it is mapped, later a row of the token embedding is read for each new token.
TEST(BusError, AModelThatIsCutWhileItAnswers) {
  const TemporaryFolder folder;
  for (const bool json : {false, true}) {
    const std::filesystem::path model = folder / "model.gguf";
    std::filesystem::copy_file(test::smollm2(), model, std::filesystem::copy_options::overwrite_existing);
    std::vector<std::string> arguments = {"run", model,  "1, 2, 3,", "--raw", "--ignore-eos",
                                          "-n",  "4000", "--temp",   "0",     "--no-cache"};
    if (json) arguments.emplace_back("--json");
    const test::Outcome outcome = test::run_program(
        arguments, {.interrupt_after = "context:", .instead = [&] { std::filesystem::resize_file(model, 1 << 20); }});
    EXPECT_EQ(outcome.exit_code, 3) << outcome.out << outcome.err;
    if (json) {
      const nlohmann::json error = outcome.json().value("error", nlohmann::json::object());
      EXPECT_EQ(error.value("code", ""), "bad_model_file") << outcome.out;
      EXPECT_THAT(error.value("message", ""), HasSubstr("model.gguf was cut"));
    } else {
      EXPECT_THAT(outcome.err, HasSubstr("model.gguf was cut"));
      EXPECT_THAT(outcome.err, HasSubstr("hint: "));
    }
  }
}

}  // namespace
}  // namespace autoglm
