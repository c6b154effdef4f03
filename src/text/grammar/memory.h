// What grammars may hold together, as the memory ledger has it.
#pragma once

#include <cstdint>
#include <mutex>

#include "base/ledger.h"

namespace autoglm {

/// Thread-safe. Outlives the grammars that are booked with it.
class GrammarMemory {
 public:
  /// `limit` in bytes; `ledger`: has a line for it, null: none.
  explicit GrammarMemory(int64_t limit, Ledger* ledger = nullptr) : limit_(limit), ledger_(ledger) {}

  /// False, and nothing is taken, beyond the limit or the ledger's.
  bool take(int64_t bytes) {
    const std::scoped_lock lock(mutex_);
    if (bytes > limit_ - used_) return false;
    if (ledger_ != nullptr && !ledger_->try_reserve(MemoryLine::grammars, bytes)) return false;
    used_ += bytes;
    return true;
  }
  void give(int64_t bytes) {
    const std::scoped_lock lock(mutex_);
    used_ -= bytes;
    if (ledger_ != nullptr) ledger_->release(MemoryLine::grammars, bytes);
  }
  int64_t used() const {
    const std::scoped_lock lock(mutex_);
    return used_;
  }
  int64_t limit() const { return limit_; }

 private:
  mutable std::mutex mutex_;
  const int64_t limit_;
  Ledger* const ledger_;
  int64_t used_ = 0;
};

}  // namespace autoglm
