// `autoglm tune` from outside: what it measures is remembered, used by every command, and changes no answer.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "cli/command_runner.h"

namespace autoglm {
namespace {

using test::Outcome;
using test::run_program;
using test::TemporaryFolder;
using testing::HasSubstr;
using testing::Not;

std::vector<std::string> with_cache(std::vector<std::string> arguments, const TemporaryFolder& folder) {
  arguments.insert(arguments.end(), {"--cache-dir", (folder / "cache").string()});
  return arguments;
}

/// Logits of a prompt that is long enough for every kernel.
std::vector<std::string> logits() {
  std::string tokens = "1";
  for (int i = 2; i <= 40; ++i) tokens += "," + std::to_string(i * 7);
  return {"logits", test::smollm2(), "--tokens", tokens, "--json"};
}

TEST(TuneCommand, RemembersWhatItMeasuredAndNoAnswerChanges) {
  const TemporaryFolder folder;
  const Outcome tuned = run_program(with_cache({"tune", test::smollm2(), "--json"}, folder), {.seconds = 600});
  ASSERT_EQ(tuned.exit_code, 0) << tuned.out << tuned.err;
  const nlohmann::json report = tuned.json();
  ASSERT_TRUE(report.contains("settings"));
  EXPECT_GE(report.value("gain", 0.0), 1.0);
  EXPECT_GE(report["measured"].size(), 4u);  // the shapes of its layers
  for (const nlohmann::json& setting : report["settings"]) {
    EXPECT_GE(setting.value("gain", 0.0), 1.03) << setting;
    EXPECT_NE(setting["value"], setting["default"]);
  }
  const std::string path = report.value("path", "");
  ASSERT_THAT(path, HasSubstr((folder / "cache").string()));

  const Outcome untuned = run_program([] {
    std::vector<std::string> arguments = logits();
    arguments.emplace_back("--no-cache");
    return arguments;
  }());
  ASSERT_EQ(untuned.exit_code, 0) << untuned.err;
  EXPECT_EQ(run_program(with_cache(logits(), folder)).json(), untuned.json());

  // Other values than any tuner would choose: still the same bits.
  nlohmann::json file = nlohmann::json::parse(std::ifstream(path));
  ASSERT_GE(file["shapes"].size(), 4u);
  for (nlohmann::json& shape : file["shapes"]) shape.update({{"expand_rows", 5}, {"tile_rows", 50}, {"prefetch", 0}});
  std::ofstream(path) << file;
  const Outcome odd = run_program(with_cache(logits(), folder));
  EXPECT_EQ(odd.json(), untuned.json());
  EXPECT_THAT(odd.err, Not(HasSubstr("ignored")));

  std::ofstream(path) << "{\"format\": 1, ";
  const Outcome damaged = run_program(with_cache(logits(), folder));
  EXPECT_EQ(damaged.exit_code, 0);
  EXPECT_EQ(damaged.json(), untuned.json());
  EXPECT_THAT(damaged.err, HasSubstr("ignored"));
}

TEST(TuneCommand, SaysWhereThereIsNothingToTuneInBothLanguages) {
  const TemporaryFolder folder;
  const Outcome english = run_program(with_cache({"tune", test::tiny()}, folder));
  EXPECT_EQ(english.exit_code, 0) << english.err;
  EXPECT_THAT(english.out, HasSubstr("no quantized weights"));
  EXPECT_THAT(run_program(with_cache({"tune", test::tiny(), "--lang", "zh"}, folder)).out, HasSubstr("没有可调"));
}

TEST(TuneCommand, WithoutACacheNothingIsWritten) {
  const TemporaryFolder folder;
  const Outcome outcome = run_program(with_cache({"tune", test::tiny(), "--no-cache", "--json"}, folder));
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_EQ(outcome.json().value("path", "?"), "");
  EXPECT_FALSE(std::filesystem::exists(folder / "cache"));
}

TEST(TuneCommand, AModelThatIsNotThereIsAnError) { EXPECT_EQ(run_program({"tune", "/nowhere.gguf"}).exit_code, 3); }

}  // namespace
}  // namespace autoglm
