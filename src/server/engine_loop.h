// The engine's thread: requests come in, events go out to their exchanges, steps are made as long as there is work.
#pragma once

#include <pthread.h>

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "base/zone.h"
#include "engine/engine.h"
#include "server/admission.h"
#include "server/exchange.h"
#include "server/metrics.h"

namespace autoglm {

class EngineLoop {
 public:
  explicit EngineLoop(Metrics& metrics) : metrics_(&metrics) {}

  // --- any thread ---
  /// Every request becomes a choice of the exchange, and each of them gets a finish event.
  void submit(std::shared_ptr<Exchange> exchange, std::vector<Request> requests, Admission::Ticket ticket);
  /// Ends run(); requests that are left end as cancelled.
  void stop();
  /// The engine as it was after its last step.
  EngineStatus status() const;
  /// Seconds since the last step ended, if one is due and the engine's thread has used no processor time since it was
  /// last asked: a step that computes for long is alive, one that hangs is not.
  double seconds_without_progress() const;
  const ZoneClock& zones() const { return zones_; }

  /// Before run(): called after each step that had something to say, to have it sent.
  void when_said(std::function<void()> then) { said_ = std::move(then); }

  // --- worker 0 ---
  /// Until stop().
  void run(Engine& engine);

 private:
  struct Submission {
    std::shared_ptr<Exchange> exchange;
    std::vector<Request> requests;
    Admission::Ticket ticket;
  };
  struct Choice;
  struct Inbox {
    std::vector<Submission> submissions;
    std::vector<RequestId> cancellations;
    bool stop = false;
    bool empty() const { return submissions.empty() && cancellations.empty() && !stop; }
  };

  void cancel(const std::vector<RequestId>& ids);
  void begin(Engine& engine, Submission submission);
  void after_step(const Engine& engine);
  Inbox wait(const Engine& engine);

  // A small model goes through 50,000 zones a second: the history holds the last second of it, of a large one more.
  static constexpr size_t kHistory = 1 << 16;

  Metrics* metrics_;
  ZoneClock zones_{"engine", kHistory};
  std::function<void()> said_ = [] {};
  std::mutex mutex_;  // guards inbox_
  std::condition_variable changed_;
  Inbox inbox_;

  mutable std::mutex status_mutex_;  // guards what follows
  EngineStatus status_;
  bool busy_ = false;
  double last_progress_ = 0;
  mutable double last_cpu_ = 0;
  mutable double last_alive_ = 0;
  clockid_t cpu_clock_ = CLOCK_MONOTONIC;
  bool has_clock_ = false;
};

}  // namespace autoglm
