#include "store/prefix_store.h"

#include <algorithm>
#include <utility>

#include "base/error.h"

namespace autoglm {
namespace {

constexpr int64_t kMostBlocks = int64_t{1} << 18;  // on disk, of one model: bounds the memory of their keys
constexpr int64_t kSegments = 64;                  // that the limit is cut into
constexpr int64_t kMostPending = int64_t{1} << 16;
constexpr int64_t kBufferBytes = int64_t{4} << 20;  // for reading
constexpr int64_t kLeastBuffers = 8;
constexpr int64_t kMostBuffers = 32;

int64_t buffers_for(int64_t block_bytes) { return std::clamp(kBufferBytes / block_bytes, kLeastBuffers, kMostBuffers); }

int64_t most_blocks(int64_t block_bytes, int64_t max_bytes) {
  return std::min(kMostBlocks, max_bytes / record_stride(block_bytes));
}

FetchedBlock end_of(int64_t ticket) {
  FetchedBlock block;
  block.ticket = ticket;
  block.end = true;
  return block;
}

}  // namespace

PrefixStore::PrefixStore(PrefixStoreOptions options)
    : options_(std::move(options)), writer_([this] { write_all(); }), reader_([this] { read_all(); }) {}

PrefixStore::~PrefixStore() { PrefixStore::detach(); }

int64_t PrefixStore::bytes_for(int64_t block_bytes, int64_t max_bytes) {
  // A key in its segment's list, and in the table with its place, a node and a bucket.
  constexpr int64_t kEntry = static_cast<int64_t>(2 * sizeof(Hash128) + sizeof(Place)) + 24;
  return (buffers_for(block_bytes) + 1) * block_bytes + most_blocks(block_bytes, max_bytes) * kEntry;
}

void PrefixStore::say(const std::string& text) const {
  if (options_.say) options_.say(text);
}

int64_t PrefixStore::segment_records() const {
  return std::clamp<int64_t>((max_bytes_ / kSegments - kSegmentHeaderBytes) / stride_, 1, kMostBlocks / kSegments);
}

void PrefixStore::attach(BlockOwner owner) {
  AUTOGLM_CHECK(owner.block_bytes > 0 && owner.copy, "whose blocks are they?");
  const int64_t limit = options_.max_bytes > 0 ? options_.max_bytes : automatic_max_bytes(options_.folder);
  try {
    if (ledger_ != nullptr) {
      memory_ =
          Reservation(*ledger_, MemoryLine::cache, bytes_for(owner.block_bytes, limit), "the prefix cache on disk");
    }
    slots_.resize(static_cast<size_t>(buffers_for(owner.block_bytes) * owner.block_bytes));
    staging_.resize(static_cast<size_t>(owner.block_bytes));
  } catch (const std::exception& error) {
    say(std::string("prefixes are not kept on disk: ") + error.what());
    return;
  }
  {
    const Lock lock(mutex_);
    AUTOGLM_CHECK(!attached_, "a store serves one engine");
    owner_ = std::move(owner);
    max_bytes_ = limit;
    stride_ = record_stride(owner_.block_bytes);
    most_blocks_ = most_blocks(owner_.block_bytes, limit);
    places_.reserve(static_cast<size_t>(most_blocks_));
    for (int64_t i = buffers_for(owner_.block_bytes); i-- > 0;) free_slots_.push_back(static_cast<int>(i));
    attached_ = true;
  }
  write_wanted_.notify_all();
}

void PrefixStore::detach() {
  {
    const Lock lock(mutex_);
    if (!std::exchange(stopping_, true)) last_moment_ = std::chrono::steady_clock::now() + options_.drain;
    fetches_.clear();
  }
  write_wanted_.notify_all();
  read_wanted_.notify_all();
  if (writer_.joinable()) writer_.join();
  if (reader_.joinable()) reader_.join();
  memory_ = {};  // the ledger may go before this does
}

void PrefixStore::keep(int32_t block, const BlockRecord& record) {
  {
    const Lock lock(mutex_);
    if (!attached_ || stopping_ || (loaded_ && !writable_) || places_.contains(record.key)) return;
    if (std::ssize(pending_) >= kMostPending) {
      ++stats_.dropped_blocks;
      return;
    }
    AUTOGLM_CHECK(waiting_.emplace(block, next_pending_).second, "a block that waits to be written is kept again");
    pending_.emplace(next_pending_++, Write{.block = block, .record = record});
  }
  write_wanted_.notify_one();
}

void PrefixStore::forget(int32_t block) {
  Lock lock(mutex_);
  const auto it = waiting_.find(block);
  if (it != waiting_.end()) {
    pending_.erase(it->second);
    waiting_.erase(it);
    ++stats_.dropped_blocks;
    written_.notify_all();
  }
  written_.wait(lock, [&] { return copying_ != block; });
}

void PrefixStore::touch(std::span<const Hash128> keys) {
  {
    const Lock lock(mutex_);
    const size_t before = used_.size();
    for (const Hash128& key : keys) {
      const auto it = places_.find(key);
      if (it != places_.end()) used_.insert(it->second.segment);
    }
    if (used_.size() == before) return;
  }
  write_wanted_.notify_one();
}

bool PrefixStore::may_have(const Hash128& key) const {
  const Lock lock(mutex_);
  return attached_ && !stopping_ && (!loaded_ || places_.contains(key));
}

void PrefixStore::fetch(int64_t ticket, std::vector<Hash128> keys) {
  {
    const Lock lock(mutex_);
    if (!attached_ || stopping_) {  // nobody would read it
      ready_.push_back(end_of(ticket));
      return;
    }
    fetches_.push_back({.ticket = ticket, .keys = std::move(keys)});
  }
  read_wanted_.notify_one();
}

void PrefixStore::cancel(int64_t ticket) {
  const Lock lock(mutex_);
  std::erase_if(fetches_, [&](const Fetch& fetch) { return fetch.ticket == ticket; });
  std::erase_if(ready_, [&](const FetchedBlock& block) {
    if (block.ticket == ticket && block.slot >= 0) free_slots_.push_back(block.slot);
    return block.ticket == ticket;
  });
  read_wanted_.notify_one();
}

std::optional<FetchedBlock> PrefixStore::next() {
  const Lock lock(mutex_);
  if (ready_.empty()) return std::nullopt;
  const FetchedBlock block = ready_.front();
  ready_.pop_front();
  return block;
}

void PrefixStore::give_back(const FetchedBlock& block) {
  if (block.slot < 0) return;
  {
    const Lock lock(mutex_);
    free_slots_.push_back(block.slot);
  }
  read_wanted_.notify_one();
}

void PrefixStore::wait(std::chrono::microseconds longest) {
  Lock lock(mutex_);
  ready_changed_.wait_for(lock, longest, [&] { return !ready_.empty(); });
}

int64_t PrefixStore::buffers() const { return owner_.block_bytes > 0 ? buffers_for(owner_.block_bytes) : 0; }

BlockCacheStats PrefixStore::stats() const {
  const Lock lock(mutex_);
  BlockCacheStats stats = stats_;
  stats.known_blocks = std::ssize(places_);
  return stats;
}

void PrefixStore::flush() {
  Lock lock(mutex_);
  written_.wait(lock, [&] { return stopping_ || !attached_ || (loaded_ && at_rest()); });
}

// ---- Reading

void PrefixStore::read_all() {
  Lock lock(mutex_);
  while (true) {
    read_wanted_.wait(lock, [&] { return stopping_ || (loaded_ && !fetches_.empty() && !free_slots_.empty()); });
    if (stopping_) return;
    read_one(lock);
    ready_changed_.notify_all();
    if (fetches_.empty()) write_wanted_.notify_one();  // the index learns what was of use
  }
}

void PrefixStore::read_one(Lock& lock) {
  const int64_t ticket = fetches_.front().ticket;
  const size_t index = fetches_.front().next;
  const Hash128 key = index < fetches_.front().keys.size() ? fetches_.front().keys[index] : Hash128{};
  const auto place = places_.find(key);
  const bool known = index < fetches_.front().keys.size() && place != places_.end();
  if (!known) {
    ready_.push_back(end_of(ticket));
    fetches_.pop_front();
    return;
  }
  const Place where = place->second;
  const std::shared_ptr<SegmentFile> file = segments_.at(where.segment).file;
  const int slot = free_slots_.back();
  free_slots_.pop_back();
  const auto block_bytes = static_cast<size_t>(owner_.block_bytes);
  const std::span<std::byte> bytes = std::span(slots_).subspan(static_cast<size_t>(slot) * block_bytes, block_bytes);

  lock.unlock();
  std::optional<BlockRecord> record;
  try {
    if (options_.before_read) options_.before_read();
    record = file->read(where.record, bytes);
  } catch (const std::exception&) {
    record.reset();  // as if it were not there
  }
  lock.lock();

  const bool wanted = !fetches_.empty() && fetches_.front().ticket == ticket && fetches_.front().next == index;
  if (!record || record->key != key) {
    ++stats_.damaged_blocks;
    places_.erase(key);
    damaged_.push_back(where);
  } else if (wanted) {
    ++stats_.read_blocks;
    used_.insert(where.segment);
    ready_.push_back({.ticket = ticket,
                      .end = false,
                      .index = static_cast<int64_t>(index),
                      .record = *record,
                      .bytes = bytes,
                      .slot = slot});
    ++fetches_.front().next;
    return;
  }
  free_slots_.push_back(slot);
  if (wanted) {
    ready_.push_back(end_of(ticket));
    fetches_.pop_front();
  }
}

}  // namespace autoglm
