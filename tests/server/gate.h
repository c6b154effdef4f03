// "The engine is busy", without any time.
#pragma once

#include <condition_variable>
#include <mutex>

namespace autoglm::test {

/// Steps that wait until the test lets them go.
class Gate {
 public:
  void wait() {
    std::unique_lock lock(mutex_);
    ++waiting_;
    changed_.notify_all();
    changed_.wait(lock, [this] { return open_ || steps_ > 0; });
    if (!open_) --steps_;
    --waiting_;
  }
  void open() {
    const std::scoped_lock lock(mutex_);
    open_ = true;
    changed_.notify_all();
  }
  void let_pass(int steps) {
    const std::scoped_lock lock(mutex_);
    steps_ = steps;
    changed_.notify_all();
  }
  void wait_until_busy() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return waiting_ > 0 && steps_ == 0; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool open_ = false;
  int steps_ = 0;
  int waiting_ = 0;
};

}  // namespace autoglm::test
