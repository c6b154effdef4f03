// What bounds int8 products with a scale every 32 columns on Intel AMX: times of the pieces of one 16 x 16 x 32 tile
// product, all data in the first-level cache, and of the pieces together. If they overlapped, "all" would cost what the
// slowest piece costs; docs/PERFORMANCE.md says what was found.   usage: amx_bound   (prints nanoseconds a product)
#include <immintrin.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <ctime>

#include "hw/cpu.h"
#include "kernels/cpu/isa_avx512/amx_tiles.h"

namespace {

constexpr int kGroups = 16;  // of 32 columns: 10 KB of activations, 17 KB of weights
constexpr int kRounds = 20000;

alignas(64) int8_t activations[kGroups][16][32];
alignas(64) int8_t weights[kGroups][8][128];
alignas(64) float weight_scale[kGroups][16];
alignas(64) float row_scale[kGroups][16];
alignas(64) int32_t sums[2][16][16];

double now() {
  timespec t{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) * 1e-9;
}

/// The best of seven, so that a busy machine disturbs little.
template <typename F>
void report(const char* name, F&& one_pass, bool products = true) {
  double best = 1e9;
  for (int repeat = 0; repeat < 7; ++repeat) {
    const double begin = now();
    for (int i = 0; i < kRounds; ++i) one_pass();
    best = std::min(best, (now() - begin) / kRounds / kGroups * 1e9);
  }
  std::printf("%-44s %5.1f ns", name, best);
  if (products) std::printf("  %5.0f Gop/s", 2 * 16 * 16 * 32 / best);
  std::printf("\n");
}

/// `bytes`: of a row of activations, as many columns of weights.
void configure(int bytes = 32) {
  autoglm::cpu::avx512amx::TileConfig config;
  for (int i = 0; i < 2; ++i) {
    config.set(i, 16, 64);
    config.set(4 + i, 16, bytes);
    config.set(6 + i, bytes / 4, 64);
  }
  load_config(config);
}

#define LOAD(buffer, g)                          \
  _tile_loadd(4 + (buffer), activations[g], 32); \
  _tile_loadd(6 + (buffer), weights[g], 128)
#define PRODUCT(buffer) \
  _tile_zero(buffer);   \
  _tile_dpbssd(buffer, 4 + (buffer), 6 + (buffer))
#define STORE(buffer) _tile_stored(buffer, sums[buffer], 64)

/// Sixteen rows of sums: to float, times weight scale times row scale, added.
__attribute__((always_inline)) inline void scale(int buffer, int g, __m512 (&total)[16]) {
  const __m512 w = _mm512_load_ps(weight_scale[g]);
#pragma GCC unroll 16
  for (int t = 0; t < 16; ++t) {
    const __m512 both = _mm512_mul_ps(w, _mm512_set1_ps(row_scale[g][t]));
    total[t] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(_mm512_load_si512(sums[buffer][t])), both, total[t]);
    asm volatile("" : "+v"(total[t]));
  }
  asm volatile("" : : : "memory");
}

enum class Beside { nothing, int8, bf16 };

/// 64 vector instructions that do not wait for each other, alone or with a tile product before them.
template <Beside product, typename Op>
void sixty_four(const char* name, Op op) {
  __m512 values[16];
  for (__m512& v : values) v = _mm512_setzero_ps();
  report(
      name,
      [&] {
        for (int g = 0; g < kGroups; ++g) {
          if constexpr (product == Beside::int8) _tile_dpbssd(0, 4, 6);
          if constexpr (product == Beside::bf16) _tile_dpbf16ps(0, 4, 6);
          for (int i = 0; i < 4; ++i) {
#pragma GCC unroll 16
            for (__m512& v : values) {
              v = op(v);
              asm volatile("" : "+v"(v));
            }
          }
        }
      },
      /*products=*/false);
}

}  // namespace

int main() {
  if (!autoglm::cpu_features().amx_int8 || !autoglm::cpu_features().amx_bf16) {
    std::printf("this CPU has no AMX (or the system does not let it be used)\n");
    return 0;
  }
  std::memset(activations, 1, sizeof activations);
  std::memset(weights, 1, sizeof weights);
  for (int g = 0; g < kGroups; ++g) {
    std::fill_n(weight_scale[g], 16, 1.0f);
    std::fill_n(row_scale[g], 16, 1.0f);
  }
  configure();
  __m512 total[16];
  for (__m512& t : total) t = _mm512_setzero_ps();
  report("product", [] {
    for (int g = 0; g < kGroups; g += 2) {
      PRODUCT(0);
      PRODUCT(1);
    }
  });
  report("loads of activations and weights", [] {
    for (int g = 0; g < kGroups; g += 2) {
      LOAD(0, g);
      LOAD(1, g + 1);
    }
  });
  report("store of the sums", [] {
    for (int g = 0; g < kGroups; g += 2) {
      STORE(0);
      STORE(1);
    }
  });
  report("scaling", [&] {
    for (int g = 0; g < kGroups; ++g) scale(g % 2, g, total);
  });
  report("loads, product", [] {
    for (int g = 0; g < kGroups; g += 2) {
      LOAD(0, g);
      PRODUCT(0);
      LOAD(1, g + 1);
      PRODUCT(1);
    }
  });
  report("loads, product, store", [] {
    for (int g = 0; g < kGroups; g += 2) {
      LOAD(0, g);
      PRODUCT(0);
      STORE(0);
      LOAD(1, g + 1);
      PRODUCT(1);
      STORE(1);
    }
  });
  report("all: scaling of the product before", [&] {
    for (int g = 0; g < kGroups; g += 2) {
      LOAD(0, g);
      PRODUCT(0);
      STORE(0);
      scale(1, g, total);
      LOAD(1, g + 1);
      PRODUCT(1);
      STORE(1);
      scale(0, g + 1, total);
    }
  });
  float sum = 0.0f;
  for (const __m512& t : total) sum += _mm512_reduce_add_ps(t);
  std::printf("(%g)\n", static_cast<double>(sum));  // so that nothing is left out
  __m512 one = _mm512_set1_ps(1.0f);
  asm volatile("" : "+v"(one));  // a multiplication by 1 that the compiler knows of would be an addition
  const auto multiply = [&](__m512 v) __attribute__((always_inline)) { return _mm512_fmadd_ps(one, one, v); };
  const auto add = [&](__m512 v) __attribute__((always_inline)) { return _mm512_add_ps(one, v); };
  sixty_four<Beside::nothing>("64 multiply-adds", multiply);
  sixty_four<Beside::nothing>("64 additions", add);
  for (const int bytes : {32, 64}) {
    configure(bytes);
    std::printf("beside tile products of %d bytes a row:\n", bytes);
    sixty_four<Beside::int8>("64 multiply-adds, int8", multiply);
    sixty_four<Beside::bf16>("64 multiply-adds, bf16", multiply);
    sixty_four<Beside::int8>("64 additions, int8", add);
    sixty_four<Beside::bf16>("64 additions, bf16", add);
  }
  _tile_release();
  return 0;
}
