#include "server/helper.h"

#include <pthread.h>

#include <utility>

#include "base/priority.h"

namespace autoglm {

Helper::Helper() : thread_([this] { loop(); }) {}

Helper::~Helper() {
  {
    const std::scoped_lock lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_one();
  thread_.join();
}

void Helper::post(size_t bytes, std::function<void()> work) {
  {
    const std::scoped_lock lock(mutex_);
    (bytes <= kShort ? short_ : long_).push_back(std::move(work));
  }
  changed_.notify_one();
}

void Helper::loop() {
  ::pthread_setname_np(::pthread_self(), "autoglm-helper");
  // Beside a busy engine it gets about a tenth of a core: gaps between tokens hardly move, and a prompt is tokenized
  // much faster than it is computed even so.
  be_nice(10);
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] { return stopping_ || !short_.empty() || !long_.empty(); });
    if (stopping_) return;
    auto& queue = short_.empty() ? long_ : short_;
    {
      const std::function<void()> work = std::move(queue.front());
      queue.pop_front();
      lock.unlock();
      work();
    }
    lock.lock();
  }
}

}  // namespace autoglm
