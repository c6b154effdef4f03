// Remembered tunings: kept for their machine alone, and a damaged file says so.
#include "tune/tuning_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>

#include "base/error.h"

namespace autoglm {
namespace {

namespace fs = std::filesystem;

const TuningKey kKey{.cpu = "A CPU", .isa = "avx512", .threads = 4, .version = "1.0 abc"};

class TuningFile : public testing::Test {
 protected:
  TuningFile() : folder_(fs::temp_directory_path() / ("autoglm_tuning_" + std::to_string(::getpid()))) {
    fs::remove_all(folder_);
    tuning_.set({Type::q4_k, 576, 1536, {4, 16, 2048}});
    tuning_.set({Type::q8_0, 64, 64, {}});
  }
  ~TuningFile() override { fs::remove_all(folder_); }
  static std::string text_of(const fs::path& path) {
    std::ifstream file(path);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  fs::path folder_;
  KernelTuning tuning_;
};

TEST_F(TuningFile, IsReadAsItWasWritten) {
  const fs::path path = tuning_path(folder_, kKey);
  EXPECT_TRUE(read_tuning(path, kKey).entries().empty());  // there is none yet
  write_tuning(path, kKey, tuning_);
  EXPECT_EQ(read_tuning(path, kKey).entries(), tuning_.entries());
  EXPECT_EQ(std::distance(fs::directory_iterator(path.parent_path()), {}), 1);  // nothing is left beside it
}

TEST_F(TuningFile, OfAnotherMachineIsIgnored) {
  const fs::path path = tuning_path(folder_, kKey);
  write_tuning(path, kKey, tuning_);
  TuningKey cpu = kKey, isa = kKey, threads = kKey, version = kKey;
  cpu.cpu = "Another CPU", isa.isa = "avx2", threads.threads = 8, version.version = "1.1 abc";
  for (const TuningKey& key : {cpu, isa, threads, version}) EXPECT_TRUE(read_tuning(path, key).entries().empty());
  for (const TuningKey& key : {cpu, isa, threads}) EXPECT_NE(tuning_path(folder_, key), path);
}

TEST_F(TuningFile, DamagedIsAnErrorThatSaysWhat) {
  const fs::path path = tuning_path(folder_, kKey);
  write_tuning(path, kKey, tuning_);
  const std::string good = text_of(path);
  const auto expect_refused = [&](const std::string& text, const std::string& what) {
    try {
      parse_tuning(text, kKey);
      ADD_FAILURE() << "accepted: " << text;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), Code::bad_file);
      EXPECT_THAT(error.what(), testing::HasSubstr(what));
    }
  };
  const auto changed = [&](const std::string& from, const std::string& to) {
    std::string text = good;
    const size_t at = text.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    return text.replace(at, from.size(), to);
  };
  for (size_t length = 0; length + 2 < good.size(); length += 7) expect_refused(good.substr(0, length), "");
  expect_refused("[]", "not a tuning file");
  expect_refused(changed("\"rows\": 576", "\"rows\": 0"), "'rows'");
  expect_refused(changed("\"tile_rows\": 16", "\"tile_rows\": 1"), "'tile_rows'");
  expect_refused(changed("\"prefetch\": 2048", "\"prefetch\": 99999999"), "'prefetch'");
  expect_refused(changed("\"prefetch\": 2048", "\"prefetch\": 18446744073709551615"), "'prefetch'");
  expect_refused(changed("\"expand_rows\": 4", "\"expand_rows\": 4.5"), "'expand_rows'");
  expect_refused(changed("\"expand_rows\": 4", "\"expand_row\": 4"), "expand_rows");
  expect_refused(changed("Q4_K", "Q9_K"), "Q9_K");
  expect_refused(changed("\"shapes\": [", "\"shapes\": 3, \"others\": ["), "'shapes'");
}

TEST_F(TuningFile, AFolderInItsPlaceIsAnErrorAndAFolderThatCannotBeMadeToo) {
  const fs::path path = tuning_path(folder_, kKey);
  fs::create_directories(path);
  EXPECT_THROW(read_tuning(path, kKey), Error);
  EXPECT_THROW(write_tuning(path, kKey, tuning_), Error);
  std::ofstream(folder_ / "file") << "x";
  EXPECT_THROW(write_tuning(tuning_path(folder_ / "file", kKey), kKey, tuning_), Error);
}

}  // namespace
}  // namespace autoglm
