// Ctrl-C, as a flag that long work looks at.
#pragma once

#include <atomic>

#include "base/error.h"

namespace autoglm {

/// Set by the signal handler of `main` (or by a test); polled between steps, chunks and blocks. Thread-safe.
class Interrupt {
 public:
  void request() { requested_.store(true, std::memory_order_relaxed); }
  bool requested() const { return requested_.load(std::memory_order_relaxed); }
  /// A conversation goes on after Ctrl-C has stopped an answer.
  void clear() const { requested_.store(false, std::memory_order_relaxed); }
  /// Throws Error interrupted (exit code 130) once it was requested.
  void check() const {
    if (requested()) fail(Code::interrupted, "interrupted");
  }

 private:
  mutable std::atomic<bool> requested_{false};  // lock-free: a signal handler may set it
  static_assert(std::atomic<bool>::is_always_lock_free);
};

}  // namespace autoglm
