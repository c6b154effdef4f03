// One request and its answer while it is being made: the only thing that the network thread, the helper and the engine
// share about it.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "engine/request.h"
#include "server/doorbell.h"
#include "server/http_message.h"

namespace autoglm {

/// What one of a request's answers (its `n`, its prompts) said.
struct Happening {
  int choice = 0;
  Event event;
};

/// Bytes to send next.
struct Piece {
  std::string bytes{};                  // of a stream
  std::optional<HttpResponse> whole{};  // the answer in one, instead of a stream
  bool last = false;                    // of the stream
};

/// Turns happenings into an answer as one API words it. Used by one thread at a time: the network's.
class Writer {
 public:
  virtual ~Writer() = default;
  virtual std::string_view content_type() const = 0;  // of a stream
  /// False: nothing is sent before the last happening.
  virtual bool streams() const = 0;
  virtual void take(Happening&& happening, Piece& piece) = 0;
};

class Exchange {
 public:
  /// Notes at the bell that `listener` has news, at most once until take_news().
  Exchange(HttpRequest request, size_t most_unsent, std::weak_ptr<Doorbell> bell, std::weak_ptr<Listener> listener);

  const HttpRequest& request() const { return request_; }

  // --- any thread ---
  /// `change` gets the request's record. Costs a lock that nobody waits for.
  template <class Change>
  void note(const Change& change) {
    const std::scoped_lock lock(record_mutex_);
    change(record_);
  }
  RequestRecord record() const {
    const std::scoped_lock lock(record_mutex_);
    return record_;
  }
  /// The whole answer; rings the bell. What comes later is ignored.
  void respond(HttpResponse response);
  /// Before the first push().
  void set_writer(std::unique_ptr<Writer> writer);
  /// The bell is rung by the caller, after a step. Beyond `most_unsent` bytes that nobody fetches, the client counts
  /// as gone.
  void push(int choice, const Event& event);
  /// The client went away, or does not read.
  bool gone() const { return gone_.load(std::memory_order_relaxed); }
  /// `then` is called once when the client is gone: on the thread that finds out, or here if it is gone already.
  void when_gone(std::function<void()> then);
  void hang_up();
  bool too_slow() const { return too_slow_.load(std::memory_order_relaxed); }

  // --- the network thread ---
  std::string take_body() { return std::move(request_.body); }
  struct News {
    std::optional<HttpResponse> response;
    std::vector<Happening> happenings;
    bool empty() const { return !response && happenings.empty(); }
  };
  News take_news();
  /// Null before set_writer().
  Writer* writer();

 private:
  static constexpr size_t kWholeEvents = 64;  // of an answer that is sent as a whole: fetched so many at a time

  HttpRequest request_;
  const size_t most_unsent_;
  const std::weak_ptr<Doorbell> bell_;
  const std::weak_ptr<Listener> listener_;
  std::atomic<bool> gone_{false};
  std::atomic<bool> too_slow_{false};

  mutable std::mutex record_mutex_;
  RequestRecord record_;

  std::mutex mutex_;  // guards what follows
  News news_;
  size_t unsent_ = 0;
  bool noted_ = false;
  bool answered_ = false;
  std::unique_ptr<Writer> writer_;
  std::function<void()> then_;
};

}  // namespace autoglm
