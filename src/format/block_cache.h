// Where KV blocks are kept between runs, as the engine sees it. `store` knows folders and disks.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "format/kv_segment.h"

namespace autoglm {

/// Whose blocks they are.
struct BlockOwner {
  Hash128 identity;  // models whose blocks differ for the same tokens have different ones
  int64_t block_bytes = 0;
  std::string label;  // the model's name, for people
  /// Copies a full block's bytes, block_bytes of them. Called on a thread of the cache, while others compute.
  std::function<void(int32_t block, std::span<std::byte> out)> copy;
};

/// A block that was on disk, whole and checked; or the end of what a fetch brings.
struct FetchedBlock {
  int64_t ticket = 0;
  bool end = false;
  int64_t index = 0;  // in the fetch's keys
  BlockRecord record;
  std::span<const std::byte> bytes;  // valid until give_back()
  int slot = -1;
};

struct BlockCacheStats {
  int64_t known_blocks = 0;  // on disk, of this model
  int64_t written_blocks = 0;
  int64_t read_blocks = 0;
  int64_t damaged_blocks = 0;    // read, and not what was written
  int64_t dropped_blocks = 0;    // gone from memory before they were written
  int64_t evicted_segments = 0;  // files that went to make room
};

/// Nothing here throws or waits for what a disk does: what cannot be read is not there, what cannot be written is not
/// kept, and the user is told once. Called by one thread; the work is done by others.
class BlockCache {
 public:
  virtual ~BlockCache() = default;
  /// Begins to serve one model, once; what is on disk is looked through in the background.
  virtual void attach(BlockOwner owner) = 0;
  /// Ends that: what was kept is written for a while, and nothing is copied any more when this returns.
  virtual void detach() = 0;

  /// Writes a full block in the background. It must not change until forget().
  virtual void keep(int32_t block, const BlockRecord& record) = 0;
  /// The block will hold something else. May wait for a copy of it, never for a disk.
  virtual void forget(int32_t block) = 0;
  /// These were of use just now, wherever they were found.
  virtual void touch(std::span<const Hash128> keys) = 0;

  /// Whether fetching this one may be worth it. True until it is known what is there.
  virtual bool may_have(const Hash128& key) const = 0;
  /// Reads these blocks in order, up to the first that is not there. A ticket is in use once.
  virtual void fetch(int64_t ticket, std::vector<Hash128> keys) = 0;
  virtual void cancel(int64_t ticket) = 0;
  /// What came, in order; nothing: not yet. Every fetch that is not cancelled has one end.
  virtual std::optional<FetchedBlock> next() = 0;
  virtual void give_back(const FetchedBlock& block) = 0;
  /// Until next() has something, but not longer than this.
  virtual void wait(std::chrono::microseconds longest) = 0;
  /// Blocks that next() can give before one is given back.
  virtual int64_t buffers() const = 0;
  virtual BlockCacheStats stats() const = 0;
};

}  // namespace autoglm
