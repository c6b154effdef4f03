#include "server/exchange.h"

#include <utility>

namespace autoglm {
namespace {

// About what an event will be once it is written as JSON.
size_t size_of(const Event& event) {
  size_t bytes = 256 + 2 * event.text.size();
  for (const auto& row : event.logprobs) bytes += 96 * row.size();
  return bytes;
}

}  // namespace

Exchange::Exchange(HttpRequest request, size_t most_unsent, std::function<void()> wake)
    : request_(std::move(request)), most_unsent_(most_unsent), wake_(std::move(wake)) {}

void Exchange::notify(std::unique_lock<std::mutex>& lock) {
  const bool first = !std::exchange(woken_, true);
  lock.unlock();
  if (first) wake_();
}

void Exchange::respond(HttpResponse response) {
  std::unique_lock lock(mutex_);
  if (std::exchange(answered_, true)) return;
  news_.response = std::move(response);
  notify(lock);
}

void Exchange::set_writer(std::unique_ptr<Writer> writer) {
  const std::scoped_lock lock(mutex_);
  writer_ = std::move(writer);
}

Writer* Exchange::writer() {
  const std::scoped_lock lock(mutex_);
  return writer_.get();
}

void Exchange::push(int choice, const Event& event) {
  std::unique_lock lock(mutex_);
  if (answered_) return;
  unsent_ += size_of(event);
  if (unsent_ > most_unsent_) {
    lock.unlock();
    too_slow_.store(true, std::memory_order_relaxed);
    hang_up();
    wake_();
    return;
  }
  news_.happenings.push_back({choice, event});
  notify(lock);
}

void Exchange::when_gone(std::function<void()> then) {
  {
    const std::scoped_lock lock(mutex_);
    if (!gone()) {
      then_ = std::move(then);
      return;
    }
  }
  then();
}

void Exchange::hang_up() {
  std::function<void()> then;
  {
    const std::scoped_lock lock(mutex_);
    if (gone_.exchange(true)) return;
    then = std::exchange(then_, {});
  }
  if (then) then();
}

Exchange::News Exchange::take_news() {
  const std::scoped_lock lock(mutex_);
  woken_ = false;
  unsent_ = 0;
  return std::exchange(news_, {});
}

}  // namespace autoglm
