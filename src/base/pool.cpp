#include "base/pool.h"

#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <climits>
#include <exception>
#include <optional>
#include <string>
#include <system_error>
#include <thread>
#include <utility>

#include "base/error.h"

namespace autoglm {
namespace {

using Clock = std::chrono::steady_clock;

void cpu_pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("isb" ::: "memory");
#endif
}

/// A 32-bit word that threads wait on: they spin for a while, then sleep on a futex. Whoever changes the word asks
/// `sleepers` before it makes the wake-up call, so nothing enters the kernel while everybody spins. Both sides use
/// sequentially consistent operations: either the changer sees the sleeper, or the sleeper sees the change.
struct alignas(64) WaitWord {
  std::atomic<uint32_t> value{0};
  std::atomic<uint32_t> sleepers{0};

  void wait_while(uint32_t old, std::chrono::microseconds spin) {
    if (value.load() != old) return;
    const Clock::time_point end = Clock::now() + spin;
    do {
      for (int i = 0; i < 32; ++i) {
        if (value.load(std::memory_order_acquire) != old) return;
        cpu_pause();
      }
    } while (Clock::now() < end);
    sleepers.fetch_add(1);
    while (value.load() == old) {
      ::syscall(SYS_futex, reinterpret_cast<uint32_t*>(&value), FUTEX_WAIT_PRIVATE, old, nullptr, nullptr, 0);
    }
    sleepers.fetch_sub(1);
  }

  void wake() {
    if (sleepers.load() == 0) return;
    ::syscall(SYS_futex, reinterpret_cast<uint32_t*>(&value), FUTEX_WAKE_PRIVATE, INT_MAX, nullptr, nullptr, 0);
  }
};

/// Thrown out of barrier() when another worker has failed and will never arrive; swallowed by the pool.
struct Abandoned {};

std::optional<cpu_set_t> affinity_of_this_thread() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (::pthread_getaffinity_np(::pthread_self(), sizeof set, &set) != 0) return std::nullopt;
  return set;
}

// Best effort: a CPU that went offline, or that the cgroup took away, leaves the thread where the kernel puts it.
void pin_this_thread(int cpu) {
  if (cpu < 0 || cpu >= CPU_SETSIZE) return;
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(static_cast<size_t>(cpu), &set);
  ::pthread_setaffinity_np(::pthread_self(), sizeof set, &set);
}

}  // namespace

struct WorkerPool::State {
  int size = 1;
  std::chrono::microseconds spin{50};
  std::vector<int> cpus;
  std::vector<std::thread> threads;

  WaitWord job;      // counts jobs; workers wait for it to move
  WaitWord pending;  // workers other than the caller that have not finished this job
  WaitWord barrier;  // counts barriers passed
  alignas(64) std::atomic<int> arrived{0};
  alignas(64) std::atomic<bool> running{false};
  std::atomic<bool> failed{false};
  std::atomic<bool> stopping{false};

  void (*function)(void*, int) = nullptr;  // written before `job` moves, read after
  void* context = nullptr;
  std::exception_ptr error;  // written by the worker that set `failed`

  std::thread::id pinned;  // the caller that was pinned, and what it had before
  std::optional<cpu_set_t> before;

  void execute(int worker) {
    try {
      function(context, worker);
    } catch (const Abandoned&) {  // NOLINT(bugprone-empty-catch): the failed worker's exception is the one to carry
    } catch (...) {
      if (!failed.exchange(true)) error = std::current_exception();
      barrier.value.fetch_add(1);  // frees those who wait for this worker
      barrier.wake();
    }
  }

  void loop(int worker) {
    ::pthread_setname_np(::pthread_self(), ("autoglm-w" + std::to_string(worker)).c_str());
    if (static_cast<size_t>(worker) < cpus.size()) pin_this_thread(cpus[static_cast<size_t>(worker)]);
    for (uint32_t seen = 0;; ++seen) {
      job.wait_while(seen, spin);
      if (stopping.load()) return;
      execute(worker);
      if (pending.value.fetch_sub(1) == 1) pending.wake();
    }
  }

  void pin_caller() {
    if (cpus.empty() || pinned == std::this_thread::get_id()) return;
    before = affinity_of_this_thread();
    pin_this_thread(cpus.front());
    pinned = std::this_thread::get_id();
  }

  void stop() {
    stopping.store(true);
    job.value.fetch_add(1);
    job.wake();
    for (std::thread& thread : threads) thread.join();
    threads.clear();
  }
};

WorkerPool::WorkerPool(const PoolOptions& options) : state_(std::make_unique<State>()) {
  AUTOGLM_CHECK(options.threads >= 1, "a pool has at least one worker");
  state_->size = options.threads;
  state_->spin = std::chrono::microseconds(options.spin_microseconds);
  state_->cpus = options.cpus;
  try {
    for (int worker = 1; worker < options.threads; ++worker) {
      state_->threads.emplace_back([state = state_.get(), worker] { state->loop(worker); });
    }
  } catch (const std::system_error&) {
    const size_t made = state_->threads.size() + 1;
    state_->stop();
    fail(Code::work_failed,
         "the system gave only " + std::to_string(made) + " of " + std::to_string(options.threads) + " threads",
         "use a smaller --threads, or raise the limit on processes (ulimit -u, pids.max)");
  }
}

WorkerPool::~WorkerPool() {
  state_->stop();
  if (state_->pinned == std::this_thread::get_id() && state_->before) {
    ::pthread_setaffinity_np(::pthread_self(), sizeof *state_->before, &*state_->before);
  }
}

int WorkerPool::size() const { return state_->size; }

void WorkerPool::run_raw(void (*function)(void*, int), void* context) {
  State& s = *state_;
  AUTOGLM_CHECK(!s.running.exchange(true), "run() called inside a job, or by two threads at once");
  s.pin_caller();
  s.function = function;
  s.context = context;
  s.failed.store(false);
  s.arrived.store(0);
  s.pending.value.store(static_cast<uint32_t>(s.size - 1));
  if (s.size > 1) {
    s.job.value.fetch_add(1);
    s.job.wake();
  }
  s.execute(0);
  for (uint32_t left = s.pending.value.load(); left != 0; left = s.pending.value.load()) {
    s.pending.wait_while(left, s.spin);
  }
  const std::exception_ptr error = s.failed.load() ? std::exchange(s.error, nullptr) : nullptr;
  s.running.store(false);
  if (error) std::rethrow_exception(error);
}

void WorkerPool::parallel_for_raw(int64_t n, int64_t grain, void (*function)(void*, int64_t, int64_t), void* context) {
  AUTOGLM_CHECK(grain > 0, "a piece has at least one element");
  if (n <= 0) return;
  const int64_t pieces = (n - 1) / grain + 1;
  std::atomic<int64_t> next{0};
  run([&](int) {
    for (int64_t piece = next.fetch_add(1); piece < pieces; piece = next.fetch_add(1)) {
      const int64_t begin = piece * grain;
      try {
        function(context, begin, begin + std::min(grain, n - begin));
      } catch (...) {
        next.store(pieces);  // the others need not go on
        throw;
      }
    }
  });
}

void WorkerPool::barrier() {
  State& s = *state_;
  AUTOGLM_CHECK(s.running.load(std::memory_order_relaxed), "barrier() called outside a job");
  const uint32_t seen = s.barrier.value.load();
  if (s.failed.load()) throw Abandoned{};
  if (s.arrived.fetch_add(1) + 1 == s.size) {
    s.arrived.store(0);
    s.barrier.value.fetch_add(1);
    s.barrier.wake();
    return;
  }
  s.barrier.wait_while(seen, s.spin);
  if (s.failed.load()) throw Abandoned{};
}

}  // namespace autoglm
