// How much one client may ask: requests a minute, tokens a minute, requests at once. Pure but for a mutex: told the
// time, never asking for it.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

namespace autoglm {

/// 0: no limit.
struct ClientLimits {
  int64_t requests_per_minute = 0;
  int64_t tokens_per_minute = 0;  // computed ones: of answers, and of prompts but for what the prefix cache had
  int64_t concurrent = 0;
  bool any() const { return requests_per_minute > 0 || tokens_per_minute > 0 || concurrent > 0; }
  friend bool operator==(const ClientLimits&, const ClientLimits&) = default;
};

/// Holds a minute's worth, begins full, and fills at an even pace. Times are seconds that never go back.
class TokenBucket {
 public:
  TokenBucket(double per_minute, double now) : most_(per_minute), level_(per_minute), at_(now) {}
  /// What may be taken. Below 0: that much was taken on credit.
  double level(double now) const;
  /// May go below 0: what something costs may be known only at its end.
  void take(double amount, double now);
  /// Until there is `amount`, a minute's worth at most.
  double seconds_until(double amount, double now) const;
  double most() const { return most_; }

 private:
  double most_;
  double level_;
  double at_;  // when level_ was right
};

/// One client's use of its limits. Any thread.
class ClientMeter {
 public:
  ClientMeter(std::string name, const ClientLimits& limits, double now);

  struct Verdict {
    std::string refused{};   // why; empty: come in
    double retry_after = 0;  // seconds
  };
  /// Counts a request that may come in, until leave(). One that is refused costs nothing.
  Verdict enter(double now);
  void leave();
  /// Tokens were computed for it. They may be more than are left: the next request waits for them.
  void charge(int64_t tokens, double now);
  /// x-ratelimit-*, as OpenAI has them; none without limits a minute.
  std::vector<std::pair<std::string, std::string>> headers(double now) const;

  const std::string& name() const { return name_; }
  const ClientLimits& limits() const { return limits_; }

 private:
  const std::string name_;
  const ClientLimits limits_;
  mutable std::mutex mutex_;  // guards what follows
  TokenBucket requests_;
  TokenBucket tokens_;
  int64_t inside_ = 0;
};

/// A request of a client that was let in, until it ends or is given up. Used by one thread at a time.
class ClientLease {
 public:
  explicit ClientLease(std::shared_ptr<ClientMeter> meter) : meter_(std::move(meter)) {}
  ~ClientLease() { end(); }
  ClientLease(const ClientLease&) = delete;
  ClientLease& operator=(const ClientLease&) = delete;
  void charge(int64_t tokens, double now) { meter_->charge(tokens, now); }
  /// Before its client can know the answer, and so ask the next question.
  void end() {
    if (!std::exchange(ended_, true)) meter_->leave();
  }

 private:
  const std::shared_ptr<ClientMeter> meter_;
  bool ended_ = false;
};

/// As OpenAI writes durations: "350ms", "1.5s", "6m0s".
std::string duration_text(double seconds);

}  // namespace autoglm
