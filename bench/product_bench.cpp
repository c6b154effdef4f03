// What the product of a decoded panel and rows of int8 activations reaches with everything in the core's own caches,
// as a share of the multiply-adds that the same core does on registers: the bound of a prefill, in which attention and
// all else comes on top (one thread; ISAs that decode panels). And what the product of one row reads of packed panels
// that come from memory, as a share of what the same threads read with nothing else to do: the bound of a decode step.
//    usage: product_bench [isa [threads]]
#include <algorithm>
#include <barrier>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "base/pages.h"
#include "kernels/cpu/cpu_backend.h"

namespace autoglm::cpu {
namespace {

double now() {
  timespec t{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) * 1e-9;
}

/// Operations a second of f(), which does `operations`: the best of nine, so that a busy machine disturbs little.
template <typename F>
double best(double operations, F&& f) {
  double rate = 0.0;
  for (int round = 0; round < 9; ++round) {
    const double begin = now();
    f();
    rate = std::max(rate, operations / (now() - begin));
  }
  return rate;
}

double roof(const IsaTable& isa) {
  constexpr int64_t kRounds = 1 << 18;
  const double operations = 2.0 * static_cast<double>(isa.probe_int8(kRounds));
  return best(operations, [&] { isa.probe_int8(kRounds); });
}

/// 96 rows of 32 * groups columns times a panel of as many.
double product(const IsaTable& isa, bool minima, int64_t groups) {
  constexpr int64_t kRows = 96;
  const QuantLayout layout{CodeForm::byte, ScaleForm::single, false, minima};
  const Activations shape{.cols = groups * 32};
  Pages panel(layout.panel_bytes(groups), false), rows(kRows * shape.code_stride() * 64, false);
  std::memset(rows.data(), 1, static_cast<size_t>(rows.size()));
  std::memset(panel.data(), 1, static_cast<size_t>(panel.size()));
  std::vector<float> out(kRows * kPanel);
  QuantPanelArgs args;
  args.layout = layout;
  args.panel = panel.data();
  args.groups = groups;
  args.x = reinterpret_cast<const ActGroup*>(rows.data());
  args.x_stride = shape.code_stride();
  args.m = kRows;
  args.out = out.data();
  const int64_t times = std::max<int64_t>(1, 4000 / groups);
  return best(2.0 * kRows * kPanel * 32 * static_cast<double>(groups * times), [&] {
    for (int64_t i = 0; i < times; ++i) isa.gemm_quant(args);
  });
}

/// Seconds of each of nine rounds in which all threads run f(thread) and, after a meeting, g(thread).
template <typename F, typename G>
std::vector<std::pair<double, double>> in_turns(int threads, F&& f, G&& g) {
  constexpr int kRounds = 9;
  std::barrier meet(threads + 1);
  std::vector<std::thread> workers;
  for (int t = 0; t < threads; ++t) {
    workers.emplace_back([&, t] {
      const FlushDenormals flush;
      for (int round = 0; round < kRounds; ++round) {
        meet.arrive_and_wait();
        f(t);
        meet.arrive_and_wait();
        g(t);
        meet.arrive_and_wait();
      }
    });
  }
  const auto clock = [] { return std::chrono::steady_clock::now(); };
  std::vector<std::pair<double, double>> rounds;
  for (int round = 0; round < kRounds; ++round) {
    meet.arrive_and_wait();
    const auto begin = clock();
    meet.arrive_and_wait();
    const auto middle = clock();
    meet.arrive_and_wait();
    rounds.emplace_back(std::chrono::duration<double>(middle - begin).count(),
                        std::chrono::duration<double>(clock() - middle).count());
  }
  for (std::thread& worker : workers) worker.join();
  return rounds;
}

/// One row of 2,048 columns times panels from memory, and the same memory only read: the round with the median ratio.
void one_row(const IsaTable& isa, const char* name, QuantLayout layout, int threads) {
  constexpr int64_t kGroups = 64, kBytes = 512 << 20;
  const int64_t panel = layout.panel_bytes(kGroups), panels = kBytes / threads / panel, part = panels * panel;
  Pages memory(part * threads, /*huge=*/true), row(kGroups * static_cast<int64_t>(sizeof(ActGroup)), false);
  std::memset(memory.data(), 1, static_cast<size_t>(memory.size()));
  std::memset(row.data(), 1, static_cast<size_t>(row.size()));
  const auto multiply = [&](int t) {
    float out[kPanel];
    QuantPanelArgs args;
    args.layout = layout;
    args.groups = kGroups;
    args.x = reinterpret_cast<const ActGroup*>(row.data());
    args.x_stride = kGroups;
    args.m = 1;
    args.out = out;
    args.far = true;
    for (int64_t i = 0; i < panels; ++i) {
      args.panel = memory.data() + t * part + i * panel;
      isa.gemm_quant(args);
    }
  };
  std::vector<uint64_t> sums(static_cast<size_t>(threads));  // so that no reading is left out
  const auto read = [&](int t) { sums[static_cast<size_t>(t)] = isa.probe_read(memory.data() + t * part, part); };
  auto rounds = in_turns(threads, multiply, read);
  std::ranges::sort(rounds, {}, [](const auto& round) { return round.second / round.first; });
  const auto [product, reading] = rounds[rounds.size() / 2];
  const auto gigabytes = static_cast<double>(part * threads) * 1e-9;
  std::printf("one row, %-10s %d threads: %.1f of %.1f GB/s, %.0f %%\n", name, threads, gigabytes / product,
              gigabytes / reading, 100 * reading / product);
}

int run(int argc, char** argv) {
  const IsaTable isa = table_for(argc > 1 ? argv[1] : "avx512");
  const int threads = argc > 2 ? std::max(1, std::atoi(argv[2])) : 2;
  one_row(isa, "nibble32", {CodeForm::nibble, ScaleForm::half, false, false}, threads);
  one_row(isa, "nibble32m", {CodeForm::nibble, ScaleForm::half, false, true}, threads);
  one_row(isa, "nibble32mi", {CodeForm::nibble, ScaleForm::integer, false, true}, threads);
  one_row(isa, "byte32", {CodeForm::byte, ScaleForm::half, false, false}, threads);
  if (isa.expand == nullptr) {
    std::printf("%s multiplies panels as they are packed\n", isa.name);
    return 0;
  }
  const FlushDenormals flush;
  const double most = roof(isa);
  std::printf("%s: int8 roof of one thread %.0f Gop/s\n", isa.name, most * 1e-9);
  for (const bool minima : {false, true}) {
    for (const int64_t groups : {18, 64}) {
      const double rate = product(isa, minima, groups);
      std::printf("%4lld columns%s: %.0f Gop/s, %.1f %%\n", static_cast<long long>(groups * 32),
                  minima ? ", minima" : "        ", rate * 1e-9, 100 * rate / most);
    }
  }
  return 0;
}

}  // namespace
}  // namespace autoglm::cpu

int main(int argc, char** argv) { return autoglm::cpu::run(argc, argv); }
