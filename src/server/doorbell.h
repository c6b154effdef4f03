// How other threads tell the network thread that a connection has something to send.
//
// On a machine with as many workers as cores, every wake-up takes a core from a worker and its whole step waits. So
// news is first noted (a short lock), and the bell is rung once for all of it: the engine rings after a step.
#pragma once

#include <memory>
#include <mutex>
#include <vector>

namespace autoglm {

/// Who waits for news. wake() is called on the network thread.
class Listener {
 public:
  virtual ~Listener() = default;
  virtual void wake() = 0;
};

class Doorbell {
 public:
  /// Errors: work_failed (no descriptor left).
  Doorbell();
  ~Doorbell();
  Doorbell(const Doorbell&) = delete;
  Doorbell& operator=(const Doorbell&) = delete;

  // --- any thread ---
  /// `listener` will be woken after the next ring().
  void note(const std::weak_ptr<Listener>& listener);
  /// One system call; none if nothing was noted since the last one.
  void ring();

  // --- the network thread ---
  /// A new descriptor, the caller's, that becomes readable (8 bytes) when it rings. Errors: work_failed.
  int descriptor() const;
  /// Wakes everybody who was noted.
  void answer();

 private:
  int descriptor_ = -1;
  std::mutex mutex_;  // guards what follows
  std::vector<std::weak_ptr<Listener>> noted_;
  bool rung_ = false;
};

}  // namespace autoglm
