// What the product of a decoded panel and rows of int8 activations reaches with everything in the core's own caches,
// as a share of the multiply-adds that the same core does on registers: the bound of a prefill, in which attention and
// all else comes on top.   usage: product_bench [isa]   (one thread; ISAs that decode panels)
#include <algorithm>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <memory>
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

int run(int argc, char** argv) {
  const IsaTable isa = table_for(argc > 1 ? argv[1] : "avx512");
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
