#include "tune/tuning_store.h"

#include <gtest/gtest.h>
#include <sqlite3.h>
#include <sys/stat.h>

#include "support/errors.h"
#include "support/temporary_folder.h"

namespace autoglm {
namespace {

using test::TemporaryFolder;

const TunedKey kKey{.machine = "m", .model = "a.gguf 1", .version = "0.1", .workload = "chat", .goal = "latency"};

TunedResult result(std::vector<std::pair<std::string, std::string>> settings, int64_t at) {
  return {.settings = std::move(settings),
          .gain = 1.2,
          .gain_low = 1.1,
          .gain_high = 1.3,
          .measurements = 40,
          .measured_at = at,
          .workload = {}};
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

}  // namespace
}  // namespace autoglm
