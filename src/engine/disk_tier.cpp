#include "engine/disk_tier.h"

#include <utility>

#include "base/error.h"

namespace autoglm {

static_assert(kRecordTokens == kKvBlock);

DiskTier::DiskTier(BlockCache& cache, Stepper& stepper, Scheduler& scheduler, const PrefixKey& identity,
                   std::string label)
    : cache_(cache), stepper_(stepper), scheduler_(scheduler) {
  cache_.attach({.identity = identity,
                 .block_bytes = stepper.block_bytes(),
                 .label = std::move(label),
                 .copy = [&stepper](int32_t block, std::span<std::byte> out) { stepper.export_block(block, out); }});
}

DiskTier::~DiskTier() { cache_.detach(); }

void DiskTier::look_up(RequestId id) {
  const Scheduler::Missing missing = scheduler_.missing(id);
  if (!missing.keys.empty() && cache_.may_have(missing.keys.front())) scheduler_.may_fetch(id);
}

void DiskTier::ended(RequestId id) {
  if (fetches_.erase(id) > 0) cache_.cancel(id);
}

void DiskTier::carry_out(const Plan& plan) {
  // What the cache in memory gives up of theirs meanwhile is fetched when they go on.
  for (const RequestId id : plan.preempted) scheduler_.may_fetch(id);
  for (const RequestId id : plan.fetched) {
    Scheduler::Missing missing = scheduler_.missing(id);
    if (missing.keys.empty()) {  // computed since it was looked up
      scheduler_.done_fetching(id);
      continue;
    }
    fetches_[id] = missing.first;
    cache_.fetch(id, std::move(missing.keys));
  }
  if (plan.adopted.empty()) return;
  touched_.clear();
  for (const Adoption& adoption : plan.adopted) touched_.push_back(adoption.key);
  cache_.touch(touched_);
}

void DiskTier::import_ready() {
  for (int64_t i = cache_.buffers(); i > 0 && !fetches_.empty(); --i) {
    const std::optional<FetchedBlock> block = cache_.next();
    if (!block) return;
    const bool more = !block->end && take(*block);
    cache_.give_back(*block);
    if (more) continue;
    if (!block->end) cache_.cancel(block->ticket);
    fetches_.erase(block->ticket);
    scheduler_.done_fetching(block->ticket);
  }
}

// False if what follows is of no use either.
bool DiskTier::take(const FetchedBlock& block) {
  const RequestId id = block.ticket;
  const int64_t index = fetches_.at(id) + block.index;
  switch (scheduler_.accept(id, index, block.record.key, block.record.tokens)) {
    case Scheduler::Import::stop:
      return false;
    case Scheduler::Import::skip:
      return true;
    case Scheduler::Import::take:
      break;
  }
  for (const int32_t evicted : scheduler_.take_evicted()) {
    forget(evicted);
    stepper_.unretain(evicted);
  }
  scheduler_.imported(id, index, stepper_.import_block(block.bytes));
  return true;
}

void DiskTier::keep(RequestId id, const Share& share) { cache_.keep(share.block, scheduler_.record(id, share.index)); }

void DiskTier::wait() {
  if (scheduler_.fetching() && !fetches_.empty()) cache_.wait(std::chrono::microseconds(500));
}

}  // namespace autoglm
