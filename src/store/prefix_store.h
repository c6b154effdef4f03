// The prefix cache on disk: KV blocks in segments (segment_file.h), found by an index (prefix_index.h).
//
// Threads: one writes, one reads; whoever calls never waits for a disk. Blocks wait to be written as numbers, and are
// copied when their turn comes, so that waiting costs no memory. Nothing is brought to the disk by force: what a killed
// process has written the system still has, and after a loss of power what is not whole is a miss.
//
// Several processes may share a folder. Each appends to a segment of its own, under a lock; what others write is seen
// at the next start. When the limit is reached whole segments go, of any model, the least recently used first.
#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "base/ledger.h"
#include "format/block_cache.h"
#include "store/prefix_index.h"
#include "store/segment_file.h"

namespace autoglm {

struct PrefixStoreOptions {
  std::filesystem::path folder{};                 // made when first needed
  int64_t max_bytes = 0;                          // of all segments; 0: a twentieth of the disk, 16 GiB at most
  std::chrono::milliseconds drain{2000};          // for what still waits to be written at the end
  std::function<void(const std::string&)> say{};  // a sentence for the user; called by any thread
  std::function<int64_t()> free_bytes{};          // of the disk, in place of asking it (tests)
  std::function<void()> before_write{};           // on the writing thread, before each block (tests)
  std::function<void()> before_read{};            // on the reading thread, before each block (tests)
};

class PrefixStore final : public BlockCache {
 public:
  /// Starts its threads: to be made before the calling thread is pinned. Touches no disk.
  explicit PrefixStore(PrefixStoreOptions options);
  ~PrefixStore() override;
  PrefixStore(const PrefixStore&) = delete;
  PrefixStore& operator=(const PrefixStore&) = delete;

  /// Where buffers and keys are booked from attach() on; outlives the store.
  void book_in(Ledger& ledger) { ledger_ = &ledger; }
  void attach(BlockOwner owner) override;
  void detach() override;
  void keep(int32_t block, const BlockRecord& record) override;
  void forget(int32_t block) override;
  void touch(std::span<const Hash128> keys) override;
  bool may_have(const Hash128& key) const override;
  void fetch(int64_t ticket, std::vector<Hash128> keys) override;
  void cancel(int64_t ticket) override;
  std::optional<FetchedBlock> next() override;
  void give_back(const FetchedBlock& block) override;
  void wait(std::chrono::microseconds longest) override;
  int64_t buffers() const override;
  BlockCacheStats stats() const override;

  /// Waits until everything that was kept is written.
  void flush();
  /// Memory for blocks of this size: buffers, and the keys of as many as the disk may hold.
  static int64_t bytes_for(int64_t block_bytes, int64_t max_bytes);
  /// The limit that holds for a folder where none is given.
  static int64_t automatic_max_bytes(const std::filesystem::path& folder);

 private:
  struct Hash {
    size_t operator()(const Hash128& key) const { return key.low; }
  };
  struct Segment {
    std::shared_ptr<SegmentFile> file;
    std::vector<Hash128> keys;  // of its records, from the first on
  };
  struct Place {
    int32_t segment = 0;
    int32_t record = 0;
  };
  struct Write {
    int32_t block = 0;
    BlockRecord record;
  };
  struct Fetch {
    int64_t ticket = 0;
    std::vector<Hash128> keys;
    size_t next = 0;
  };
  using Lock = std::unique_lock<std::mutex>;

  // The writing thread.
  void write_all();
  void load();
  void load_segment(const std::filesystem::path& path);
  void open_index();
  void write(Lock& lock);
  void append(const BlockRecord& record);
  void next_segment();
  void make_room(int64_t bytes);
  void drop(const std::string& name);
  void save();
  void give_up(const std::string& why);

  // The reading thread.
  void read_all();
  void read_one(Lock& lock);

  /// Everything that was kept is written, and the index knows of it.
  bool at_rest() const { return pending_.empty() && !to_save() && !working_; }
  bool to_save() const { return !unsaved_.empty() || !used_.empty() || !damaged_.empty(); }
  int64_t segment_records() const;
  void say(const std::string& text) const;

  const PrefixStoreOptions options_;
  BlockOwner owner_;
  int64_t max_bytes_ = 0;
  int64_t stride_ = 0;
  int64_t most_blocks_ = 0;  // whose keys are held
  Ledger* ledger_ = nullptr;
  Reservation memory_;

  mutable std::mutex mutex_;
  std::condition_variable write_wanted_, read_wanted_, ready_changed_, written_;
  bool attached_ = false;
  bool loaded_ = false;
  bool writable_ = false;
  bool stopping_ = false;
  std::chrono::steady_clock::time_point last_moment_;  // to write, once stopping
  std::unordered_map<Hash128, Place, Hash> places_;
  std::map<int32_t, Segment> segments_;  // changed by the writing thread alone, which reads it without the lock
  std::vector<Place> damaged_;           // records that are not what was written, since then
  std::set<int32_t> used_;               // segments, since the index was told
  std::map<uint64_t, Write> pending_;    // in the order they came
  std::unordered_map<int32_t, uint64_t> waiting_;  // where a block waits in pending_
  uint64_t next_pending_ = 0;
  int32_t copying_ = -1;  // block
  bool working_ = false;  // the writing thread, without the lock
  std::deque<Fetch> fetches_;
  std::deque<FetchedBlock> ready_;
  std::vector<int> free_slots_;
  BlockCacheStats stats_;

  std::map<int32_t, int64_t> unsaved_;  // segments with the number of records that the index knows

  // The writing thread's own.
  std::unique_ptr<PrefixIndex> index_;
  int32_t current_ = -1;  // the segment that is appended to
  int32_t next_segment_ = 0;
  std::vector<std::byte> staging_;

  std::vector<std::byte> slots_;  // the reading thread fills them, whoever calls reads them

  std::thread writer_, reader_;  // last: they use all that stands above
};

}  // namespace autoglm
