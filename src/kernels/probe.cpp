#include "kernels/probe.h"

#include <sys/mman.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <functional>

#include "base/error.h"
#include "base/pool.h"
#include "hw/machine.h"
#include "kernels/cpu/cpu_backend.h"

namespace autoglm {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kTries = 4;

double seconds_of(const std::function<void()>& work) {
  const Clock::time_point begin = Clock::now();
  work();
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

/// Rounds of `probe` that take some 20 ms.
int64_t calibrate(int64_t (*probe)(int64_t)) {
  int64_t rounds = 1000;
  while (rounds < int64_t{1} << 40 && seconds_of([&] { probe(rounds); }) < 0.005) rounds *= 2;
  return rounds * 4;
}

/// Operations a second of `probe` on all workers.
double arithmetic(WorkerPool& pool, int64_t (*probe)(int64_t), int64_t rounds, int tries, const ProbeCheck& check) {
  double best = 0.0;
  for (int i = 0; i < tries; ++i) {
    if (check) check();
    int64_t multiply_adds = 0;
    const double seconds = seconds_of([&] {
      pool.run([&](int worker) {
        const int64_t done = probe(rounds);
        if (worker == 0) multiply_adds = done * pool.size();
      });
    });
    best = std::max(best, 2.0 * static_cast<double>(multiply_adds) / seconds);
  }
  return best / 1e9;
}

/// Memory on one kind of page, each worker's share first written by it.
class ReadBuffer {
 public:
  ReadBuffer(WorkerPool& pool, int64_t bytes, bool huge, const ProbeCheck& check)
      : size_(static_cast<size_t>(bytes)), share_(bytes / pool.size() / 4096 * 4096) {
    if (check) check();
    void* data = ::mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (data == MAP_FAILED) fail(Code::out_of_memory, "the system has no memory left to probe its speed with");
    data_ = static_cast<uint8_t*>(data);
    ::madvise(data, size_, huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);  // a wish: systems without huge pages have one kind
    pool.run([&](int worker) { std::memset(place(worker), worker + 1, static_cast<size_t>(share_)); });
  }

  ~ReadBuffer() { ::munmap(data_, size_); }
  ReadBuffer(const ReadBuffer&) = delete;
  ReadBuffer& operator=(const ReadBuffer&) = delete;

  double gbps(WorkerPool& pool, const cpu::IsaTable& table, int tries, const ProbeCheck& check) const {
    double best = 0.0;
    for (int i = 0; i < tries; ++i) {
      if (check) check();
      const double seconds = seconds_of([&] {
        pool.run([&](int worker) {
          volatile uint64_t sink = table.probe_read(place(worker), share_);
          (void)sink;
        });
      });
      best = std::max(best, static_cast<double>(share_ * pool.size()) / seconds);
    }
    return best / 1e9;
  }

 private:
  uint8_t* place(int worker) const { return data_ + worker * share_; }

  uint8_t* data_ = nullptr;
  size_t size_;
  int64_t share_;
};

int64_t read_size(const Machine& machine) {
  constexpr int64_t kMiB = 1 << 20;
  const int64_t wanted = std::clamp(2 * machine.cache_l3_bytes, 256 * kMiB, 1024 * kMiB);
  return std::max(16 * kMiB, std::min(wanted, machine.usable_memory() / 8)) / kMiB * kMiB;
}

}  // namespace

struct RoofProbe::State {
  State(WorkerPool& workers, std::string_view isa, const ProbeCheck& check)
      : pool(workers),
        table(cpu::table_for(isa)),
        read_bytes(read_size(read_machine())),
        int8_rounds(calibrate(table.probe_int8)),
        bf16_rounds(calibrate(table.probe_bf16)),
        small(pool, read_bytes, false, check),
        huge(pool, read_bytes, true, check) {}

  WorkerPool& pool;
  cpu::IsaTable table;
  int64_t read_bytes;
  int64_t int8_rounds;
  int64_t bf16_rounds;
  ReadBuffer small;
  ReadBuffer huge;
};

RoofProbe::RoofProbe(WorkerPool& pool, std::string_view isa, const ProbeCheck& check)
    : state_(std::make_unique<State>(pool, isa, check)) {}
RoofProbe::~RoofProbe() = default;

Roofs RoofProbe::round(int tries, const ProbeCheck& check) const {
  const State& s = *state_;
  return {.int8_gops = arithmetic(s.pool, s.table.probe_int8, s.int8_rounds, tries, check),
          .bf16_gops = arithmetic(s.pool, s.table.probe_bf16, s.bf16_rounds, tries, check),
          .read_gbps_small = s.small.gbps(s.pool, s.table, tries, check),
          .read_gbps_huge = s.huge.gbps(s.pool, s.table, tries, check),
          .read_bytes = s.read_bytes};
}

double probe_int8_gops(WorkerPool& pool, std::string_view isa) {
  const auto probe = cpu::table_for(isa).probe_int8;
  return arithmetic(pool, probe, calibrate(probe), kTries, {});
}

int64_t probe_read_bytes(int64_t weights) {
  constexpr int64_t kMiB = 1 << 20;
  return std::clamp(weights, 64 * kMiB, 256 * kMiB) / kMiB * kMiB;
}

double probe_read_gbps(WorkerPool& pool, std::string_view isa, int64_t bytes) {
  return ReadBuffer(pool, bytes, true, {}).gbps(pool, cpu::table_for(isa), 2, {});
}

Roofs probe_roofs(WorkerPool& pool, std::string_view isa, const ProbeCheck& check) {
  return RoofProbe(pool, isa, check).round(kTries, check);
}

}  // namespace autoglm
