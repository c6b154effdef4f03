// What the CPU is and which instructions may be used.
#pragma once

#include <string>

namespace autoglm {

/// Instruction sets that may be used here: the CPU has them and the operating system saves their registers (XCR0; AMX
/// tiles were also granted to this process). False on other architectures.
struct CpuFeatures {
  // x86-64
  bool sse42 = false;
  bool avx2 = false;
  bool fma = false;
  bool f16c = false;
  bool bmi2 = false;
  bool avxvnni = false;  // VEX-coded vpdpbusd, 256 bits
  bool avx512 = false;   // F, BW, VL, DQ together: what our avx512 table needs at least
  bool avx512vbmi = false;
  bool avx512vnni = false;
  bool avx512bf16 = false;
  bool avx512fp16 = false;
  bool amx_int8 = false;
  bool amx_bf16 = false;
  // AArch64
  bool neon = false;
  bool neon_dotprod = false;
  bool neon_i8mm = false;
  bool neon_bf16 = false;
};

/// Reads the features of the CPU that this thread runs on. Cheap enough to call at start-up, not per step.
CpuFeatures cpu_features();

/// Bytes of a core's second-level cache; 1 MiB where the system does not say.
int64_t core_cache_bytes();

/// "avx2 fma f16c ...": the names of those that are usable, for people.
std::string to_string(const CpuFeatures& features);

/// The brand string ("AMD EPYC 9R14"), or the machine's name for its architecture where there is none.
std::string cpu_model();

}  // namespace autoglm
