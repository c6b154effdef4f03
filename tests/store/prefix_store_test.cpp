// The prefix cache on disk: what was written comes back, whatever happened to the files and the process in between, or
// is not there.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <condition_variable>
#include <fstream>
#include <map>
#include <random>
#include <set>

#include "base/error.h"
#include "store/prefix_store.h"
#include "support/full_disk.h"
#include "support/temporary_folder.h"

namespace autoglm {
namespace {

namespace fs = std::filesystem;
using std::chrono::microseconds;

constexpr int64_t kBlockBytes = 1000;  // no multiple of 64

Hash128 key_of(uint64_t n) { return {.low = n * 0x9e3779b97f4a7c15U, .high = n}; }

BlockRecord record_of(uint64_t n) {
  BlockRecord record{.key = key_of(n), .before = key_of(n - 1)};
  for (size_t i = 0; i < record.tokens.size(); ++i) record.tokens[i] = static_cast<int32_t>(n * 16 + i);
  return record;
}

void fill(uint64_t n, std::span<std::byte> out) {
  std::minstd_rand random(static_cast<uint32_t>(n * 7919 + 1));
  for (std::byte& byte : out) byte = static_cast<std::byte>(random() >> 8);
}

/// A store whose block number n holds what fill(n) says.
class Opened {
 public:
  explicit Opened(const fs::path& folder, PrefixStoreOptions options = {}, Hash128 identity = {.low = 1, .high = 2},
                  int64_t block_bytes = kBlockBytes, Ledger* ledger = nullptr) {
    options.folder = folder;
    if (options.max_bytes == 0) options.max_bytes = int64_t{64} << 20;
    options.say = [this](const std::string& text) {
      const std::scoped_lock lock(mutex_);
      said_.push_back(text);
    };
    if (!options.free_bytes) options.free_bytes = [] { return int64_t{1} << 40; };
    store = std::make_unique<PrefixStore>(std::move(options));
    if (ledger != nullptr) store->book_in(*ledger);
    store->attach({.identity = identity,
                   .block_bytes = block_bytes,
                   .label = "a model",
                   .copy = [](int32_t block, std::span<std::byte> out) { fill(static_cast<uint64_t>(block), out); }});
  }
  void keep(uint64_t n) const { store->keep(static_cast<int32_t>(n), record_of(n)); }
  void keep(uint64_t first, uint64_t last) const {
    for (uint64_t n = first; n < last; ++n) keep(n);
    store->flush();
    for (uint64_t n = first; n < last; ++n) store->forget(static_cast<int32_t>(n));
  }
  /// How many of these come back before the end; each that does is checked to the byte.
  int64_t fetch(const std::vector<uint64_t>& numbers) {
    std::vector<Hash128> keys;
    for (const uint64_t n : numbers) keys.push_back(key_of(n));
    store->fetch(++ticket_, keys);
    int64_t got = 0;
    std::vector<std::byte> expected(kBlockBytes);
    while (true) {
      const std::optional<FetchedBlock> block = store->next();
      if (!block) {
        store->wait(microseconds(10000));
        continue;
      }
      EXPECT_EQ(block->ticket, ticket_);
      if (block->end) return got;
      EXPECT_EQ(block->index, got);
      const uint64_t n = numbers.at(static_cast<size_t>(got++));
      fill(n, expected);
      EXPECT_TRUE(std::ranges::equal(block->bytes, expected)) << "block " << n;
      EXPECT_EQ(block->record, record_of(n));
      store->give_back(*block);
    }
  }
  int64_t fetch(uint64_t first, uint64_t last) {
    std::vector<uint64_t> numbers;
    for (uint64_t n = first; n < last; ++n) numbers.push_back(n);
    return fetch(numbers);
  }
  std::vector<std::string> said() const {
    const std::scoped_lock lock(mutex_);
    return said_;
  }

  std::unique_ptr<PrefixStore> store;

 private:
  mutable std::mutex mutex_;
  std::vector<std::string> said_;
  int64_t ticket_ = 0;
};

fs::path only_segment(const fs::path& folder) {
  const auto segments = segments_in(folder);
  EXPECT_EQ(segments.size(), 1u);
  return segments.front().first;
}

void flip_byte(const fs::path& path, int64_t at) {
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  file.seekg(at);
  const auto byte = static_cast<char>(file.get());
  file.seekp(at);
  file.put(static_cast<char>(byte ^ 0x10));
}

class PrefixStoreTest : public testing::Test {
 protected:
  test::TemporaryFolder root_;
  fs::path folder_ = root_ / "prefix";
};

TEST_F(PrefixStoreTest, WhatWasKeptComesBack) {
  Opened opened(folder_);
  opened.keep(1, 100);
  EXPECT_EQ(opened.fetch(1, 100), 99);
  EXPECT_EQ(opened.fetch(50, 60), 10);
  EXPECT_EQ(opened.fetch({3, 4, 500, 5}), 2) << "nothing comes after the first that is not there";
  EXPECT_EQ(opened.fetch({}), 0);
  EXPECT_TRUE(opened.store->may_have(key_of(7)));
  EXPECT_FALSE(opened.store->may_have(key_of(700)));
  const BlockCacheStats stats = opened.store->stats();
  EXPECT_EQ(stats.written_blocks, 99);
  EXPECT_EQ(stats.known_blocks, 99);
  EXPECT_EQ(stats.damaged_blocks, 0);
  EXPECT_TRUE(opened.said().empty());
}

TEST_F(PrefixStoreTest, AndAfterARestart) {
  {
    Opened(folder_).keep(1, 20);
  }
  {
    Opened second(folder_);
    EXPECT_EQ(second.fetch(1, 20), 19);
    second.keep(10, 40);
    EXPECT_EQ(second.store->stats().written_blocks, 20) << "what is there is not written again";
  }
  Opened third(folder_);
  EXPECT_EQ(third.fetch(1, 40), 39);
  EXPECT_EQ(segments_in(folder_).size(), 1u) << "a segment that nobody appends to is gone on with";
}

TEST_F(PrefixStoreTest, IsSeenByNobodyElse) {
  Opened opened(folder_);
  opened.keep(1, 3);
  struct stat status{};
  ASSERT_EQ(::stat(folder_.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0700u);
  int files = 0;
  for (const auto& entry : fs::directory_iterator(folder_)) {
    ASSERT_EQ(::stat(entry.path().c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 0777, 0600u) << entry.path();
    ++files;
  }
  EXPECT_GE(files, 2);
}

TEST_F(PrefixStoreTest, AnotherModelsBlocksAreNotThere) {
  {
    Opened(folder_).keep(1, 10);
  }
  Opened other(folder_, {}, {.low = 1, .high = 3});
  EXPECT_EQ(other.fetch(1, 10), 0);
  EXPECT_EQ(other.store->stats().known_blocks, 0);
  Opened larger(folder_, {}, {.low = 1, .high = 2}, kBlockBytes + 64);
  EXPECT_EQ(larger.fetch(1, 10), 0);
  Opened same(folder_);
  EXPECT_EQ(same.fetch(1, 10), 9);
}

TEST_F(PrefixStoreTest, WithoutItsIndexItIsFoundInTheSegments) {
  {
    Opened(folder_).keep(1, 30);
  }
  for (const char* name : {"index.sqlite", "index.sqlite-wal", "index.sqlite-shm"}) fs::remove(folder_ / name);
  {
    EXPECT_EQ(Opened(folder_).fetch(1, 30), 29);
  }
  std::ofstream(folder_ / "index.sqlite")
      << "no database at all, but longer than a header of one would be. " << std::string(4096, 'x');
  {
    EXPECT_EQ(Opened(folder_).fetch(1, 30), 29);
  }
  // The rebuilt index is one that the next start reads.
  PrefixIndex index(folder_ / "index.sqlite");
  EXPECT_EQ(index.keys(only_segment(folder_).filename().string()).size(), 29u);
}

TEST_F(PrefixStoreTest, AnIndexOfAnotherVersionIsMadeAnew) {
  {
    Opened(folder_).keep(1, 5);
  }
  {
    // The version is the four bytes at 60 of SQLite's header, which a checkpoint has brought into the file.
    std::fstream file(folder_ / "index.sqlite", std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(63);
    file.put(77);
  }
  Opened opened(folder_);
  EXPECT_EQ(opened.fetch(1, 5), 4);
  opened.keep(5, 9);
  EXPECT_EQ(opened.fetch(1, 9), 8);
}

TEST_F(PrefixStoreTest, AnIndexThatLiesIsNotBelieved) {
  {
    Opened(folder_).keep(1, 10);
  }
  const std::string name = only_segment(folder_).filename().string();
  {
    PrefixIndex index(folder_ / "index.sqlite");
    index.begin();
    const std::vector<Hash128> wrong = {key_of(5), key_of(999), key_of(6)};
    index.add(name, 0, wrong);
    const std::vector<Hash128> beyond(50, key_of(1000));
    index.add(name, 9, beyond);
    index.add("no-such-file.kv", 0, wrong);
    index.commit();
  }
  Opened opened(folder_);
  EXPECT_EQ(opened.fetch({999}), 0);
  EXPECT_EQ(opened.fetch({1000}), 0);
  EXPECT_EQ(opened.fetch({4, 7, 8}), 3) << "what it is right about";
  EXPECT_GE(opened.store->stats().damaged_blocks, 1);
}

TEST_F(PrefixStoreTest, ACutSegmentKeepsWhatIsWhole) {
  const int64_t stride = record_stride(kBlockBytes);
  for (const int64_t left : {int64_t{0}, int64_t{100}, kSegmentHeaderBytes, kSegmentHeaderBytes + 4 * stride - 1,
                             kSegmentHeaderBytes + 4 * stride, kSegmentHeaderBytes + 4 * stride + 130}) {
    {
      Opened(folder_).keep(1, 10);
    }
    fs::resize_file(only_segment(folder_), static_cast<uintmax_t>(left));
    const int64_t whole = std::max<int64_t>(0, left - kSegmentHeaderBytes) / stride;
    {
      Opened opened(folder_);
      EXPECT_EQ(opened.fetch(1, 10), whole) << left;
      opened.keep(1, 10);  // what is lacking is written again, behind what is whole
      EXPECT_EQ(opened.fetch(1, 10), 9) << left;
    }
    {
      EXPECT_EQ(Opened(folder_).fetch(1, 10), 9) << left;
    }
    fs::remove_all(folder_);
  }
}

TEST_F(PrefixStoreTest, AChangedByteIsAMiss) {
  {
    Opened(folder_).keep(1, 6);
  }
  const fs::path segment = only_segment(folder_);
  const int64_t stride = record_stride(kBlockBytes);
  const auto size = static_cast<int64_t>(fs::file_size(segment));
  const fs::path whole = root_ / "whole";
  fs::copy(folder_, whole);
  std::minstd_rand random(5);
  for (int i = 0; i < 120; ++i) {
    // Every byte of the headers' fields in turn, then any.
    const int64_t at = i < 60 ? kSegmentHeaderBytes + 2 * stride + 2 * i : static_cast<int64_t>(random()) % size;
    flip_byte(segment, at);
    const int64_t record = at < kSegmentHeaderBytes ? 0 : (at - kSegmentHeaderBytes) / stride;
    const bool padding =
        at >= kSegmentHeaderBytes && (at - kSegmentHeaderBytes) % stride >= kRecordHeaderBytes + kBlockBytes;
    if (i % 2 == 0) PrefixIndex::remove_files(folder_ / "index.sqlite");
    {
      // Only to be read: nothing repairs the file.
      Opened opened(folder_, {.before_write = [] { FAIL() << "nothing was kept"; }});
      const int64_t got = opened.fetch(1, 6);
      EXPECT_EQ(got, padding ? 5 : record) << at;
    }
    fs::remove_all(folder_);
    fs::copy(whole, folder_);
  }
}

TEST_F(PrefixStoreTest, ASegmentThatIsGoneIsAMiss) {
  {
    Opened(folder_).keep(1, 10);
  }
  fs::remove(only_segment(folder_));
  Opened opened(folder_);
  EXPECT_EQ(opened.fetch(1, 10), 0);
  opened.keep(1, 10);
  EXPECT_EQ(opened.fetch(1, 10), 9);
}

TEST_F(PrefixStoreTest, StrangeFilesAreLeftAlone) {
  fs::create_directories(folder_ / "folder.kv");
  std::ofstream(folder_ / "empty.kv").close();
  fs::create_symlink("/dev/zero", folder_ / "link.kv");
  ASSERT_EQ(::mkfifo((folder_ / "pipe.kv").c_str(), 0600), 0);
  Opened opened(folder_);
  opened.keep(1, 10);
  EXPECT_EQ(opened.fetch(1, 10), 9);
  EXPECT_TRUE(opened.said().empty());
}

TEST_F(PrefixStoreTest, AFolderThatCannotBeWrittenIsSaidOnce) {
  const fs::path file = root_.write("file", "x");
  Opened opened(file / "prefix");
  opened.keep(1, 5);
  opened.keep(5, 9);
  EXPECT_EQ(opened.fetch(1, 5), 0);
  ASSERT_EQ(opened.said().size(), 1u);
  EXPECT_NE(opened.said()[0].find("prefix"), std::string::npos) << opened.said()[0];
}

TEST_F(PrefixStoreTest, AFullDiskIsSaidOnceAndWhatIsThereIsRead) {
  {
    Opened(folder_).keep(1, 10);
  }
  {
    Opened opened(folder_, {.max_bytes = 64 * 2 * record_stride(kBlockBytes), .free_bytes = [] { return int64_t{0}; }});
    EXPECT_EQ(opened.fetch(1, 10), 9);
    opened.keep(20, 60);  // needs a new segment
    EXPECT_EQ(opened.said().size(), 1u);
    opened.keep(60, 80);
    EXPECT_EQ(opened.said().size(), 1u);
  }
  // A write that fails in the middle of a record.
  fs::remove_all(folder_);
  Opened opened(folder_);
  opened.keep(1, 3);
  rlimit limit{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &limit), 0);
  const rlimit low{.rlim_cur = static_cast<rlim_t>(kSegmentHeaderBytes + 3 * record_stride(kBlockBytes) - 200),
                   .rlim_max = limit.rlim_max};
  const auto before = ::signal(SIGXFSZ, SIG_IGN);
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &low), 0);
  opened.keep(3, 6);
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &limit), 0);
  ::signal(SIGXFSZ, before);
  EXPECT_EQ(opened.said().size(), 1u);
  EXPECT_EQ(opened.fetch(1, 6), 2);
}

TEST_F(PrefixStoreTest, ADiskWithoutAByteLeft) {
  constexpr int64_t kDisk = 400 << 10;  // the index has some of it
  EXPECT_TRUE(test::on_a_small_disk(folder_, kDisk, [&] {
    int64_t written = 0;
    {
      Opened opened(folder_);
      opened.keep(1, 1000);  // more than twice of what there is room for
      EXPECT_EQ(opened.said().size(), 1u);
      EXPECT_NE(opened.said().at(0).find("No space left"), std::string::npos) << opened.said().at(0);
      written = opened.store->stats().written_blocks;
      EXPECT_GT(written, 20);
      EXPECT_LT(written, 500);
      EXPECT_EQ(opened.fetch(1, 1000), written) << "what is there is read";
      opened.keep(1000, 1010);
      EXPECT_EQ(opened.said().size(), 1u);
    }
    Opened again(folder_);
    EXPECT_EQ(again.fetch(1, 1000), written) << "in the next process, too";
    return true;
  }));
}

// "disk writer (warns, goes on without)".
TEST_F(PrefixStoreTest, AnExceptionInEitherThreadIsAMiss) {
  std::atomic<bool> fail_reading = false;
  Opened opened(folder_, {.before_write =
                              [written = 0]() mutable {
                                if (++written == 4) throw std::runtime_error("the disk is on fire");
                              },
                          .before_read =
                              [&] {
                                if (fail_reading) throw std::runtime_error("the disk is on fire");
                              }});
  opened.keep(1, 10);
  EXPECT_EQ(opened.fetch(1, 10), 3);
  ASSERT_EQ(opened.said().size(), 1u);
  EXPECT_NE(opened.said()[0].find("on fire"), std::string::npos);
  fail_reading = true;
  EXPECT_EQ(opened.fetch(1, 10), 0);
}

TEST_F(PrefixStoreTest, TheLeastRecentlyUsedSegmentsGo) {
  const int64_t stride = record_stride(kBlockBytes);
  const PrefixStoreOptions options = {.max_bytes = 64 * (kSegmentHeaderBytes + 2 * stride)};  // 64 segments of 2 blocks
  Opened opened(folder_, options);
  for (uint64_t n = 1; n <= 400; n += 2) {
    opened.keep(n, n + 2);
    EXPECT_EQ(opened.fetch(1, 3), 2) << "used all the time";
    const std::vector<Hash128> touched = {key_of(3), key_of(4)};
    if (n > 4) opened.store->touch(touched);
    opened.store->flush();
    int64_t total = 0;
    for (const auto& [path, bytes] : segments_in(folder_)) total += bytes;
    ASSERT_LE(total, options.max_bytes);
  }
  EXPECT_EQ(opened.fetch(3, 5), 2) << "of use in memory";
  EXPECT_EQ(opened.fetch(5, 7), 0);
  EXPECT_EQ(opened.fetch(399, 401), 2);
  EXPECT_GE(opened.store->stats().known_blocks, 120);
  EXPECT_GE(opened.store->stats().evicted_segments, 130);
  opened.store.reset();

  // Another model's segments make room, too, and a lower limit is kept.
  const PrefixStoreOptions lower = {.max_bytes = 32 * (kSegmentHeaderBytes + 2 * stride)};
  Opened other(folder_, lower, {.low = 9, .high = 9});
  other.keep(1, 31);
  int64_t total = 0;
  for (const auto& [path, bytes] : segments_in(folder_)) total += bytes;
  EXPECT_LE(total, lower.max_bytes);
  EXPECT_EQ(other.fetch(1, 31), 30);
}

TEST_F(PrefixStoreTest, NothingIsKeptBelowOneBlock) {
  Opened opened(folder_, {.max_bytes = 500});
  opened.keep(1, 3);
  EXPECT_EQ(opened.said().size(), 1u);
  EXPECT_EQ(opened.fetch(1, 3), 0);
}

TEST_F(PrefixStoreTest, MemoryIsBooked) {
  Ledger ledger(0);
  {
    Opened opened(folder_, {.max_bytes = 1 << 20}, {.low = 1, .high = 2}, kBlockBytes, &ledger);
    EXPECT_EQ(ledger.used(MemoryLine::cache), PrefixStore::bytes_for(kBlockBytes, 1 << 20));
    opened.store->detach();
    EXPECT_EQ(ledger.used(MemoryLine::cache), 0) << "the ledger may go before the store does";
  }
  EXPECT_EQ(ledger.used(MemoryLine::cache), 0);
  Ledger full(1000);
  Opened opened(folder_, {}, {.low = 1, .high = 2}, kBlockBytes, &full);
  EXPECT_EQ(opened.said().size(), 1u);
  opened.keep(1);
  EXPECT_EQ(opened.fetch(1, 2), 0) << "goes on without";
}

/// Lets the writer (or reader) go one block at a time.
class Gate {
 public:
  void pass() {
    std::unique_lock lock(mutex_);
    ++arrived_;
    changed_.notify_all();
    changed_.wait(lock, [&] { return open_ > 0; });
    --open_;
  }
  void open(int count) {
    const std::scoped_lock lock(mutex_);
    open_ += count;
    changed_.notify_all();
  }
  void await(int arrivals) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return arrived_ >= arrivals; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int arrived_ = 0;
  int open_ = 0;
};

TEST_F(PrefixStoreTest, WhoeverCallsDoesNotWaitForTheDisk) {
  Gate writing, reading;
  Opened opened(folder_, {.before_write = [&] { writing.pass(); }, .before_read = [&] { reading.pass(); }});
  for (uint64_t n = 1; n <= 50; ++n) opened.keep(n);
  writing.await(1);  // and there it stays
  for (uint64_t n = 2; n <= 50; ++n) opened.store->forget(static_cast<int32_t>(n));
  opened.store->forget(1);  // copied already
  EXPECT_EQ(opened.store->stats().dropped_blocks, 49);
  EXPECT_EQ(opened.store->next(), std::nullopt) << "nothing was asked for";
  for (uint64_t n = 51; n <= 60; ++n) opened.keep(n);
  writing.open(1000);
  opened.store->flush();
  EXPECT_EQ(opened.store->stats().written_blocks, 11);

  const std::vector<Hash128> keys = {key_of(51), key_of(52), key_of(53)};
  opened.store->fetch(1000, keys);
  reading.await(1);
  EXPECT_EQ(opened.store->next(), std::nullopt);
  opened.store->wait(microseconds(100));
  opened.store->cancel(1000);
  reading.open(1000);
  EXPECT_EQ(opened.fetch(51, 61), 10) << "nothing of the cancelled one comes";
}

TEST_F(PrefixStoreTest, ReadsNoMoreAheadThanItHasBuffers) {
  Opened opened(folder_);
  opened.keep(1, 200);
  std::vector<Hash128> keys;
  for (uint64_t n = 1; n < 200; ++n) keys.push_back(key_of(n));
  opened.store->fetch(7, keys);
  std::vector<FetchedBlock> held;
  while (std::ssize(held) < opened.store->buffers()) {
    if (const auto block = opened.store->next()) held.push_back(*block);
  }
  opened.store->wait(microseconds(20000));
  EXPECT_EQ(opened.store->next(), std::nullopt);
  std::set<const std::byte*> places;
  for (const FetchedBlock& block : held) places.insert(block.bytes.data());
  EXPECT_EQ(std::ssize(places), opened.store->buffers());
  opened.store->cancel(7);
  for (const FetchedBlock& block : held) opened.store->give_back(block);
  EXPECT_EQ(opened.fetch(1, 200), 199);
}

TEST_F(PrefixStoreTest, WhatWaitsIsWrittenAtTheEndForAWhile) {
  {
    Opened opened(folder_);
    for (uint64_t n = 1; n < 300; ++n) opened.keep(n);
    opened.store->detach();
    opened.keep(500);  // without effect
    EXPECT_FALSE(opened.store->may_have(key_of(1)));
    EXPECT_EQ(opened.fetch(1, 2), 0);
  }
  {
    EXPECT_EQ(Opened(folder_).fetch(1, 300), 299);
  }
  Opened hurried(folder_, {.drain = std::chrono::milliseconds(0)}, {.low = 4, .high = 4});
  for (uint64_t n = 1; n < 300; ++n) hurried.keep(n);
  hurried.store->detach();
  EXPECT_GT(hurried.store->stats().dropped_blocks, 0);
}

// ---- Several processes

/// Runs `work` in a process of its own, which ends by _exit.
pid_t in_child(const std::function<void()>& work) {
  const pid_t child = ::fork();
  if (child == 0) {
    work();
    ::_exit(testing::Test::HasFailure() ? 1 : 0);
  }
  return child;
}

int end_of(pid_t child) {
  int status = 0;
  ::waitpid(child, &status, 0);
  return status;
}

TEST_F(PrefixStoreTest, SurvivesKillsAtAnyMoment) {
  std::minstd_rand random(11);
  uint64_t promised = 1;  // all below were flushed by somebody
  for (int round = 0; round < 25; ++round) {
    int pipe[2];
    ASSERT_EQ(::pipe(pipe), 0);
    const pid_t child = in_child([&] {
      ::close(pipe[0]);
      const int64_t stride = record_stride(kBlockBytes);
      Opened opened(folder_, {.max_bytes = 64 * (kSegmentHeaderBytes + 50 * stride)});
      EXPECT_EQ(opened.fetch(1, promised), static_cast<int64_t>(promised - 1)) << "what was written before";
      for (uint64_t n = promised; n < 3000; ++n) {
        opened.keep(n);
        if (n % 7 != 0) continue;
        opened.store->flush();
        if (::write(pipe[1], &n, sizeof n) != sizeof n) return;
      }
    });
    ::close(pipe[1]);
    const auto reports = random() % 20;
    uint64_t flushed = 0;
    for (uint64_t i = 0; i < reports && ::read(pipe[0], &flushed, sizeof flushed) == sizeof flushed; ++i) {
    }
    ::usleep(random() % 3000);
    ::kill(child, SIGKILL);
    const int status = end_of(child);
    ASSERT_TRUE(WIFSIGNALED(status) || WEXITSTATUS(status) == 0) << "in round " << round;
    while (::read(pipe[0], &flushed, sizeof flushed) == sizeof flushed) {
    }
    ::close(pipe[0]);
    if (flushed > 0) promised = flushed + 1;
  }
  EXPECT_GT(promised, 100u);
  Opened opened(folder_);
  EXPECT_GE(opened.fetch(1, 3000), static_cast<int64_t>(promised - 1));
  EXPECT_EQ(opened.store->stats().damaged_blocks, 0);
}

TEST_F(PrefixStoreTest, ProcessesShareAFolder) {
  std::vector<pid_t> children;
  for (uint64_t i = 0; i < 4; ++i) {
    children.push_back(in_child([&, i] {
      // Two of them write the same blocks.
      Opened opened(folder_);
      for (uint64_t n = 1; n < 200; ++n) opened.keep(i / 2 * 1000 + n);
      opened.store->flush();
      EXPECT_EQ(opened.fetch(i / 2 * 1000 + 1, i / 2 * 1000 + 200), 199);
      EXPECT_TRUE(opened.said().empty());
    }));
  }
  for (const pid_t child : children) EXPECT_EQ(end_of(child), 0);
  Opened opened(folder_);
  EXPECT_EQ(opened.fetch(1, 200), 199);
  EXPECT_EQ(opened.fetch(1001, 1200), 199);
  EXPECT_LE(segments_in(folder_).size(), 4u);
}

TEST_F(PrefixStoreTest, ASegmentInUseIsNobodyElses) {
  const PrefixStoreOptions options = {.max_bytes = 64 * (kSegmentHeaderBytes + 4 * record_stride(kBlockBytes))};
  Opened first(folder_, options);
  first.keep(1, 3);
  const fs::path segment = only_segment(folder_);
  EXPECT_FALSE(remove_segment(segment));
  Opened second(folder_, options, {.low = 5, .high = 5});
  second.keep(1, 600);  // more than the limit, again and again
  EXPECT_TRUE(fs::exists(segment));
  first.keep(3, 5);
  EXPECT_EQ(first.fetch(1, 5), 4);
  first.store.reset();
  EXPECT_TRUE(remove_segment(segment));
}

// ---- Any order of anything, against a map

TEST_F(PrefixStoreTest, RandomOperationsAgreeWithAMap) {
  const int64_t stride = record_stride(kBlockBytes);
  for (uint32_t seed = 1; seed <= 12; ++seed) {
    std::minstd_rand random(seed);
    fs::remove_all(folder_);
    const bool roomy = seed % 2 == 0;  // nothing is ever evicted
    const PrefixStoreOptions options = {.max_bytes = 64 * (kSegmentHeaderBytes + (roomy ? 40 : 2) * stride)};
    auto opened = std::make_unique<Opened>(folder_, options);
    std::set<uint64_t> written, waiting;
    for (int i = 0; i < 600; ++i) {
      const uint64_t n = 1 + random() % 300;
      switch (random() % 12) {
        case 0:
        case 1:
        case 2:
        case 3:
        case 4:
          if (waiting.insert(n).second) opened->keep(n);
          break;
        case 5:
          if (waiting.erase(n) > 0) opened->store->forget(static_cast<int32_t>(n));  // written or dropped
          break;
        case 6:
          opened->store->flush();
          written.insert(waiting.begin(), waiting.end());
          for (const uint64_t block : waiting) opened->store->forget(static_cast<int32_t>(block));
          waiting.clear();
          break;
        case 7: {
          const std::vector<Hash128> keys = {key_of(n), key_of(n + 1)};
          opened->store->touch(keys);
          break;
        }
        case 8:
          if (i % 5 == 0) {  // a restart: what waited is written
            opened = nullptr;
            opened = std::make_unique<Opened>(folder_, options);
            written.insert(waiting.begin(), waiting.end());
            waiting.clear();
          }
          break;
        default: {
          const int64_t got = opened->fetch(n, n + 4);  // checks content
          for (uint64_t m = n; m < n + 4 && roomy; ++m) {
            if (!written.contains(m)) break;
            EXPECT_GT(got, static_cast<int64_t>(m - n)) << "block " << m << " of seed " << seed;
          }
        }
      }
    }
    EXPECT_EQ(opened->store->stats().damaged_blocks, 0);
  }
}

}  // namespace
}  // namespace autoglm
