#include "server/exchange.h"

#include <utility>

namespace autoglm {
namespace {

// About what an event will be once it is written as JSON.
size_t size_of(const Event& event) {
  size_t bytes = 256 + 2 * event.text.size();
  bytes += sizeof(float) * event.embedding.size();
  for (const auto& row : event.logprobs) bytes += 96 * row.size();
  return bytes;
}

}  // namespace

Exchange::Exchange(HttpRequest request, size_t most_unsent, std::weak_ptr<Doorbell> bell,
                   std::weak_ptr<Listener> listener)
    : request_(std::move(request)), most_unsent_(most_unsent), bell_(std::move(bell)), listener_(std::move(listener)) {
  record_.times.arrived = steady_seconds(request_.received);
  record_.times.read = steady_seconds();
}

void Exchange::respond(HttpResponse response) {
  {
    const std::scoped_lock lock(mutex_);
    if (std::exchange(answered_, true)) return;
    note([](RequestRecord& record) { record.times.done = steady_seconds(); });
    news_.response = std::move(response);
    noted_ = true;
  }
  if (const auto bell = bell_.lock()) {
    bell->note(listener_);
    bell->ring();
  }
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
  bool slow = false;
  bool first = false;
  {
    const std::scoped_lock lock(mutex_);
    if (answered_) return;
    unsent_ += size_of(event);
    slow = unsent_ > most_unsent_;
    if (!slow) news_.happenings.push_back({choice, event});
    const bool due = slow || event.kind == Event::Kind::finish || news_.happenings.size() >= kWholeEvents ||
                     (writer_ && writer_->streams());
    first = due && !std::exchange(noted_, true);
  }
  if (slow) {
    too_slow_.store(true, std::memory_order_relaxed);
    hang_up();
  }
  const auto bell = first ? bell_.lock() : nullptr;
  if (bell) bell->note(listener_);
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
  noted_ = false;
  unsent_ = 0;
  return std::exchange(news_, {});
}

}  // namespace autoglm
