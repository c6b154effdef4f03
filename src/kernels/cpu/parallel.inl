// The templates of CpuBackend; included by cpu_backend.h only.
#include "base/pool.h"

namespace autoglm::cpu {

template <typename F>
void CpuBackend::parallel(F&& f) {
  for (Counter& counter : counters_) counter.next.store(0, std::memory_order_relaxed);
  pool_.run([&](int worker) {
    const FlushDenormals flush;
    f(workers_[static_cast<size_t>(worker)]);
  });
}

template <typename F>
void CpuBackend::share(int counter, int64_t n, int64_t grain, F&& f) {
  std::atomic<int64_t>& next = counters_[static_cast<size_t>(counter)].next;
  for (int64_t begin = next.fetch_add(grain); begin < n; begin = next.fetch_add(grain)) {
    const int64_t end = std::min(n, begin + grain);
    for (int64_t i = begin; i < end; ++i) f(i);
  }
}

inline int64_t CpuBackend::pool_size() const { return pool_.size(); }
inline void CpuBackend::barrier() { pool_.barrier(); }

inline int64_t CpuBackend::grain_of(int64_t n) const { return std::max<int64_t>(1, n / (8 * pool_.size())); }

}  // namespace autoglm::cpu
