// The prefix cache's second tier as the engine uses it: which blocks go to disk, which come back, and when.
//
// Every block that the cache in memory begins to keep is written in the background. A request whose beginning is on
// disk and not in memory is fetched when its turn comes; what is read goes into the cache in memory, unused, where the
// request finds it. So a block from disk is in every respect like one that was computed here.
#pragma once

#include <memory>
#include <unordered_map>
#include <vector>

#include "engine/scheduler.h"
#include "engine/stepper.h"
#include "format/block_cache.h"

namespace autoglm {

/// Belongs to the engine's thread. Cache, stepper and scheduler outlive it.
class DiskTier {
 public:
  DiskTier(BlockCache& cache, Stepper& stepper, Scheduler& scheduler, const PrefixKey& identity, std::string label);
  /// Waits for what is being copied, and for a while for what is still to be written.
  ~DiskTier();
  DiskTier(const DiskTier&) = delete;
  DiskTier& operator=(const DiskTier&) = delete;

  /// A request was queued: is a part of it on disk?
  void look_up(RequestId id);
  /// It ended: nothing more is read for it.
  void ended(RequestId id);
  /// Takes in what has been read, as much as there are buffers: a step is not kept waiting for more.
  void import_ready();
  /// Begins to read what the plan asks for, and says what it found of use in memory.
  void carry_out(const Plan& plan);
  /// The cache keeps a block of a request from now on.
  void keep(RequestId id, const Share& share);
  /// The cache in memory has given up this block.
  void forget(int32_t block) { cache_.forget(block); }
  /// For an engine with nothing else to do than to wait for a disk: a moment, or until something was read.
  void wait();

  BlockCacheStats stats() const { return cache_.stats(); }

 private:
  bool take(const FetchedBlock& block);

  BlockCache& cache_;
  Stepper& stepper_;
  Scheduler& scheduler_;
  std::unordered_map<RequestId, int64_t> fetches_;  // that run: index of the first block
  std::vector<Hash128> touched_;
};

}  // namespace autoglm
