// The threads that prepare requests: JSON, templates, tokens. They give way to the engine.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "base/zone.h"

namespace autoglm {

/// Two threads, so that short work never waits for long work, which may take seconds beside a busy engine.
class Helper {
 public:
  /// Starts its threads, before a pool pins the calling one.
  Helper() = default;

  /// `work` must not throw. `bytes` of its request say whether it is short. From any thread.
  void post(size_t bytes, std::function<void()> work) { (bytes <= kShort ? short_ : long_).post(std::move(work)); }
  /// Of both threads.
  std::vector<const ZoneClock*> zones() const { return {&short_.zones(), &long_.zones()}; }

 private:
  static constexpr size_t kShort = 64 << 10;

  class Line {
   public:
    Line(const char* name, std::string_view zones, int niceness);
    ~Line();  // what has not begun is dropped
    void post(std::function<void()> work);
    const ZoneClock& zones() const { return zones_; }

   private:
    void loop();

    std::mutex mutex_;
    std::condition_variable changed_;
    std::deque<std::function<void()>> waiting_;
    bool stopping_ = false;
    ZoneClock zones_;
    std::thread thread_;
  };

  // Beside a busy engine the first gets about a tenth of a core, and a prompt of its size is tokenized much faster than
  // it is computed even so. With that share a megabyte's work would make one gap between tokens in three longer; the
  // second takes three times as long for it, and the longest gaps stay what they are (`bench/serve.py --only text`).
  Line short_{"autoglm-helper", "helper", 10};
  Line long_{"autoglm-long", "long_helper", 19};
};

}  // namespace autoglm
