// Loops over register tiles must be unrolled whole, or their arrays end up in memory.
#pragma once

#if defined(__clang__)
#define AUTOGLM_UNROLL _Pragma("clang loop unroll(full)")
#else
#define AUTOGLM_UNROLL _Pragma("GCC unroll 32")
#endif
#define AUTOGLM_INLINE static inline __attribute__((always_inline))
#define AUTOGLM_INLINE_MEMBER inline __attribute__((always_inline))
// A loop whose body fills the registers: unrolled, loads of later rounds are moved up and spill them.
#if defined(__clang__)
#define AUTOGLM_NO_UNROLL _Pragma("clang loop unroll(disable)")
#else
#define AUTOGLM_NO_UNROLL _Pragma("GCC unroll 1")
#endif
