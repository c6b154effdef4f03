// `compare` from outside, with a real model: promised keys, files, exit codes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/command_runner.h"
#include "support/read_file.h"

namespace autoglm::test {
namespace {

using testing::HasSubstr;

std::string prose() { return std::string(AUTOGLM_TEST_DATA) + "/texts/prose.txt"; }

TEST(Compare, GivesThePromisedKeysAndWritesTheReport) {
  const TemporaryFolder folder;
  const std::string tasks = folder.write("tasks.jsonl", R"({"prompt": "The capital of France is", "expected": "Paris"}
{"prompt": "The capital of France is", "expected": "Pari"}
{"prompt": "The sun rises in the", "choices": [" east", " refrigerator"], "answer": " east"}
)");
  const Outcome outcome =
      run_program({"compare", smollm2(), smollm2(), prose(), "--ctx", "64", "--windows", "2", "--tasks", tasks,
                   "--report", (folder / "out").string(), "--json", "--no-cache"});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.out << outcome.err;
  const nlohmann::json json = outcome.json();
  for (const char* key : {"kld_mean", "kld_p99", "top1_agreement", "ppl_a", "ppl_b", "ppl_ratio", "ppl_ratio_ci"}) {
    EXPECT_TRUE(json.contains(key)) << key;
  }
  // The same weights: what is left is what int8 activations and the q8 cache cost.
  EXPECT_GT(json["kld_mean"], 0);
  EXPECT_LT(json["kld_mean"], 0.05);
  EXPECT_EQ(json["a"]["precision"], "f32");
  EXPECT_EQ(json["b"]["kv_type"], "q8");
  EXPECT_TRUE(json["faults"].empty());
  EXPECT_EQ(json["tasks"]["tasks"], 3);
  EXPECT_NEAR(json["tasks"]["accuracy_a"], 2.0 / 3, 1e-9);  // "Pari" is only a part of a word
  EXPECT_EQ(nlohmann::json::parse(read_file(folder / "out" / "report.json")), json);
  EXPECT_THAT(read_file(folder / "out" / "report.html"), HasSubstr("</html>"));
  EXPECT_THAT(outcome.err, HasSubstr("report.md"));
}

TEST(Compare, TheSameModelOnTheSamePathHasLostNothing) {
  const Outcome outcome = run_program({"compare", smollm2(), smollm2(), prose(), "--ctx", "32", "--windows", "1",
                                       "--precision", "f32", "--no-speed", "--lang", "zh", "--no-cache"});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("质量报告"));
  EXPECT_THAT(outcome.out, HasSubstr("1.0000 (1.0000 … 1.0000)"));
}

TEST(Compare, RefusesBeforeItComputes) {
  const TemporaryFolder folder;
  const std::string bad = folder.write("bad.jsonl", "{\"text\": 1}\n");
  const std::string missing = (folder / "none" / "report.html").string();
  const auto run = [&](std::vector<std::string> more) {
    std::vector<std::string> arguments = {"compare", smollm2(), smollm2()};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return run_program(arguments);
  };
  Outcome outcome = run({bad});
  EXPECT_EQ(outcome.exit_code, 3);
  EXPECT_THAT(outcome.err, HasSubstr("line 1"));
  outcome = run({prose(), "--report", missing});
  EXPECT_EQ(outcome.exit_code, 2) << outcome.err;
  outcome = run({prose(), "--text", "code"});
  EXPECT_EQ(outcome.exit_code, 2);
  EXPECT_THAT(outcome.err, HasSubstr("KIND=FILE"));
  outcome = run({prose(), "--calib", prose()});
  EXPECT_EQ(outcome.exit_code, 3);
  EXPECT_THAT(outcome.err, HasSubstr("calibrated"));
  outcome = run({});
  EXPECT_EQ(outcome.exit_code, 2);
  outcome = run_program({"compare", smollm2(), tiny(), prose()});
  EXPECT_EQ(outcome.exit_code, 3);
  EXPECT_THAT(outcome.err, HasSubstr("no tokenizer"));
}

TEST(Compare, CtrlCLeavesNothingBehind) {
  const TemporaryFolder folder;
  const std::string page = (folder / "report.html").string();
  const Outcome outcome =
      run_program({"compare", smollm2(), smollm2(), prose(), "--ctx", "512", "--report", page, "--no-cache"},
                  {.interrupt_after = "planned"});
  EXPECT_EQ(outcome.exit_code, 130) << outcome.err;
  EXPECT_FALSE(std::filesystem::exists(page));
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
}

}  // namespace
}  // namespace autoglm::test
