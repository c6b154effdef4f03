#include "tune/tuning_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sqlite3.h>
#include <sys/stat.h>

#include "support/errors.h"
#include "support/temporary_folder.h"

namespace autoglm {
namespace {

using test::TemporaryFolder;
using testing::UnorderedElementsAreArray;

const TunedKey kKey{.machine = "m", .model = "a.gguf 1", .version = "0.1", .workload = "chat", .goal = "latency"};

TunedResult result(std::vector<std::pair<std::string, std::string>> settings, int64_t at) {
  return {.settings = std::move(settings),
          .gain = 1.2,
          .gain_low = 1.1,
          .gain_high = 1.3,
          .measurements = 40,
          .measured_at = at,
          .workload = {},
          .goal = {}};
}

void change(const std::filesystem::path& file, const char* sql) {
  sqlite3* db = nullptr;
  ASSERT_EQ(sqlite3_open(file.c_str(), &db), SQLITE_OK);
  EXPECT_EQ(sqlite3_exec(db, sql, nullptr, nullptr, nullptr), SQLITE_OK) << sqlite3_errmsg(db);
  sqlite3_close(db);
}

TEST(TuningStoreTest, GivesBackWhatWasPutForThisKeyAndNoOther) {
  const TemporaryFolder folder;
  const auto file = tuning_store_path(folder.path());
  {
    TuningStore store(file);
    store.put(kKey, result({{"runtime.threads", "2"}, {"speculation", "off"}}, 10));
  }
  const TuningStore store(file);
  const auto found = store.find(kKey);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->settings.size(), 2u);
  EXPECT_EQ(found->gain, 1.2);
  EXPECT_EQ(found->gain_low, 1.1);
  EXPECT_EQ(found->measurements, 40);
  EXPECT_EQ(found->workload, "chat");
  EXPECT_EQ(found->goal, "latency");
  for (std::string TunedKey::* part :
       {&TunedKey::machine, &TunedKey::model, &TunedKey::version, &TunedKey::workload, &TunedKey::goal}) {
    TunedKey other = kKey;
    other.*part = "x";
    EXPECT_FALSE(store.find(other));
  }
  struct stat status{};
  ASSERT_EQ(::stat(file.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600u);
}

TEST(TuningStoreTest, ANewResultReplacesTheOldAndTheNewestIsFound) {
  const TemporaryFolder folder;
  TuningStore store(tuning_store_path(folder.path()));
  store.put(kKey, result({{"speculation", "off"}}, 10));
  store.put(kKey, result({{"runtime.threads", "1"}}, 20));
  TunedKey rag = kKey;
  rag.workload = "rag";
  store.put(rag, result({{"runtime.affinity", "none"}}, 30));
  TunedKey mine = kKey;
  mine.workload = "file mine.jsonl 12";
  store.put(mine, result({}, 5));
  EXPECT_EQ(store.find(kKey)->settings.front().first, "runtime.threads");
  TunedKey any = kKey;
  any.workload = any.goal = "";
  EXPECT_EQ(store.find(any)->workload, "rag");
  any.workload = "file";
  EXPECT_EQ(store.find(any)->workload, "file mine.jsonl 12");
}

TEST(TuningStoreTest, AGoalThatIsAskedForGoesBeforeWhatIsNewer) {
  const TemporaryFolder folder;
  TuningStore store(tuning_store_path(folder.path()));
  store.put(kKey, result({{"speculation", "off"}}, 10));
  TunedKey throughput = kKey;
  throughput.goal = "throughput";
  store.put(throughput, result({{"runtime.threads", "1"}}, 20));
  TunedKey any = kKey;
  any.goal = "";
  EXPECT_EQ(store.find(any)->goal, "throughput");
  for (const std::string workload : {"chat", ""}) {
    TunedKey asked = kKey;
    asked.workload = workload;
    EXPECT_EQ(store.find(asked)->goal, "latency");
    EXPECT_EQ(store.find(asked)->settings.front().first, "speculation");
  }
}

TEST(TuningStoreTest, WhatNobodyTunedIsNotBelieved) {
  const TemporaryFolder folder;
  const auto file = tuning_store_path(folder.path());
  const char* const texts[] = {"'{\"server.host\": \"0.0.0.0\"}'",
                               "'{\"runtime.threads\": \"many\"}'",
                               "'{\"no.such\": \"1\"}'",
                               "'{\"speculation\": 3}'",
                               "'nonsense'",
                               "x'ff00'"};
  for (const char* text : texts) {
    TuningStore(file).put(kKey, result({{"speculation", "off"}}, 10));
    change(file, ("UPDATE results SET settings = " + std::string(text)).c_str());
    EXPECT_FALSE(TuningStore(file).find(kKey)) << text;
  }
  TuningStore(file).put(kKey, result({{"speculation", "off"}}, 10));
  EXPECT_TRUE(TuningStore(file).find(kKey));
}

TEST(TuningStoreTest, AnotherVersionIsEmptiedAndADamagedFileIsAnError) {
  const TemporaryFolder folder;
  const auto file = tuning_store_path(folder.path());
  TuningStore(file).put(kKey, result({}, 10));
  change(file, "PRAGMA user_version=99");
  EXPECT_FALSE(TuningStore(file).find(kKey));
  std::ofstream(file, std::ios::trunc) << "this is not a database, however long it may be: " << std::string(4096, 'x');
  EXPECT_ERROR(TuningStore(file).find(kKey), Code::work_failed, "results.sqlite");
}

class KernelsTest : public testing::Test {
 protected:
  KernelsTest() : file_(tuning_store_path(folder_.path())) {
    tuning_.set({Type::q4_k, 576, 1536, {4, 16, 2048}});
    tuning_.set({Type::q8_0, 64, 64, {}});
  }
  const TemporaryFolder folder_;
  const std::filesystem::path file_;
  const KernelKey key_{.cpu = "A CPU", .isa = "avx512", .threads = 4, .version = "1.0 abc"};
  KernelTuning tuning_;
};

TEST_F(KernelsTest, AreReadAsTheyWereWritten) {
  EXPECT_TRUE(TuningStore(file_).find_kernels(key_).entries().empty()) << "there are none yet";
  TuningStore(file_).put_kernels(key_, tuning_);
  EXPECT_THAT(TuningStore(file_).find_kernels(key_).entries(), UnorderedElementsAreArray(tuning_.entries()));
}

TEST_F(KernelsTest, OfAnotherMachineAreIgnoredAndOfAnotherVersionReplaced) {
  TuningStore store(file_);
  store.put_kernels(key_, tuning_);
  KernelKey cpu = key_, isa = key_, threads = key_, version = key_;
  cpu.cpu = "Another CPU", isa.isa = "avx2", threads.threads = 8, version.version = "1.1 abc";
  for (const KernelKey& key : {cpu, isa, threads, version}) EXPECT_TRUE(store.find_kernels(key).entries().empty());
  store.put_kernels(isa, {});
  EXPECT_EQ(store.find_kernels(key_).entries().size(), 2u);
  store.put_kernels(version, {});
  EXPECT_TRUE(store.find_kernels(key_).entries().empty());
}

TEST_F(KernelsTest, WhatNoTunerWritesIsAnErrorThatNamesIt) {
  const std::pair<const char*, const char*> cases[] = {
      {"UPDATE kernels SET value = 1 WHERE field = 'tile_rows'", "'tile_rows' is 1"},
      {"UPDATE kernels SET value = 99999999 WHERE field = 'prefetch'", "'prefetch' is 99999999"},
      {"UPDATE kernels SET value = 'many' WHERE field = 'tile_rows'", "'tile_rows' is 0"},
      {"UPDATE kernels SET field = 'tiles' WHERE field = 'tile_rows'", "no 'tiles'"},
      {"UPDATE kernels SET type = 'Q9_K' WHERE type = 'Q4_K'", "Q9_K"}};
  for (const auto& [sql, words] : cases) {
    TuningStore(file_).put_kernels(key_, tuning_);
    change(file_, sql);
    EXPECT_ERROR(TuningStore(file_).find_kernels(key_), Code::bad_file, words);
  }
}

TEST_F(KernelsTest, AFailureLeavesWhatWasThere) {
  TuningStore store(file_);
  store.put_kernels(key_, tuning_);
  change(file_, "CREATE TRIGGER full BEFORE INSERT ON kernels WHEN new.rows = 7 BEGIN SELECT RAISE(FAIL, 'full'); END");
  KernelTuning other;
  other.set({Type::q8_0, 3, 3, {}});
  other.set({Type::q8_0, 7, 7, {}});
  EXPECT_ERROR(store.put_kernels(key_, other), Code::work_failed, "full");
  EXPECT_EQ(store.find_kernels(key_).entries().size(), 2u);
  EXPECT_EQ(store.find_kernels(key_).of(Type::q4_k, 576, 1536), (ShapeTuning{4, 16, 2048}));
}

}  // namespace
}  // namespace autoglm
