#include "server/helper.h"

#include <pthread.h>

#include <utility>

#include "base/priority.h"

namespace autoglm {

Helper::Line::Line(const char* name, std::string_view zones, int niceness)
    : zones_(zones), thread_([this, name, niceness] {
        ::pthread_setname_np(::pthread_self(), name);
        be_nice(niceness);
        loop();
      }) {}

void Helper::Line::stop() {
  {
    const std::scoped_lock lock(mutex_);
    stopping_ = true;
    waiting_.clear();
  }
  changed_.notify_one();
  if (thread_.joinable()) thread_.join();
}

void Helper::Line::post(std::function<void()> work) {
  {
    const std::scoped_lock lock(mutex_);
    if (stopping_) return;
    waiting_.push_back(std::move(work));
  }
  changed_.notify_one();
}

void Helper::Line::loop() {
  const ZoneClockScope scope(zones_);
  ZoneStamp zone(Zone::idle);
  std::unique_lock lock(mutex_);
  while (true) {
    zone.next(Zone::idle);
    changed_.wait(lock, [this] { return stopping_ || !waiting_.empty(); });
    if (stopping_) return;
    {
      const std::function<void()> work = std::move(waiting_.front());
      waiting_.pop_front();
      lock.unlock();
      zone.next(Zone::other);
      work();
    }
    lock.lock();
  }
}

void Helper::stop() {
  short_.stop();
  long_.stop();
}

}  // namespace autoglm
