#include "model/kv_cache.h"

#include <algorithm>
#include <utility>

#include "base/error.h"

namespace autoglm {
namespace {

int64_t blocks_for(int64_t tokens) { return (tokens + kKvBlock - 1) / kKvBlock; }

}  // namespace

KvCache::KvCache(std::unique_ptr<KvStore> store, int64_t max_sequences) : store_(std::move(store)) {
  sequences_.resize(static_cast<size_t>(max_sequences));
  references_.assign(static_cast<size_t>(store_->blocks()), 0);
  retained_ = references_;
  free_.reserve(references_.size());
  for (int64_t block = store_->blocks(); block-- > 0;) free_.push_back(static_cast<int32_t>(block));
}

SequenceId KvCache::create() {
  const auto place = std::find_if(sequences_.begin(), sequences_.end(), [](const Sequence& s) { return !s.live; });
  AUTOGLM_CHECK(place != sequences_.end(), "more sequences than the cache was made for");
  place->live = true;
  place->length = 0;
  place->blocks.clear();
  return static_cast<SequenceId>(place - sequences_.begin());
}

KvCache::Sequence& KvCache::at(SequenceId id) {
  AUTOGLM_CHECK(id >= 0 && static_cast<size_t>(id) < sequences_.size() && sequences_[static_cast<size_t>(id)].live,
                "no such sequence");
  return sequences_[static_cast<size_t>(id)];
}

const KvCache::Sequence& KvCache::at(SequenceId id) const { return const_cast<KvCache*>(this)->at(id); }

void KvCache::release(int32_t block) {
  if (block >= 0 && --references_[static_cast<size_t>(block)] == 0) free_.push_back(block);
}

int32_t KvCache::take() {
  const int32_t block = free_.back();
  free_.pop_back();
  references_[static_cast<size_t>(block)] = 1;
  return block;
}

void KvCache::free(SequenceId id) {
  Sequence& sequence = at(id);
  for (int32_t block : sequence.blocks) release(block);
  sequence.blocks.clear();
  sequence.length = 0;
  sequence.live = false;
}

int64_t KvCache::length(SequenceId id) const { return at(id).length; }

bool KvCache::append(SequenceId id, int64_t tokens) {
  AUTOGLM_CHECK(tokens >= 0, "a negative number of tokens");
  Sequence& sequence = at(id);
  if (tokens == 0) return true;
  // A half-filled last block that others also hold is copied before it is written.
  const bool partial = sequence.length % kKvBlock != 0;
  const bool copy = partial && references_[static_cast<size_t>(sequence.blocks.back())] > 1;
  const int64_t more = blocks_for(sequence.length + tokens) - static_cast<int64_t>(sequence.blocks.size());
  if (more + (copy ? 1 : 0) > free_blocks()) return false;
  if (copy) {
    const int32_t shared = sequence.blocks.back();
    sequence.blocks.back() = take();
    store_->copy_block(shared, sequence.blocks.back());
    release(shared);
  }
  for (int64_t i = 0; i < more; ++i) sequence.blocks.push_back(take());
  sequence.length += tokens;
  return true;
}

SequenceId KvCache::fork(SequenceId id) {
  const SequenceId child = create();
  const Sequence& parent = at(id);
  Sequence& sequence = at(child);
  sequence.blocks = parent.blocks;
  sequence.length = parent.length;
  for (int32_t block : sequence.blocks) {
    if (block >= 0) ++references_[static_cast<size_t>(block)];
  }
  return child;
}

void KvCache::truncate(SequenceId id, int64_t length) {
  Sequence& sequence = at(id);
  AUTOGLM_CHECK(length >= 0 && length <= sequence.length, "truncate beyond the sequence");
  const auto keep = static_cast<size_t>(blocks_for(length));
  AUTOGLM_CHECK(length % kKvBlock == 0 || sequence.blocks[keep - 1] >= 0, "truncate into a dropped block");
  while (sequence.blocks.size() > keep) {
    release(sequence.blocks.back());
    sequence.blocks.pop_back();
  }
  sequence.length = length;
}

void KvCache::drop_before(SequenceId id, int64_t position) {
  Sequence& sequence = at(id);
  AUTOGLM_CHECK(position >= 0 && position <= sequence.length, "drop beyond the sequence");
  for (size_t i = 0; i < static_cast<size_t>(position / kKvBlock); ++i) {
    release(sequence.blocks[i]);
    sequence.blocks[i] = -1;
  }
}

bool KvCache::in_use(int32_t block) const {
  return block >= 0 && block < total_blocks() && references_[static_cast<size_t>(block)] > 0;
}

void KvCache::retain(int32_t block) {
  AUTOGLM_CHECK(in_use(block), "only a block in use can be retained");
  ++references_[static_cast<size_t>(block)];
  ++retained_[static_cast<size_t>(block)];
}

void KvCache::unretain(int32_t block) {
  AUTOGLM_CHECK(in_use(block) && retained_[static_cast<size_t>(block)] > 0, "the block was not retained");
  --retained_[static_cast<size_t>(block)];
  release(block);
}

void KvCache::adopt(SequenceId id, int32_t block) {
  Sequence& sequence = at(id);
  AUTOGLM_CHECK(in_use(block) && sequence.length % kKvBlock == 0, "adopt a free block, or into a half-filled one");
  ++references_[static_cast<size_t>(block)];
  sequence.blocks.push_back(block);
  sequence.length += kKvBlock;
}

void KvCache::replace(SequenceId id, int64_t index, int32_t block) {
  Sequence& sequence = at(id);
  AUTOGLM_CHECK(in_use(block) && index >= 0 && (index + 1) * kKvBlock <= sequence.length,
                "replace by or of no full block");
  ++references_[static_cast<size_t>(block)];
  release(std::exchange(sequence.blocks[static_cast<size_t>(index)], block));
}

std::vector<std::byte> KvCache::export_block(SequenceId id, int64_t index) const {
  const Sequence& sequence = at(id);
  AUTOGLM_CHECK(index >= 0 && static_cast<size_t>(index) < sequence.blocks.size(), "no such block");
  const int32_t block = sequence.blocks[static_cast<size_t>(index)];
  AUTOGLM_CHECK(block >= 0, "the block was dropped");
  std::vector<std::byte> out(static_cast<size_t>(store_->block_bytes()));
  store_->export_block(block, out);
  return out;
}

void KvCache::import_block(SequenceId id, int64_t index, std::span<const std::byte> bytes) {
  const Sequence& sequence = at(id);
  AUTOGLM_CHECK(index >= 0 && static_cast<size_t>(index) < sequence.blocks.size(), "no such block");
  const int32_t block = sequence.blocks[static_cast<size_t>(index)];
  AUTOGLM_CHECK(block >= 0 && references_[static_cast<size_t>(block)] == 1, "import into a dropped or shared block");
  store_->import_block(block, bytes);
}

int32_t KvCache::import_retained(std::span<const std::byte> bytes) {
  AUTOGLM_CHECK(free_blocks() > 0, "no block is free for what is imported");
  const int32_t block = take();
  ++retained_[static_cast<size_t>(block)];
  store_->import_block(block, bytes);
  return block;
}

std::span<const int32_t> KvCache::blocks(SequenceId id) const { return at(id).blocks; }
int64_t KvCache::free_blocks() const { return static_cast<int64_t>(free_.size()); }
int64_t KvCache::total_blocks() const { return static_cast<int64_t>(references_.size()); }

void KvCache::check_integrity() const {
  std::vector<int32_t> counted(references_.size(), 0);
  for (const Sequence& sequence : sequences_) {
    if (!sequence.live) {
      AUTOGLM_CHECK(sequence.blocks.empty() && sequence.length == 0, "a dead sequence holds blocks");
      continue;
    }
    AUTOGLM_CHECK(static_cast<int64_t>(sequence.blocks.size()) == blocks_for(sequence.length),
                  "a sequence holds more or fewer blocks than its length needs");
    for (int32_t block : sequence.blocks) {
      if (block >= 0) ++counted[static_cast<size_t>(block)];
    }
  }
  for (size_t block = 0; block < counted.size(); ++block) counted[block] += retained_[block];
  for (int32_t block : free_) AUTOGLM_CHECK(counted[static_cast<size_t>(block)] == 0, "a free block is in use");
  AUTOGLM_CHECK(counted == references_, "reference counts do not match");
  const auto used = std::count_if(counted.begin(), counted.end(), [](int32_t n) { return n > 0; });
  AUTOGLM_CHECK(used + free_blocks() == total_blocks(), "a block is neither used nor free");
}

}  // namespace autoglm
