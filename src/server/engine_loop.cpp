#include "server/engine_loop.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <optional>
#include <utility>

namespace autoglm {
namespace {

double seconds_of(clockid_t clock) {
  timespec time{};
  return ::clock_gettime(clock, &time) == 0
             ? static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec)
             : 0;
}

// Before the event is given away: whoever sends the last byte finds it here.
void note_end(RequestRecord& record, const Event& event, double now) {
  const Usage& usage = event.usage;
  ++record.choices;
  record.prompt_tokens += usage.prompt_tokens;
  record.cached_tokens += usage.cached_tokens;
  record.preemptions += usage.preemptions;
  record.finish = name(event.finish);
  RequestTimes& times = record.times;
  times.done = now;
  if (usage.completion_tokens == 0) return;
  // The token itself; heard of it was only when it had become text.
  const double first = times.submitted + (usage.queue_ms + usage.prefill_ms) / 1e3;
  times.first_token = times.first_token > 0 ? std::min(times.first_token, first) : first;
}

}  // namespace

// One of an exchange's answers, as the engine tells of it.
struct EngineLoop::Choice {
  struct Place {
    Admission::Ticket ticket;
    int64_t left;  // choices that have not ended
  };
  std::shared_ptr<Exchange> exchange;
  std::shared_ptr<Place> place;  // of all choices
  Metrics* metrics;
  int index;
  double last_token = 0;

  void hear(const Event& event) {
    const double now = steady_seconds();
    const double arrived = steady_seconds(exchange->request().received);
    if (!event.tokens.empty() && event.kind != Event::Kind::prompt) {
      if (last_token == 0) {
        metrics->first_token(now - arrived);
      } else {
        metrics->gap((now - last_token) / static_cast<double>(event.tokens.size()));
      }
      last_token = now;
      metrics->sampled(std::ssize(event.tokens));
      exchange->note([&](RequestRecord& record) {
        if (record.times.first_token == 0) record.times.first_token = now;
        record.completion_tokens += std::ssize(event.tokens);  // as they come: a client that leaves has had some
      });
    }
    if (event.kind == Event::Kind::finish) {
      metrics->ended(event.finish, event.usage, now - arrived);
      exchange->note([&](RequestRecord& record) { note_end(record, event, now); });
      const Usage& usage = event.usage;
      place->ticket.charge(usage.prompt_tokens - usage.cached_tokens + usage.completion_tokens, now);
      // Texts to embed share places: the last ones give them back.
      if (place->left-- <= place->ticket.places()) place->ticket.shrink();
    }
    exchange->push(index, event);
  }
};

void EngineLoop::submit(std::shared_ptr<Exchange> exchange, std::vector<Request> requests, Admission::Ticket ticket) {
  {
    const std::scoped_lock lock(mutex_);
    inbox_.submissions.push_back({std::move(exchange), std::move(requests), std::move(ticket)});
  }
  changed_.notify_one();
}

void EngineLoop::cancel(const std::vector<RequestId>& ids) {
  {
    const std::scoped_lock lock(mutex_);
    inbox_.cancellations.insert(inbox_.cancellations.end(), ids.begin(), ids.end());
  }
  changed_.notify_one();
}

void EngineLoop::stop() {
  {
    const std::scoped_lock lock(mutex_);
    inbox_.stop = true;
  }
  changed_.notify_one();
}

EngineStatus EngineLoop::status() const {
  const std::scoped_lock lock(status_mutex_);
  return status_;
}

double EngineLoop::seconds_without_progress() const {
  const std::scoped_lock lock(status_mutex_);
  if (!busy_) return 0;
  const double now = steady_seconds();
  const double cpu = has_clock_ ? seconds_of(cpu_clock_) : 0;
  if (cpu > last_cpu_ + 1e-3) {
    last_cpu_ = cpu;
    last_alive_ = now;
  }
  return now - std::max(last_progress_, last_alive_);
}

// A request that the engine does not take ends at once, with what it said; its exchange's other choices go on, and
// the writer decides what that means.
void EngineLoop::begin(Engine& engine, Submission submission) {
  if (submission.exchange->gone()) return;
  const auto place = std::make_shared<Choice::Place>(
      Choice::Place{.ticket = std::move(submission.ticket), .left = std::ssize(submission.requests)});
  std::vector<RequestId> ids;
  submission.exchange->note([](RequestRecord& record) { record.times.submitted = steady_seconds(); });
  const auto when_started = [exchange = submission.exchange] {
    exchange->note([](RequestRecord& record) {
      if (record.times.started == 0) record.times.started = steady_seconds();
    });
  };
  for (size_t i = 0; i < submission.requests.size(); ++i) {
    submission.requests[i].when_started = when_started;
    const auto choice = std::make_shared<Choice>(
        Choice{.exchange = submission.exchange, .place = place, .metrics = metrics_, .index = static_cast<int>(i)});
    std::optional<Error> error;
    try {
      ids.push_back(
          engine.submit(std::move(submission.requests[i]), [choice](const Event& event) { choice->hear(event); }));
      continue;
    } catch (const Error& refused) {
      error = refused;
    } catch (const std::exception& bug) {
      error = Error(Code::internal, bug.what());
    }
    Event event;
    event.kind = Event::Kind::finish;
    event.finish = FinishReason::error;
    event.error = std::move(error);
    choice->hear(event);
    break;
  }
  submission.exchange->when_gone([this, ids] { cancel(ids); });
}

void EngineLoop::after_step(const Engine& engine) {
  const EngineStatus status = engine.status();
  const std::scoped_lock lock(status_mutex_);
  status_ = status;
  busy_ = engine.has_work();
  last_progress_ = steady_seconds();
}

// What has come in; waits for it where the engine has nothing to do.
EngineLoop::Inbox EngineLoop::wait(const Engine& engine) {
  const ZoneStamp zone(Zone::idle);
  const double idle = engine.idle_seconds();
  std::unique_lock lock(mutex_);
  const auto arrived = [this] { return !inbox_.empty(); };
  if (std::isinf(idle)) {
    changed_.wait(lock, arrived);
  } else if (idle > 0) {
    changed_.wait_for(lock, std::chrono::duration<double>(idle), arrived);
  }
  return std::exchange(inbox_, {});
}

void EngineLoop::run(Engine& engine) {
  const ZoneClockScope scope(zones_);
  ZoneStamp zone(Zone::admit);
  {
    const std::scoped_lock lock(status_mutex_);
    has_clock_ = ::pthread_getcpuclockid(::pthread_self(), &cpu_clock_) == 0;
  }
  after_step(engine);
  int64_t steps = engine.last_step().number;
  while (true) {
    zone.next(Zone::admit);
    Inbox inbox = wait(engine);
    for (Submission& submission : inbox.submissions) begin(engine, std::move(submission));
    for (const RequestId id : inbox.cancellations) engine.cancel(id);
    said_();  // what was refused does not wait for a step
    if (inbox.stop) break;
    if (engine.has_work()) {
      {
        const std::scoped_lock lock(status_mutex_);
        busy_ = true;
      }
      engine.step();
    }
    zone.next(Zone::report);
    if (engine.last_step().number != steps) {
      steps = engine.last_step().number;
      metrics_->step(engine.last_step());
    }
    after_step(engine);  // first: who hears of an end may ask for the status next
    said_();
  }
  engine.cancel_all();
  after_step(engine);
  said_();
}

}  // namespace autoglm
