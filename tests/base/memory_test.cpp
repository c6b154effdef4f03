#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <thread>
#include <utility>

#include "base/ledger.h"
#include "base/mapped_names.h"
#include "base/mmap.h"
#include "support/errors.h"
#include "support/temporary_folder.h"

namespace autoglm {
namespace {

namespace fs = std::filesystem;

class Mmap : public testing::Test {
 protected:
  test::TemporaryFolder dir_;
};

TEST_F(Mmap, MapsAndMoves) {
  std::ofstream(dir_ / "a") << "hello";
  MappedFile file(dir_ / "a");
  ASSERT_EQ(file.bytes().size(), 5u);
  EXPECT_EQ(static_cast<char>(file.bytes()[4]), 'o');
  MappedFile moved(std::move(file));
  MappedFile assigned;
  assigned = std::move(moved);
  EXPECT_EQ(static_cast<char>(assigned.bytes()[0]), 'h');
}

TEST_F(Mmap, AnEmptyFileIsAnEmptySpan) {
  std::ofstream(dir_ / "empty").close();
  EXPECT_TRUE(MappedFile(dir_ / "empty").bytes().empty());
}

TEST_F(Mmap, WhatIsNotAFileIsRefusedByName) {
  EXPECT_ERROR(MappedFile(dir_ / "none"), Code::model_not_found, "no file");
  std::ofstream(dir_ / "a") << "x";
  EXPECT_ERROR(MappedFile(dir_ / "a" / "b"), Code::model_not_found, "no file");
  EXPECT_ERROR(MappedFile(dir_.path()), Code::bad_file, "a folder");
  EXPECT_ERROR(MappedFile("/dev/zero"), Code::bad_file, "a device");
  ASSERT_EQ(mkfifo((dir_ / "pipe").c_str(), 0600), 0);
  EXPECT_ERROR(MappedFile(dir_ / "pipe"), Code::bad_file, "a pipe");
  if (geteuid() != 0) {  // root may read everything
    fs::permissions(dir_ / "a", fs::perms::none);
    EXPECT_ERROR(MappedFile(dir_ / "a"), Code::bad_file, "no permission");
  }
}

TEST_F(Mmap, AnAddressTellsItsFileWhileItIsMapped) {
  const std::string path = dir_.write("a", "hello").string();
  const std::byte* inside = nullptr;
  {
    const MappedFile file(path);
    inside = &file.bytes()[4];
    MappedFile other(dir_.write("b", "x"));
    EXPECT_STREQ(mapping_at(inside), path.c_str());
    EXPECT_EQ(mapping_at(file.bytes().data() + 5), nullptr) << "behind its end";
    const std::byte* of_other = other.bytes().data();
    const MappedFile moved(std::move(other));
    EXPECT_STREQ(mapping_at(of_other), (dir_ / "b").c_str());
  }
  EXPECT_EQ(mapping_at(inside), nullptr);
  EXPECT_EQ(mapping_at(nullptr), nullptr);
}

TEST(Ledger, RefusesWhatPassesTheLimitWithTheNumbers) {
  Ledger ledger(10 << 20);
  ledger.reserve(MemoryLine::weights, 6 << 20, "weights");
  try {
    ledger.reserve(MemoryLine::kv, 5 << 20, "the KV cache");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Code::out_of_memory);
    EXPECT_STREQ(error.what(), "the KV cache needs 5 MiB, but 6 MiB of the limit of 10 MiB is already in use");
    EXPECT_FALSE(error.hint().empty());
  }
  EXPECT_EQ(ledger.total(), 6 << 20);
  ledger.reserve(MemoryLine::kv, 4 << 20, "exactly what is left");
  EXPECT_EQ(ledger.used(MemoryLine::kv), 4 << 20);
  EXPECT_THROW(ledger.reserve(MemoryLine::kv, INT64_MAX, "all"), Error);
  ledger.release(MemoryLine::kv, 4 << 20);
  EXPECT_EQ(ledger.total(), 6 << 20);
}

TEST(Ledger, WithoutALimitOnlyOverflowIsRefused) {
  Ledger ledger(0);
  ledger.reserve(MemoryLine::weights, INT64_MAX - 5, "much");
  EXPECT_THROW(ledger.reserve(MemoryLine::kv, 6, "more"), Error);
}

TEST(Ledger, AReservationGivesBackOnceHoweverItMoves) {
  Ledger ledger(100);
  {
    Reservation a(ledger, MemoryLine::cache, 60, "a");
    Reservation b = std::move(a);
    Reservation c(ledger, MemoryLine::cache, 40, "c");
    c = std::move(b);
    EXPECT_EQ(ledger.total(), 100);
    EXPECT_THROW(Reservation(ledger, MemoryLine::cache, 1, "d"), Error);
  }
  EXPECT_EQ(ledger.total(), 0);
}

TEST(Ledger, IsThreadSafe) {
  Ledger ledger(1000);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 1000; ++i) Reservation r(ledger, MemoryLine::kv, 250, "quarter");
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(ledger.total(), 0);
}

TEST(LedgerDeathTest, GivingBackTooMuchIsABug) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  EXPECT_DEATH(Ledger(10).release(MemoryLine::kv, 1), "more memory given back");
}

TEST(FormatBytes, ReadsWell) {
  EXPECT_EQ(format_bytes(0), "0 B");
  EXPECT_EQ(format_bytes(1023), "1023 B");
  EXPECT_EQ(format_bytes(1536), "1.5 KiB");
  EXPECT_EQ(format_bytes(2LL << 30), "2 GiB");
}

}  // namespace
}  // namespace autoglm
