#include "tune/workload_run.h"

#include <fmt/format.h>
#include <xxhash.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <optional>
#include <thread>

#include "base/error.h"
#include "hw/energy.h"
#include "hw/resident.h"

namespace autoglm {
namespace {

using Clock = std::chrono::steady_clock;

class WorkloadRunner {
 public:
  WorkloadRunner(Engine& engine, const Workload& workload, const WorkloadRunOptions& options)
      : engine_(engine), workload_(workload), options_(options), states_(workload.requests.size()) {
    next_in_conversation_.assign(workload.requests.size(), -1);
    for (size_t i = 0; i < workload.requests.size(); ++i) {
      const int32_t before = workload.requests[i].follows;
      AUTOGLM_CHECK(before < static_cast<int32_t>(i), "a request follows an earlier one");
      if (before >= 0) {
        next_in_conversation_[static_cast<size_t>(before)] = static_cast<int32_t>(i);
      } else {
        beginnings_.push_back(static_cast<int32_t>(i));
      }
    }
  }

  WorkloadFigures run() {
    const EnergyMeter energy(options_.root);
    begin_ = Clock::now();
    if (workload_.users > 0) {
      for (int64_t user = 0; user < workload_.users; ++user) begin_conversation(0);
    } else {
      for (const int32_t index : beginnings_)
        due_.push_back({workload_.requests[static_cast<size_t>(index)].after, index});
    }
    int64_t steps = engine_.last_step().number;
    while (ended_ < std::ssize(states_)) {
      if (options_.check) options_.check();
      submit_due();
      if (!engine_.has_work()) {
        wait();
        continue;
      }
      const double idle = engine_.idle_seconds();
      if (idle > 0) std::this_thread::sleep_for(std::chrono::duration<double>(std::min(idle, until_due())));
      engine_.step();
      if (engine_.last_step().number != steps) {
        steps = engine_.last_step().number;
        if (options_.step) options_.step({engine_.last_step().shape, engine_.last_step().seconds});
      }
      if (error_) throw *error_;
    }
    figures_.seconds = now();
    figures_.joules = energy.joules();
    return finish();
  }

 private:
  struct State {
    double arrived = 0, last = 0;
    std::vector<int32_t> prompt, answer;
  };
  struct Due {
    double at;
    int32_t index;
  };

  double now() const { return std::chrono::duration<double>(Clock::now() - begin_).count(); }

  void begin_conversation(double at) {
    if (next_beginning_ < beginnings_.size()) due_.push_back({at, beginnings_[next_beginning_++]});
  }

  double until_due() const {
    double at = 3600;
    for (const Due& due : due_) at = std::min(at, due.at - now());
    return std::max(at, 0.0);
  }

  // In pieces, so that Ctrl-C is heard.
  void wait() const { std::this_thread::sleep_for(std::chrono::duration<double>(std::min(0.05, until_due()))); }

  void submit_due() {
    const double time = now();
    for (size_t i = 0; i < due_.size();) {
      if (due_[i].at > time) {
        ++i;
        continue;
      }
      const Due due = due_[i];
      due_.erase(due_.begin() + static_cast<std::ptrdiff_t>(i));
      submit(due);
    }
  }

  void submit(const Due& due) {
    const auto index = static_cast<size_t>(due.index);
    const WorkloadRequest& wanted = workload_.requests[index];
    State& state = states_[index];
    state.arrived = due.at;  // when it should have been: waiting for us to look counts
    if (wanted.follows >= 0) {
      const State& before = states_[static_cast<size_t>(wanted.follows)];
      state.prompt = before.prompt;
      state.prompt.insert(state.prompt.end(), before.answer.begin(), before.answer.end());
    }
    state.prompt.insert(state.prompt.end(), wanted.prompt.begin(), wanted.prompt.end());
    Request request;
    request.prompt = state.prompt;
    request.max_tokens = wanted.max_tokens;
    request.ignore_eos = true;
    request.sampling.seed = workload_.seed * 1'000'003 + index + 1;
    engine_.submit(std::move(request), [this, index](const Event& event) { hear(index, event); });
  }

  void hear(size_t index, const Event& event) {
    State& state = states_[index];
    const double time = now();
    if (!event.tokens.empty()) {
      const auto count = static_cast<double>(event.tokens.size());
      if (state.answer.empty()) {
        first_.push_back(1e3 * (time - state.arrived));
        gaps_.insert(gaps_.end(), event.tokens.size() - 1, 0.0);  // those that came with it
      } else {
        gaps_.insert(gaps_.end(), event.tokens.size(), 1e3 * (time - state.last) / count);
      }
      state.last = time;
      state.answer.insert(state.answer.end(), event.tokens.begin(), event.tokens.end());
    }
    if (event.kind == Event::Kind::finish) end(index, event, time);
  }

  void end(size_t index, const Event& event, double time) {
    ++ended_;
    if (options_.progress) options_.progress(ended_);
    if (event.error) {
      error_ = event.error;
      return;
    }
    State& state = states_[index];
    ends_.push_back(1e3 * (time - state.arrived));
    figures_.prompt_tokens += event.usage.prompt_tokens;
    figures_.cached_tokens += event.usage.cached_tokens;
    figures_.completion_tokens += event.usage.completion_tokens;
    figures_.drafted_tokens += event.usage.drafted_tokens;
    figures_.accepted_tokens += event.usage.accepted_tokens;
    figures_.preemptions += event.usage.preemptions;
    const int32_t next = next_in_conversation_[index];
    if (next >= 0) {
      const double think = workload_.users > 0 ? 0 : workload_.requests[static_cast<size_t>(next)].after;
      due_.push_back({time + think, next});
      return;
    }
    if (workload_.users > 0) begin_conversation(time);
  }

  WorkloadFigures finish() {
    figures_.requests = ended_;
    figures_.first_token_ms = percentiles(std::move(first_));
    figures_.gap_ms = percentiles(std::move(gaps_));
    figures_.end_to_end_ms = percentiles(std::move(ends_));
    figures_.throughput_tps = static_cast<double>(figures_.completion_tokens) / figures_.seconds;
    figures_.requests_per_second = static_cast<double>(figures_.requests) / figures_.seconds;
    const ResidentMemory memory = resident_memory();
    figures_.peak_rss_bytes = memory.peak;
    figures_.anonymous_bytes = memory.anonymous;
    std::vector<int32_t> all;
    for (const State& state : states_) {
      all.insert(all.end(), state.answer.begin(), state.answer.end());
      all.push_back(-1);  // where one ends
    }
    figures_.answers_hash = fmt::format("{:016x}", XXH3_64bits(all.data(), all.size() * sizeof(int32_t)));
    return figures_;
  }

  Engine& engine_;
  const Workload& workload_;
  const WorkloadRunOptions& options_;
  std::vector<State> states_;                  // one a request
  std::vector<int32_t> next_in_conversation_;  // -1: it ends
  std::vector<int32_t> beginnings_;
  size_t next_beginning_ = 0;
  std::vector<Due> due_;
  int64_t ended_ = 0;
  std::optional<Error> error_;
  std::vector<double> first_, gaps_, ends_;  // ms
  WorkloadFigures figures_;
  Clock::time_point begin_;
};

}  // namespace

WorkloadFigures run_workload(Engine& engine, const Workload& workload, const WorkloadRunOptions& options) {
  AUTOGLM_CHECK(!workload.requests.empty(), "a workload has requests");
  return WorkloadRunner(engine, workload, options).run();
}

}  // namespace autoglm
