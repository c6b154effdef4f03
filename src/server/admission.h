// How many requests may be inside: those that are computed, and a bounded number that wait. Counted where requests
// arrive, so that one too many hears so at once, whatever the engine and the helper are doing.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <utility>

#include "server/rate_limit.h"

namespace autoglm {

class Admission {
 public:
  explicit Admission(int64_t most) : most_(most) {}

  /// Places inside, given back when it goes, and with the last of them the lease of a client's limits.
  class Ticket {
   public:
    Ticket() = default;
    Ticket(Admission& owner, int64_t places, std::shared_ptr<ClientLease> lease)
        : owner_(&owner), places_(places), lease_(std::move(lease)) {}
    Ticket(Ticket&& other) noexcept
        : owner_(std::exchange(other.owner_, nullptr)),
          places_(std::exchange(other.places_, 0)),
          lease_(std::move(other.lease_)) {}
    Ticket& operator=(Ticket&& other) noexcept {
      std::swap(owner_, other.owner_);
      std::swap(places_, other.places_);
      std::swap(lease_, other.lease_);
      return *this;
    }
    ~Ticket() { end(); }
    explicit operator bool() const { return owner_ != nullptr; }
    int64_t places() const { return places_; }
    /// Gives one place back.
    void shrink() {
      if (places_ == 0) return;
      --places_;
      owner_->inside_.fetch_sub(1);
      if (places_ == 0) end();
    }
    /// Gives everything back: before the client can know its answer.
    void end() {
      if (places_ > 0) owner_->inside_.fetch_sub(std::exchange(places_, 0));
      if (lease_) lease_->end();
      lease_.reset();
    }
    /// Counts tokens that were computed against the client's limits.
    void charge(int64_t tokens, double now) {
      if (lease_) lease_->charge(tokens, now);
    }
    /// Takes more places. False: there are none.
    bool grow(int64_t more) {
      if (!owner_->enter(more)) return false;
      places_ += more;
      return true;
    }

   private:
    Admission* owner_ = nullptr;
    int64_t places_ = 0;
    std::shared_ptr<ClientLease> lease_;
  };

  /// An empty ticket: no.
  Ticket try_enter(const std::shared_ptr<ClientLease>& lease) { return enter(1) ? Ticket(*this, 1, lease) : Ticket(); }
  int64_t inside() const { return inside_.load(std::memory_order_relaxed); }
  int64_t most() const { return most_; }

 private:
  bool enter(int64_t places) {
    if (inside_.fetch_add(places) + places <= most_) return true;
    inside_.fetch_sub(places);
    return false;
  }

  const int64_t most_;
  std::atomic<int64_t> inside_{0};
};

}  // namespace autoglm
