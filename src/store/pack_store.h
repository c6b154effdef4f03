// Packs on disk: which file belongs to which weights, written whole or not at all, never more than the limit.
//
// A pack is NAME-of-its-key and the model's name in CACHE/packs. The key is made of the layout with its version, the
// precision, and of device, inode, size, time of change and header of each source file: a source that is replaced or
// touched has another pack, one that is moved keeps its own. Nothing here is ever written in place: a pack is a hidden
// file until it is complete and on the disk, then renamed. Its access time says when it was last used (the least
// recently used goes first), its modification time when its source was last checked.
//
// The whole source is hashed when a pack is written, and again in the background by a program that runs for a while,
// at most once a week a pack: every byte of a pack is checked at each start, so what is left to find is a source that
// changed behind the same size and time.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <filesystem>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "format/pack_cache.h"

namespace autoglm {

struct PackStoreOptions {
  std::filesystem::path folder;                     // made when first written to
  int64_t max_bytes = 0;                            // of all packs; 0: a tenth of the disk that they lie on
  int64_t min_bytes = int64_t{1} << 20;             // what is packed quicker than read is not kept
  std::chrono::seconds check_after{7 * 24 * 3600};  // since the source was last checked
  std::chrono::milliseconds check_delay{3000};      // after the start, which the check must not slow down
  std::function<void(const std::string&)> say;      // a sentence for the user; called by any thread
  std::function<bool()> interrupted;                // Ctrl-C: what is being written is given up
  std::function<int64_t()> free_bytes;              // of the disk, in place of asking it (tests)
  std::function<void(const std::filesystem::path&)> before_rename;  // tests
};

/// Writes on a thread of its own at low priority, which is started at construction: before threads are pinned.
class PackStore final : public PackCache {
 public:
  explicit PackStore(PackStoreOptions options);
  /// Waits for a pack that is being written (unless interrupted), gives up a check.
  ~PackStore() override;
  PackStore(const PackStore&) = delete;
  PackStore& operator=(const PackStore&) = delete;

  std::unique_ptr<PackFile> find(const PackHeader& wanted) override;
  void reject(const PackHeader& wanted) override;
  void keep(const PackHeader& header, std::span<const std::byte> data, std::shared_ptr<const void> owner) override;

  /// Waits until nothing is being written.
  void finish();

 private:
  struct Write {
    PackHeader header;
    std::filesystem::path path;
    std::span<const std::byte> data;
    std::shared_ptr<const void> owner;
  };
  struct Check {
    PackHeader header;
    std::filesystem::path path;
  };

  void work();
  void write(Write& task);
  void check(const Check& task);
  void remove_outdated(const PackHeader& current, const std::filesystem::path& keep) const;
  bool make_room(int64_t bytes) const;
  std::filesystem::path place_of(const PackHeader& header) const;
  std::filesystem::path existing(const PackHeader& header) const;
  void say(const std::string& text) const;

  const PackStoreOptions options_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Write> writes_;
  std::optional<Check> check_;
  bool writing_ = false;
  std::atomic<bool> stopping_ = false;
  std::thread checker_;  // started by thread_
  std::thread thread_;   // last: it uses all that stands above
};

}  // namespace autoglm
