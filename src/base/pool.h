// The worker pool: persistent threads, pinned, that run one function on all workers at once.
//
// The caller is worker 0 and takes part. Its size is given to it (hw decides from affinity and quota). Workers spin
// shortly for the next job, then sleep on a futex. No allocation, lock or system call happens in run() while the
// workers spin. Only one thread may call run() at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <type_traits>
#include <vector>

namespace autoglm {

struct PoolOptions {
  int threads = 1;
  std::vector<int> cpus{};     // worker i is pinned to cpus[i]; empty: not pinned. Worker 0 is the caller: pinned too
  int spin_microseconds = 50;  // before a waiting worker sleeps
};

class WorkerPool {
 public:
  explicit WorkerPool(const PoolOptions& options);
  ~WorkerPool();
  WorkerPool(const WorkerPool&) = delete;
  WorkerPool& operator=(const WorkerPool&) = delete;

  int size() const;

  /// Calls job(worker) for worker = 0..size()-1, one on each, and returns when all have finished. An exception thrown
  /// by a job is carried to the caller (the first one, after all workers have finished).
  template <typename F>
  void run(F&& job) {
    using Job = std::remove_reference_t<F>;
    run_raw([](void* context, int worker) { (*static_cast<Job*>(context))(worker); }, &job);
  }

  /// Splits [0, n) into pieces of `grain` (the last may be shorter) and calls body(begin, end) for each, on all
  /// workers; workers take the next piece when free, so order and placement are not fixed: results must not depend on
  /// them.
  template <typename F>
  void parallel_for(int64_t n, int64_t grain, F&& body) {
    using Body = std::remove_reference_t<F>;
    parallel_for_raw(
        n, grain, [](void* context, int64_t b, int64_t e) { (*static_cast<Body*>(context))(b, e); }, &body);
  }

  /// A barrier among all workers, callable only inside a job that every worker runs.
  void barrier();

 private:
  void run_raw(void (*function)(void*, int), void* context);
  void parallel_for_raw(int64_t n, int64_t grain, void (*function)(void*, int64_t, int64_t), void* context);
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace autoglm
