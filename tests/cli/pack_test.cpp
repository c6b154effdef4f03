// Packed weights on disk, from outside: whatever happens to a pack, the logits are those without one, bit for bit.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>
#include <thread>

#include "cli/command_runner.h"
#include "format/pack_file.h"
#include "support/sanitized.h"

namespace autoglm::test {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using testing::Not;

class Packs : public testing::Test {
 protected:
  /// The logits' bytes, with this folder as cache.
  std::string logits(const std::vector<std::string>& flags = {}, const std::string& model = smollm2(),
                     const std::string& out = "logits.npy") {
    std::vector<std::string> arguments = {"logits", model,         "--tokens",    "1,2,3,500",
                                          "--out",  folder_ / out, "--cache-dir", folder_ / "cache"};
    arguments.insert(arguments.end(), flags.begin(), flags.end());
    const Outcome outcome = run_program(arguments);
    EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
    said_ = outcome.err;
    std::ifstream file(folder_ / out, std::ios::binary);
    std::ostringstream bytes;
    bytes << file.rdbuf();
    return bytes.str();
  }

  std::vector<fs::path> packs() const {
    std::vector<fs::path> found;
    std::error_code none;
    for (fs::directory_iterator it(folder_ / "cache/packs", none), end; !none && it != end; ++it) {
      found.push_back(it->path());
    }
    return found;
  }
  fs::path only_pack() const {
    EXPECT_EQ(packs().size(), 1);
    return packs().front();
  }
  /// A copy that belongs to the test.
  std::string own_model() const {
    fs::copy_file(smollm2(), folder_ / "m.gguf");
    return folder_ / "m.gguf";
  }

  TemporaryFolder folder_;
  std::string said_;
  const std::string exact_ = logits({"--no-cache"});
};

void flip(const fs::path& path, int64_t at) {
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  file.seekg(at);
  const auto byte = static_cast<char>(file.get() ^ 4);
  file.seekp(at);
  file.put(byte);
}

TEST_F(Packs, NoCacheNeitherReadsNorWrites) {
  EXPECT_GT(exact_.size(), 1000);
  EXPECT_FALSE(fs::exists(folder_ / "cache"));
}

TEST_F(Packs, WrittenOnceAndReadInEveryForm) {
  EXPECT_EQ(logits(), exact_) << "packed here";
  const auto written = fs::last_write_time(only_pack());
  EXPECT_EQ(logits(), exact_) << "from the pack";
  EXPECT_EQ(logits({"--weights", "own"}), exact_);
  EXPECT_EQ(logits({"--weights", "shared"}), exact_);
  EXPECT_EQ(logits({"--threads", "1"}), exact_);
  EXPECT_EQ(fs::last_write_time(only_pack()), written) << "nothing was packed again";
  EXPECT_THAT(said_, Not(HasSubstr("warning")));
}

TEST_F(Packs, DamagedOnesAreReplaced) {
  logits();
  const auto size = static_cast<int64_t>(fs::file_size(only_pack()));
  const auto damaged = [&](const std::string& memory) {
    EXPECT_EQ(logits({"--weights", memory}), exact_);
    EXPECT_THAT(said_, HasSubstr("warning: "));
    EXPECT_EQ(logits(), exact_);
    EXPECT_THAT(said_, Not(HasSubstr("warning"))) << "the one before wrote a good one";
  };
  for (const std::string memory : {"own", "shared"}) {
    flip(only_pack(), size - 1000);  // weights
    damaged(memory);
    for (const int64_t at : {int64_t{50}, int64_t{kPackAlign}, int64_t{kPackAlign} + kPackPiece}) {  // header, data
      flip(only_pack(), at);
      damaged(memory);
    }
    fs::resize_file(only_pack(), static_cast<uintmax_t>(size / 2));
    damaged(memory);
  }
}

TEST_F(Packs, AChangedSourceIsPackedAnew) {
  const std::string model = own_model();
  EXPECT_EQ(logits({}, model), exact_);
  const fs::path first = only_pack();
  fs::last_write_time(model, fs::last_write_time(model) + std::chrono::seconds(7));
  EXPECT_EQ(logits({}, model), exact_);
  EXPECT_NE(only_pack(), first) << "the old one went, for its source is no more";

  fs::copy_file(model, folder_ / "n.gguf");  // other inode, same bytes and time
  fs::last_write_time(folder_ / "n.gguf", fs::last_write_time(model));
  fs::rename(folder_ / "n.gguf", model);
  const fs::path second = only_pack();
  EXPECT_EQ(logits({}, model), exact_);
  EXPECT_NE(only_pack(), second);
}

TEST_F(Packs, TwoProcessesAtOnce) {
  std::string a, b;
  std::thread other([&] {
    b = run_program({"logits", smollm2(), "--tokens", "1,2,3,500", "--out", folder_ / "b.npy", "--cache-dir",
                     folder_ / "cache"})
            .err;
  });
  a = logits();
  other.join();
  EXPECT_EQ(a, exact_) << b;
  EXPECT_EQ(logits(), exact_);
  EXPECT_EQ(packs().size(), 1);
}

TEST_F(Packs, AFolderThatCannotBeWrittenIsANote) {
  const Outcome outcome =
      run_program({"logits", smollm2(), "--tokens", "1", "--last", "1", "--cache-dir", "/proc/none", "--json"});
  EXPECT_EQ(outcome.exit_code, 0);
  EXPECT_THAT(outcome.err, HasSubstr("packed weights are not kept: cannot write to /proc/none"));
}

TEST_F(Packs, WithoutAHomeIsANote) {
  RunOptions nowhere;
  nowhere.environment = {"HOME=", "XDG_CACHE_HOME=", "XDG_DATA_HOME=", "AUTOGLM_HOME="};
  const Outcome outcome = run_program({"logits", smollm2(), "--tokens", "1", "--last", "1", "--json"}, nowhere);
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_THAT(outcome.err, HasSubstr("packed weights are not kept: neither HOME nor --cache-dir"));
}

TEST_F(Packs, TheLimitIsANote) {
  EXPECT_EQ(logits({"--cache-max-bytes", "1MiB"}), exact_);
  EXPECT_THAT(said_, HasSubstr("packed weights are not kept"));
  EXPECT_TRUE(packs().empty());
}

TEST_F(Packs, CleanShowsAndRemovesThem) {
  logits();
  const Outcome dry = run_program({"clean", "--dry-run", "--cache-dir", folder_ / "cache", "--home", folder_ / "home"});
  EXPECT_THAT(dry.out, HasSubstr(only_pack().string()));
  run_program({"clean", "--cache-dir", folder_ / "cache", "--home", folder_ / "home"});
  EXPECT_TRUE(packs().empty());
}

TEST_F(Packs, PeakMemoryIsThePlan) {
  if (kSanitized) return;  // a sanitizer takes memory of its own
  const auto memory = [&](const std::string& where) {
    const Outcome outcome = run_program({"run", smollm2(), "Hello", "-n", "2", "--temp", "0", "--json", "--weights",
                                         where, "--cache-dir", folder_ / "cache"});
    const nlohmann::json object = outcome.json()["memory"];
    EXPECT_LE(object["peak_rss_bytes"].get<double>(), 1.05 * object["planned_bytes"].get<double>()) << where;
  };
  memory("own");  // packs
  memory("own");
  memory("shared");
}

}  // namespace
}  // namespace autoglm::test
