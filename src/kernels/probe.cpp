#include "kernels/probe.h"

#include <sys/mman.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <functional>

#include "base/pool.h"
#include "hw/machine.h"
#include "kernels/cpu/cpu_backend.h"

namespace autoglm {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kRounds = 4;

double seconds_of(const std::function<void()>& work) {
  const Clock::time_point begin = Clock::now();
  work();
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

/// Operations a second of `probe` on all workers, in rounds of some 20 ms.
double arithmetic(WorkerPool& pool, int64_t (*probe)(int64_t)) {
  int64_t rounds = 1000;
  while (rounds < int64_t{1} << 40 && seconds_of([&] { probe(rounds); }) < 0.005) rounds *= 2;
  rounds *= 4;
  double best = 0.0;
  for (int round = 0; round < kRounds; ++round) {
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

double reading(WorkerPool& pool, const cpu::IsaTable& table, int64_t bytes, bool huge) {
  const cpu::Pages pages(bytes, huge);
  if (!huge) ::madvise(pages.data(), static_cast<size_t>(bytes), MADV_NOHUGEPAGE);
  const int64_t share = bytes / pool.size() / 4096 * 4096;
  pool.run([&](int worker) { std::memset(pages.data() + worker * share, worker + 1, static_cast<size_t>(share)); });
  double best = 0.0;
  for (int round = 0; round < kRounds; ++round) {
    const double seconds = seconds_of([&] {
      pool.run([&](int worker) {
        volatile uint64_t sink = table.probe_read(pages.data() + worker * share, share);
        (void)sink;
      });
    });
    best = std::max(best, static_cast<double>(share * pool.size()) / seconds);
  }
  return best / 1e9;
}

int64_t read_size(const Machine& machine) {
  constexpr int64_t kMiB = 1 << 20;
  const int64_t wanted = std::clamp(2 * machine.cache_l3_bytes, 256 * kMiB, 1024 * kMiB);
  return std::max(16 * kMiB, std::min(wanted, machine.usable_memory() / 8)) / kMiB * kMiB;
}

}  // namespace

Roofs probe_roofs(WorkerPool& pool, std::string_view isa) {
  const cpu::IsaTable table = cpu::table_for(isa);
  Roofs roofs;
  roofs.int8_gops = arithmetic(pool, table.probe_int8);
  roofs.bf16_gops = arithmetic(pool, table.probe_bf16);
  roofs.read_bytes = read_size(read_machine());
  roofs.read_gbps_small = reading(pool, table, roofs.read_bytes, false);
  roofs.read_gbps_huge = reading(pool, table, roofs.read_bytes, true);
  return roofs;
}

}  // namespace autoglm
