// The prefix cache on disk, from outside: a prompt that begins like an earlier one starts at once in another process,
// and says the same.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/command_runner.h"

namespace autoglm::test {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

class PrefixesOnDisk : public testing::Test {
 protected:
  PrefixesOnDisk() {
    for (int i = 0; i < 60; ++i) prompt_ += "This is sentence number " + std::to_string(i * 7) + ". ";
  }
  std::vector<std::string> arguments(const std::vector<std::string>& flags) const {
    std::vector<std::string> all = {"run", smollm2(), prompt_,  "--temp",      "0",
                                    "-n",  "8",       "--json", "--cache-dir", folder_ / "cache"};
    all.insert(all.end(), flags.begin(), flags.end());
    return all;
  }
  nlohmann::json run(const std::vector<std::string>& flags) {
    const Outcome outcome = run_program(arguments(flags));
    EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
    said_ = outcome.err;
    return outcome.json();
  }
  fs::path prefixes() const { return folder_ / "cache/prefixes"; }

  TemporaryFolder folder_;
  std::string prompt_;
  std::string said_;
};

TEST_F(PrefixesOnDisk, AreReadByTheNextProcess) {
  const nlohmann::json without = run({});
  EXPECT_FALSE(fs::exists(prefixes())) << "run keeps none unless it is asked to";
  const nlohmann::json first = run({"--kv-persist"});
  EXPECT_EQ(first["cached_tokens"], 0);
  const nlohmann::json second = run({"--kv-persist"});
  const auto prompt = second["prompt_tokens"].get<int64_t>();
  EXPECT_EQ(second["cached_tokens"], (prompt - 1) / 16 * 16);
  EXPECT_EQ(first["token_ids"], without["token_ids"]);
  EXPECT_EQ(second["token_ids"], without["token_ids"]);
  EXPECT_EQ(run({"--kv-persist", "--no-cache"})["cached_tokens"], 0);
  EXPECT_EQ(run({"--kv-persist", "--no-prefix-cache"})["cached_tokens"], 0);
  EXPECT_EQ(run({"--kv-persist", "--kv-type", "f32"})["cached_tokens"], 0) << "other keys and values";
  EXPECT_EQ(run({"--kv-persist", "--isa", "generic"})["cached_tokens"], 0) << "other arithmetic";

  const Outcome dry = run_program({"clean", "--dry-run", "--home", folder_ / "home", "--cache-dir", folder_ / "cache"});
  EXPECT_THAT(dry.out, HasSubstr(prefixes().string()));
  EXPECT_TRUE(fs::exists(prefixes()));
  run_program({"clean", "--home", folder_ / "home", "--cache-dir", folder_ / "cache"});
  EXPECT_FALSE(fs::exists(prefixes()));
}

TEST_F(PrefixesOnDisk, AFolderThatCannotBeUsedIsSaid) {
  folder_.write("cache/prefixes", "a file");
  run({"--kv-persist"});
  EXPECT_THAT(said_, HasSubstr("no more prefixes are kept on disk"));
}

}  // namespace
}  // namespace autoglm::test
