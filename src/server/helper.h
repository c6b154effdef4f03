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
  /// Drops what has not begun and waits for what has; nothing begins any more. From any thread but its own.
  void stop();
  /// Of both threads.
  std::vector<const ZoneClock*> zones() const { return {&short_.zones(), &long_.zones()}; }

 private:
  static constexpr size_t kShort = 64 << 10;

  class Line {
   public:
    Line(const char* name, std::string_view zones, int niceness);
    ~Line() { stop(); }
    void post(std::function<void()> work);
    void stop();
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
  // it is computed even so. A megabyte's work with that share makes the median gap between tokens a sixth longer; the
  // second takes three times as long for it, and the median hardly moves (docs/PERFORMANCE.md, "The server").
  Line short_{"autoglm-helper", "helper", 10};
  Line long_{"autoglm-long", "long_helper", 19};
};

}  // namespace autoglm
