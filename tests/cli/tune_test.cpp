// `autoglm tune` from outside: what it measures is remembered, used by every command, and changes no answer.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sqlite3.h>

#include <fstream>

#include "cli/command_runner.h"

namespace autoglm::test {
namespace {

using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

std::vector<std::string> with_cache(std::vector<std::string> arguments, const TemporaryFolder& folder) {
  arguments.insert(arguments.end(), {"--cache-dir", (folder / "cache").string()});
  return arguments;
}

/// Logits of a prompt that is long enough for every kernel.
std::vector<std::string> logits() {
  std::string tokens = "1";
  for (int i = 2; i <= 40; ++i) tokens += "," + std::to_string(i * 7);
  return {"logits", smollm2(), "--tokens", tokens, "--json"};
}

/// Rows that changed.
int change_results(const std::filesystem::path& file, const std::string& sql) {
  sqlite3* db = nullptr;
  EXPECT_EQ(sqlite3_open(file.c_str(), &db), SQLITE_OK);
  EXPECT_EQ(sqlite3_exec(db, sql.c_str(), nullptr, nullptr, nullptr), SQLITE_OK) << sqlite3_errmsg(db);
  const int rows = sqlite3_changes(db);
  sqlite3_close(db);
  return rows;
}

TEST(TuneCommand, RemembersWhatItMeasuredAndNoAnswerChanges) {
  const TemporaryFolder folder;
  const Outcome tuned =
      run_program(with_cache({"tune", smollm2(), "--no-settings", "--json"}, folder), {.seconds = 600});
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
  EXPECT_GE(change_results(path, "UPDATE kernels SET value = 5 WHERE field = 'expand_rows'"), 4);
  EXPECT_GE(change_results(path, "UPDATE kernels SET value = 50 WHERE field = 'tile_rows'"), 4);
  EXPECT_GE(change_results(path, "UPDATE kernels SET value = 0 WHERE field = 'prefetch'"), 4);
  const Outcome odd = run_program(with_cache(logits(), folder));
  EXPECT_EQ(odd.json(), untuned.json());
  EXPECT_THAT(odd.err, Not(HasSubstr("ignored")));

  // What an earlier version wrote beside it is no matter.
  std::ofstream(std::filesystem::path(path).parent_path() / "kernels-0123456789abcdef.json") << "{\"format\": 1, ";
  EXPECT_THAT(run_program(with_cache(logits(), folder)).err, Not(HasSubstr("ignored")));

  change_results(path, "UPDATE kernels SET value = 1 WHERE field = 'tile_rows'");
  const Outcome damaged = run_program(with_cache(logits(), folder));
  EXPECT_EQ(damaged.exit_code, 0);
  EXPECT_EQ(damaged.json(), untuned.json());
  EXPECT_THAT(damaged.err, HasSubstr("ignored"));
}

TEST(TuneCommand, SaysWhereThereIsNothingToTuneInBothLanguages) {
  const TemporaryFolder folder;
  const Outcome english = run_program(with_cache({"tune", tiny(), "--no-settings"}, folder));
  EXPECT_EQ(english.exit_code, 0) << english.err;
  EXPECT_THAT(english.out, HasSubstr("no quantized weights"));
  EXPECT_THAT(run_program(with_cache({"tune", tiny(), "--no-settings", "--lang", "zh"}, folder)).out,
              HasSubstr("没有可调"));
}

TEST(TuneCommand, WithoutACacheNothingIsWritten) {
  const TemporaryFolder folder;
  const Outcome outcome = run_program(with_cache({"tune", tiny(), "--no-settings", "--no-cache", "--json"}, folder));
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_EQ(outcome.json().value("path", "?"), "");
  EXPECT_FALSE(std::filesystem::exists(folder / "cache"));
}

std::vector<std::string> workload(std::vector<std::string> more = {}) {
  more.insert(more.begin(), {"bench", tiny(), "--workload", "chat", "--requests", "3", "--no-probe", "--json"});
  return more;
}

// What a run of the tuner remembers is used by later commands, and by nothing that is asked for otherwise.
TEST(TuneCommand, WhatItFoundIsUsedWhereNothingElseIsSaid) {
  const TemporaryFolder folder;
  const std::vector<std::string> tune = {"tune", tiny(),          "--no-kernels", "--workload",
                                         "chat", "--time-budget", "6s",           "--json"};
  const Outcome tuned = run_program(with_cache(tune, folder), {.seconds = 300});
  ASSERT_EQ(tuned.exit_code, 0) << tuned.out << tuned.err;
  const nlohmann::json report = tuned.json();
  EXPECT_GE(report.value("gain", 0.0), 1.0);
  EXPECT_FALSE(report.value("reused", true));
  EXPECT_GE(report.value("measurements", 0), 1);
  const std::string path = report.value("results_path", "");
  ASSERT_TRUE(std::filesystem::exists(path)) << path;

  const nlohmann::json untuned = run_program(with_cache(workload({"--tuned", "none"}), folder)).json();
  ASSERT_EQ(change_results(path,
                           "UPDATE results SET gain = 1.5, settings = '{\"runtime.threads\": \"1\", "
                           "\"kv_cache.type\": \"bf16\"}'"),
            1);
  const auto run = [&](std::vector<std::string> more) {
    const Outcome outcome = run_program(with_cache(workload(std::move(more)), folder));
    EXPECT_EQ(outcome.exit_code, 0) << outcome.out << outcome.err;
    return outcome;
  };
  const Outcome used = run({});
  EXPECT_EQ(used.json().value("threads", 0), 1);
  EXPECT_EQ(used.json().value("kv_type", ""), "bf16");
  EXPECT_THAT(used.err, HasSubstr("--threads 1"));
  EXPECT_THAT(used.err, HasSubstr("1.50x"));
  EXPECT_EQ(run({"--kv-type", "q8"}).json().value("kv_type", ""), "q8");
  EXPECT_EQ(run({"--tuned", "none"}).json().value("kv_type", ""), "q8");
  EXPECT_EQ(run({"--tuned", "rag"}).json().value("kv_type", ""), "q8");
  EXPECT_EQ(run({"--no-cache"}).json().value("kv_type", ""), "q8");
  EXPECT_EQ(run({"--precision", "f32"}).json().value("kv_type", ""), "f32");
  EXPECT_EQ(run({"--tuned", "none"}).json()["answers_hash"], untuned["answers_hash"]);

  // `config` says what holds, and why.
  const auto effective = [&](std::vector<std::string> more) {
    more.insert(more.begin(), {"config", tiny(), "--json"});
    const nlohmann::json all = run_program(with_cache(std::move(more), folder)).json();
    for (const nlohmann::json& row : all["settings"]) {
      if (row["key"] == "kv_cache.type") return row;
    }
    return nlohmann::json::object();
  };
  EXPECT_EQ(effective({})["value"], "bf16");
  EXPECT_THAT(effective({}).value("reason", ""), StartsWith("autoglm tune, 1.50x"));
  EXPECT_EQ(effective({"--tuned", "none"})["value"], "q8");

  // A goal that is asked for goes before what is newer.
  ASSERT_EQ(change_results(path,
                           "INSERT INTO results SELECT machine, model, version, workload, 'throughput', "
                           "'{\"kv_cache.type\": \"f16\"}', gain, gain_low, gain_high, measurements, measured_at + 1 "
                           "FROM results"),
            1);
  EXPECT_EQ(run({}).json().value("kv_type", ""), "f16");
  EXPECT_EQ(run({"--tuned-goal", "throughput"}).json().value("kv_type", ""), "f16");
  EXPECT_EQ(run({"--tuned-goal", "latency", "--tuned", "chat"}).json().value("kv_type", ""), "bf16");
  const Outcome latency = run({"--tuned-goal", "latency"});
  EXPECT_EQ(latency.json().value("kv_type", ""), "bf16");
  EXPECT_THAT(latency.err, HasSubstr("found (chat, latency, 1.50x)"));
  const Outcome none = run({"--tuned", "rag", "--tuned-goal", "throughput"});
  EXPECT_EQ(none.json().value("kv_type", ""), "q8");
  EXPECT_THAT(none.err, HasSubstr("has found nothing here for rag, throughput: the defaults are used; what it found "
                                  "last is for chat, throughput"));

  // What nobody tuned is not taken, and a broken file stops nobody.
  ASSERT_EQ(change_results(path, "DELETE FROM results WHERE goal = 'throughput'"), 1);
  change_results(path, "UPDATE results SET settings = '{\"cache.dir\": \"/\"}'");
  EXPECT_EQ(run({}).json().value("kv_type", ""), "q8");
  std::ofstream(path, std::ios::trunc) << std::string(8192, 'x');
  const Outcome broken = run({});
  EXPECT_EQ(broken.json().value("kv_type", ""), "q8");
  EXPECT_THAT(broken.err, HasSubstr("not used"));
}

TEST(TuneCommand, AnEarlierResultOfTheDefaultIsKept) {
  const TemporaryFolder folder;
  const std::vector<std::string> tune = {"tune",  tiny(),          "--no-kernels", "--workload",
                                         "batch", "--time-budget", "3s",           "--json"};
  const Outcome first = run_program(with_cache(tune, folder), {.seconds = 300});
  ASSERT_EQ(first.exit_code, 0) << first.out << first.err;
  change_results(first.json().value("results_path", ""), "UPDATE results SET gain = 1, settings = '{}'");
  const Outcome again = run_program(with_cache(tune, folder), {.seconds = 300});
  EXPECT_TRUE(again.json().value("reused", false)) << again.out;
  EXPECT_TRUE(again.json()["settings"].empty());
}

TEST(TuneCommand, AModelThatIsNotThereIsAnError) { EXPECT_EQ(run_program({"tune", "/nowhere.gguf"}).exit_code, 3); }

}  // namespace
}  // namespace autoglm::test
