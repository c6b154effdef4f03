// Sequences over paged KV blocks: who owns which block, with reference counts. The numbers live here; the bytes live in
// the backend's KvStore.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "kernels/backend.h"
#include "model/batch.h"

namespace autoglm {

/// Not thread-safe: the engine thread owns it. No operation allocates device memory after construction.
class KvCache {
 public:
  KvCache(std::unique_ptr<KvStore> store, int64_t max_sequences);

  SequenceId create();  // an empty sequence
  void free(SequenceId id);
  int64_t length(SequenceId id) const;
  /// Makes room for `tokens` more; false (nothing changed) when there are not enough free blocks. Copies a shared last
  /// block before it is written.
  bool append(SequenceId id, int64_t tokens);
  SequenceId fork(SequenceId id);                     // shares every block, copy on write
  void truncate(SequenceId id, int64_t length);       // a rejected draft
  void drop_before(SequenceId id, int64_t position);  // frees whole blocks that no window will read again

  // Blocks that outlive their sequence or serve several, by number: for a cache of prefixes, which knows what is in
  // them. Such a block is full and nobody writes it any more.
  void retain(int32_t block);  // of a sequence, or retained already
  void unretain(int32_t block);
  void adopt(SequenceId id, int32_t block);  // the sequence, whole blocks long, goes on with this block's tokens
  /// Gives the sequence's block back and takes one that holds the same tokens instead.
  void replace(SequenceId id, int64_t index, int32_t block);

  int64_t block_bytes() const { return store_->block_bytes(); }
  /// A retained block's bytes, block_bytes() of them. Any thread, while others compute.
  void export_block(int32_t block, std::span<std::byte> out) const { store_->export_block(block, out); }
  /// A free block, of which there must be one, takes these bytes and is retained.
  int32_t import_retained(std::span<const std::byte> bytes);
  std::vector<std::byte> export_block(SequenceId id, int64_t index) const;
  void import_block(SequenceId id, int64_t index, std::span<const std::byte> bytes);

  std::span<const int32_t> blocks(SequenceId id) const;  // -1 where dropped
  int64_t free_blocks() const;
  int64_t total_blocks() const;
  KvStore& store() { return *store_; }
  void check_integrity() const;  // reference counts match; AUTOGLM_CHECK

 private:
  struct Sequence {
    std::vector<int32_t> blocks;
    int64_t length = 0;
    bool live = false;
  };
  Sequence& at(SequenceId id);
  const Sequence& at(SequenceId id) const;
  bool in_use(int32_t block) const;
  int32_t take();               // a free block, with one reference
  void release(int32_t block);  // gives a reference back; -1 is ignored
  std::unique_ptr<KvStore> store_;
  std::vector<Sequence> sequences_;
  std::vector<int32_t> references_;
  std::vector<int32_t> retained_;  // of the references, those without a sequence
  std::vector<int32_t> free_;
};

}  // namespace autoglm
