// The one thread that prepares requests: JSON, templates, tokens. It gives way to the engine, and short work goes
// first.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>

namespace autoglm {

class Helper {
 public:
  /// Starts its thread, before a pool pins the calling one.
  Helper();
  ~Helper();  // what has not begun is dropped

  /// `work` must not throw. `bytes` of its request say whether it is short. From any thread.
  void post(size_t bytes, std::function<void()> work);

 private:
  static constexpr size_t kShort = 64 << 10;
  void loop();

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> short_, long_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace autoglm
