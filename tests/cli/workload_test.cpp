// `autoglm bench --workload` from outside.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "cli/command_runner.h"

namespace autoglm::test {
namespace {

using testing::HasSubstr;

Outcome bench(std::vector<std::string> more) {
  more.insert(more.begin(), {"bench", tiny(), "--no-cache"});
  return run_program(more);
}

TEST(WorkloadCommand, GivesTheFiguresItPromises) {
  const Outcome outcome = bench({"--workload", "chat", "--requests", "4", "--json"});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.out << outcome.err;
  const nlohmann::json object = outcome.json();
  for (const char* key : {"first_token_ms", "gap_ms", "end_to_end_ms"}) {
    ASSERT_TRUE(object.contains(key)) << key;
    EXPECT_LE(object[key].value("p50", -1.0), object[key].value("p99", -2.0)) << key;
  }
  EXPECT_EQ(object.value("requests", 0), 4);
  EXPECT_GT(object.value("throughput_tps", 0.0), 0);
  EXPECT_GT(object.value("peak_rss_bytes", 0), 0);
  EXPECT_GT(object.value("planned_bytes", 0), 0);
  EXPECT_TRUE(object.contains("joules"));
  EXPECT_TRUE(object.contains("roof_share"));
  EXPECT_LE(object["workload"].value("longest", int64_t{1} << 40), object.value("context", 0));
}

TEST(WorkloadCommand, TheSameSeedIsTheSameWorkWhateverTheSettings) {
  const auto hash = [](std::vector<std::string> more) {
    more.insert(more.end(), {"--workload", "code", "--requests", "3", "--no-probe", "--json"});
    const Outcome outcome = bench(std::move(more));
    EXPECT_EQ(outcome.exit_code, 0) << outcome.out << outcome.err;
    return outcome.json().value("answers_hash", "");
  };
  const std::string usual = hash({});
  EXPECT_EQ(hash({"--threads", "1", "--prefill-chunk", "32", "--speculation", "off"}), usual);
  EXPECT_EQ(hash({"--users", "3", "--max-batch-size", "2", "--batching", "dynamic", "--no-prefix-cache"}), usual);
  EXPECT_NE(hash({"--seed", "2"}), usual);
}

TEST(WorkloadCommand, TakesAFileAndSaysWhatIsWrongWithIt) {
  const TemporaryFolder folder;
  const std::string path = (folder / "mine.jsonl").string();
  std::ofstream(path)
      << "{\"prompt\": \"one two three\", \"max_tokens\": 4}\n{\"prompt\": \"four\", \"max_tokens\": 2}\n";
  const Outcome outcome = bench({"--workload", path, "--no-probe", "--json"});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.out << outcome.err;
  EXPECT_EQ(outcome.json().value("completion_tokens", 0), 6);
  std::ofstream(path) << "{\"prompt\": \"one\"}\n{\"prompt\": 2}\n";
  const Outcome wrong = bench({"--workload", path, "--no-probe"});
  EXPECT_EQ(wrong.exit_code, 3);
  EXPECT_THAT(wrong.err, HasSubstr("mine.jsonl line 2"));
  EXPECT_EQ(bench({"--workload", "talk"}).exit_code, 2);
  EXPECT_EQ(bench({"--workload", (folder / "none.jsonl").string()}).exit_code, 3);
}

TEST(SweepCommand, WritesTableCsvAndAPageOfItsOwn) {
  const TemporaryFolder folder;
  const std::string out = (folder / "sweep").string();
  const Outcome outcome = bench({"--sweep", "threads,ctx", "--no-probe", "--report", out, "--json"});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.out << outcome.err;
  const nlohmann::json sweeps = outcome.json()["sweeps"];
  ASSERT_EQ(sweeps.size(), 2u);
  EXPECT_EQ(sweeps[0]["over"], "threads");
  EXPECT_EQ(sweeps[0]["points"][0]["at"], 1);
  for (const nlohmann::json& sweep : sweeps) {
    for (const nlohmann::json& point : sweep["points"]) EXPECT_GT(point.value("decode_tps", 0.0), 0) << point;
  }
  std::ifstream csv(out + "/sweep.csv"), html(out + "/sweep.html");
  const std::string table{std::istreambuf_iterator<char>(csv), {}}, page{std::istreambuf_iterator<char>(html), {}};
  EXPECT_THAT(table, HasSubstr("threads,1,"));
  EXPECT_THAT(page, HasSubstr("<svg"));
  EXPECT_THAT(page, testing::Not(HasSubstr("http://")));
  EXPECT_EQ(bench({"--sweep", "speed"}).exit_code, 2);
}

TEST(WorkloadCommand, ATextForPeopleInBothLanguages) {
  const Outcome english = bench({"--workload", "batch", "--requests", "3", "--rate", "100", "--no-probe"});
  EXPECT_EQ(english.exit_code, 0) << english.err;
  EXPECT_THAT(english.out, HasSubstr("end to end"));
  EXPECT_THAT(english.out, HasSubstr("requests"));
  EXPECT_THAT(bench({"--workload", "batch", "--requests", "3", "--no-probe", "--lang", "zh"}).out,
              HasSubstr("峰值内存"));
}

}  // namespace
}  // namespace autoglm::test
