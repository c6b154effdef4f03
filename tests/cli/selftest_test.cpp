// `selftest` asks transformers, which the tests must not need: a stand-in for python3 keeps what it was given and
// answers as the script would. The script's own comparisons run in tests/cli/selftest_script_test.py.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <sstream>

#include "cli/command_runner.h"

namespace autoglm::test {
namespace {

using testing::HasSubstr;

/// Runs `selftest --json` where python3 stores its input in `folder`/given.json and then runs `answer` (shell).
Outcome selftest(const TemporaryFolder& folder, const std::string& model, const std::string& answer, bool json = true) {
  const std::string script = folder.write(
      "python3", "#!/bin/sh\ncat > '" + (folder / "given.json").string() + "'\nexec 2>&1\n" + answer + "\n");
  std::filesystem::permissions(script, std::filesystem::perms::owner_all);
  std::vector<std::string> arguments = {"selftest", model};
  if (json) arguments.emplace_back("--json");
  const std::string path = folder.path().string() + ":" + std::getenv("PATH");
  return run_program(arguments, {.environment = {"PATH=" + path}});
}

nlohmann::json given(const TemporaryFolder& folder) {
  std::ifstream in(folder / "given.json");
  return nlohmann::json::parse(in, nullptr, false);
}

TEST(Selftest, GivesTheScriptIdsTemplatesAndExactLogits) {
  const TemporaryFolder folder;
  const Outcome outcome =
      selftest(folder, smollm2(), R"(echo '[{"name": "logits", "ok": true, "detail": "all equal"}]')");
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_EQ(outcome.json()["checks"][0]["detail"], "all equal");

  const nlohmann::json input = given(folder);
  ASSERT_TRUE(input.is_object());
  EXPECT_EQ(input["model"], std::filesystem::absolute(smollm2()).string());
  ASSERT_GE(input["texts"].size(), 10U);
  EXPECT_EQ(input["texts"][0]["text"], "Hello, world! It's 12:30.");
  EXPECT_EQ(input["texts"][0]["ids"][0], 19556);  // "Hello" in SmolLM2's vocabulary
  EXPECT_THAT(input["chats"][0]["text"].get<std::string>(), HasSubstr("<|im_start|>user\nWhy is the sky blue?"));
  EXPECT_EQ(input["logits"]["precision"], "f32");
  ASSERT_EQ(input["logits"]["rows"].size(), input["logits"]["tokens"].size());
  EXPECT_EQ(input["logits"]["rows"][0].size(), 49152U);
}

TEST(Selftest, AModelWithoutATokenizerIsJudgedByItsLogits) {
  const TemporaryFolder folder;
  const Outcome outcome = selftest(folder, tiny(), "echo '[]'");
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  const nlohmann::json input = given(folder);
  EXPECT_TRUE(input["texts"].empty());
  EXPECT_EQ(input["logits"]["tokens"].size(), 32U);
}

TEST(Selftest, ADifferenceEndsWithExitCodeOne) {
  const TemporaryFolder folder;
  const std::string answer = R"(echo '[{"name": "token ids", "ok": false, "detail": "11 of 12 texts equal"}]')";
  const Outcome outcome = selftest(folder, tiny(), answer, false);
  EXPECT_EQ(outcome.exit_code, 1);
  EXPECT_THAT(outcome.out, HasSubstr("FAIL  token ids: 11 of 12 texts equal"));
}

TEST(Selftest, WithoutTransformersItSaysWhatToInstall) {
  const TemporaryFolder folder;
  const Outcome outcome = selftest(folder, tiny(), "exit 1", false);
  EXPECT_EQ(outcome.exit_code, 1);
  EXPECT_THAT(outcome.err, HasSubstr("pip install transformers torch"));
}

}  // namespace
}  // namespace autoglm::test
