#include "hw/cpu.h"

#include <unistd.h>

#include <array>
#include <cstdint>
#include <cstring>
#include <utility>

#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#elif defined(__aarch64__)
#include <asm/hwcap.h>
#include <sys/auxv.h>

#include <fstream>
#endif

namespace autoglm {
namespace {

#if defined(__x86_64__)

struct Registers {
  uint32_t a = 0, b = 0, c = 0, d = 0;
};

Registers cpuid(uint32_t leaf, uint32_t subleaf = 0) {
  Registers r;
  if (__get_cpuid_count(leaf, subleaf, &r.a, &r.b, &r.c, &r.d) == 0) return {};
  return r;
}

bool bit(uint32_t word, int n) { return ((word >> n) & 1u) != 0; }

// The state components that the operating system saves at a context switch (Intel SDM vol. 1, 13.3). Written as bytes
// because the intrinsic needs a compiler flag that portable files do not have.
uint64_t xcr0() {
  uint32_t low = 0;
  uint32_t high = 0;
  asm volatile(".byte 0x0f, 0x01, 0xd0" : "=a"(low), "=d"(high) : "c"(0));
  return (static_cast<uint64_t>(high) << 32) | low;
}

// Linux gives AMX tile data only to a process that asks (Documentation/arch/x86/xstate.rst).
bool tile_permission() {
  constexpr long kRequestPermission = 0x1023;  // ARCH_REQ_XCOMP_PERM
  constexpr long kTileData = 18;               // XFEATURE_XTILEDATA
  return ::syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}

#endif

}  // namespace

CpuFeatures cpu_features() {
  CpuFeatures f;
#if defined(__x86_64__)
  const Registers one = cpuid(1);
  const Registers seven = cpuid(7, 0);
  const Registers seven1 = seven.a >= 1 ? cpuid(7, 1) : Registers{};
  const uint64_t saved = bit(one.c, 27) ? xcr0() : 0;
  const bool ymm = (saved & 0x6) == 0x6;
  const bool zmm = ymm && (saved & 0xe0) == 0xe0;
  const bool tiles = (saved & 0x60000) == 0x60000;
  f.sse42 = bit(one.c, 20);
  f.fma = ymm && bit(one.c, 12);
  f.f16c = ymm && bit(one.c, 29);
  f.avx2 = ymm && bit(seven.b, 5);
  f.bmi2 = bit(seven.b, 8);
  f.avxvnni = f.avx2 && bit(seven1.a, 4);
  f.avx512 = zmm && bit(seven.b, 16) && bit(seven.b, 30) && bit(seven.b, 31) && bit(seven.b, 17);
  f.avx512vbmi = f.avx512 && bit(seven.c, 1);
  f.avx512vnni = f.avx512 && bit(seven.c, 11);
  f.avx512bf16 = f.avx512 && bit(seven1.a, 5);
  f.avx512fp16 = f.avx512 && bit(seven.d, 23);
  const bool amx = tiles && bit(seven.d, 24) && tile_permission();
  f.amx_int8 = amx && bit(seven.d, 25);
  f.amx_bf16 = amx && bit(seven.d, 22);
#elif defined(__aarch64__)
  const unsigned long caps = ::getauxval(AT_HWCAP);
  const unsigned long caps2 = ::getauxval(AT_HWCAP2);
  f.neon = (caps & HWCAP_ASIMD) != 0;
  f.neon_dotprod = (caps & HWCAP_ASIMDDP) != 0;
  f.neon_i8mm = (caps2 & HWCAP2_I8MM) != 0;
  f.neon_bf16 = (caps2 & HWCAP2_BF16) != 0;
#endif
  return f;
}

std::string to_string(const CpuFeatures& f) {
  const std::array<std::pair<bool, const char*>, 17> names = {{
      {f.sse42, "sse4.2"},
      {f.avx2, "avx2"},
      {f.fma, "fma"},
      {f.f16c, "f16c"},
      {f.bmi2, "bmi2"},
      {f.avxvnni, "avxvnni"},
      {f.avx512, "avx512"},
      {f.avx512vbmi, "avx512vbmi"},
      {f.avx512vnni, "avx512vnni"},
      {f.avx512bf16, "avx512bf16"},
      {f.avx512fp16, "avx512fp16"},
      {f.amx_int8, "amx_int8"},
      {f.amx_bf16, "amx_bf16"},
      {f.neon, "neon"},
      {f.neon_dotprod, "dotprod"},
      {f.neon_i8mm, "i8mm"},
      {f.neon_bf16, "bf16"},
  }};
  std::string out;
  for (const auto& [has, name] : names) {
    if (has) out += (out.empty() ? "" : " ") + std::string(name);
  }
  return out;
}

std::string cpu_model() {
#if defined(__x86_64__)
  std::string brand;
  if (cpuid(0x80000000).a >= 0x80000004) {
    for (uint32_t leaf = 0x80000002; leaf <= 0x80000004; ++leaf) {
      const Registers r = cpuid(leaf);
      for (const uint32_t word : {r.a, r.b, r.c, r.d}) {
        char bytes[4];
        std::memcpy(bytes, &word, 4);
        brand.append(bytes, 4);
      }
    }
  }
  brand = brand.substr(0, brand.find('\0'));
  while (!brand.empty() && brand.front() == ' ') brand.erase(0, 1);
  while (!brand.empty() && brand.back() == ' ') brand.pop_back();
  return brand.empty() ? "x86-64" : brand;
#elif defined(__aarch64__)
  std::ifstream file("/proc/device-tree/model");
  std::string model;
  std::getline(file, model, '\0');
  return model.empty() ? "AArch64" : model;
#else
  return "unknown";
#endif
}

int64_t core_cache_bytes() {
  const long bytes = ::sysconf(_SC_LEVEL2_CACHE_SIZE);
  return bytes > 0 ? bytes : int64_t{1} << 20;
}

}  // namespace autoglm
