// The templates of CpuBackend; included by cpu_backend.h only.
#include "base/pool.h"

namespace autoglm::cpu {

template <typename F>
void CpuBackend::parallel(F&& f) {
  ++region_;
  pool_.run([&](int index) {
    const FlushDenormals flush;
    Worker& worker = workers_[static_cast<size_t>(index)];
    // Nobody looks at the next region's counters before all have left this one.
    for (Counter& counter : worker.counters[(region_ + 1) % 2]) counter.taken.store(0, std::memory_order_relaxed);
    f(worker);
  });
}

template <typename F>
void CpuBackend::share(Worker& worker, int loop, int64_t n, int64_t grain, F&& f) {
  share_ranges(worker, loop, n, grain, [&f](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) f(i);
  });
}

template <typename F>
void CpuBackend::share_ranges(Worker& worker, int loop, int64_t n, int64_t grain, F&& f) {
  const int64_t size = pool_size();
  for (int64_t k = 0; k < size; ++k) {
    const int64_t owner = (worker.index + k) % size;
    const int64_t first = n * owner / size, last = n * (owner + 1) / size;
    std::atomic<int64_t>& taken = workers_[static_cast<size_t>(owner)].counters[region_ % 2][loop].taken;
    int64_t at = taken.load(std::memory_order_relaxed);
    while (first + at < last) {
      // Smaller pieces towards the end, so that nobody waits for long.
      const int64_t piece = std::clamp<int64_t>((last - first - at) / 4, 1, grain);
      if (!taken.compare_exchange_weak(at, at + piece, std::memory_order_relaxed)) continue;
      f(first + at, first + at + piece);
      at = taken.load(std::memory_order_relaxed);
    }
  }
}

template <typename F>
Activations CpuBackend::prepare(Worker& worker, int64_t rows, const Activations& x, F&& one) {
  if (copies_of(rows) == 1 && pool_size() > 1) {
    share(worker, 0, rows, grain_of(rows), [&](int64_t row) {
      own_row(x, row + 2);
      one(row, x);
    });
    barrier();
    return x;
  }
  const Activations own = x.from(worker.index * rows);
  for (int64_t row = 0; row < rows; ++row) one(row, own);
  return own;
}

template <typename F>
void CpuBackend::share_products(Worker& worker, int loop, int64_t panels, int64_t rows, const Blocking& blocking,
                                F&& f) {
  const int64_t parts = blocking.parts;
  share_ranges(worker, loop, panels * parts, blocking.panels, [&](int64_t begin, int64_t end) {
    while (begin < end) {
      const int64_t part = begin / panels, first = part * panels, last = std::min(end, first + panels);
      f(begin - first, last - first, RowRange{part_row(rows, parts, part), part_row(rows, parts, part + 1)});
      begin = last;
    }
  });
}

template <size_t n, typename F>
void CpuBackend::multiply_panels(Worker& worker, const std::array<const CpuWeight*, n>& weights, int64_t begin,
                                 int64_t end, const Activations& x, const RowRange& range, const Blocking& blocking,
                                 const RowsOut& out, F&& f) {
  const int64_t rows = range.end - range.begin;
  static_assert(n <= 2, "a worker has two tiles");
  PanelProduct products[n][kMaxPanels];
  for (size_t w = 0; w < n; ++w) {
    const int64_t bytes = expanded_bytes(*weights[w]);
    for (int64_t i = 0; i < end - begin; ++i) {
      uint8_t* room = worker.expanded[w] + (by_pieces(*weights[w], rows) ? 0 : i * bytes);
      products[w][i] = PanelProduct(isa_, *weights[w], 0, begin + i, rows, worker, room);
    }
  }
  // The packed panels after these, a share of each with every chunk of the rows.
  const auto share_of = [rows](const CpuWeight& weight, int64_t panel, int64_t at, int64_t m) {
    if (weight.kind != Kind::quant || panel >= weight.panels) return std::span<const uint8_t>();
    const int64_t from = weight.panel_bytes * at / rows, last = weight.panel_bytes * (at + m) / rows;
    return std::span(weight.panel(0, panel) + from, static_cast<size_t>(last - from));
  };
  for_chunks(rows, blocking.rows, [&](int64_t at, int64_t m) {
    const int64_t first = range.begin + at;
    for (int64_t i = 0; i < end - begin; ++i) {
      const int64_t width = products[0][i].width();
      float* to = out.data + first * out.stride + (begin + i) * out.width;
      if (rows >= kBlockRows) own_lines(to, m, std::min(width, out.width), out.stride);
      for (size_t w = 0; w < n; ++w) {
        products[w][i].multiply(x, nullptr, first, m, worker.tile[w], share_of(*weights[w], end + i, at, m));
      }
      f(to, (begin + i) * kPanel, m, width);
    }
  });
}

inline int64_t CpuBackend::parts_of(int64_t rows) const {
  if (isa_.gemm_signed != nullptr) return 1;
  return std::clamp<int64_t>(rows / kPartRows, 1, pool_.size());
}

inline int64_t CpuBackend::pool_size() const { return pool_.size(); }
inline void CpuBackend::barrier() { pool_.barrier(); }

inline int64_t CpuBackend::grain_of(int64_t n) const { return std::max<int64_t>(1, n / (8 * pool_.size())); }

}  // namespace autoglm::cpu
