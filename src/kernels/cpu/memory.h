// Zeroed pages from the system (base/pages.h), and places carved out of them.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/pages.h"

namespace autoglm::cpu {

using autoglm::Pages;

inline constexpr int64_t round_up(int64_t n, int64_t to) { return (n + to - 1) / to * to; }

/// Hands out 64-byte-aligned arrays from a block of memory, front to back. Running over the end is a bug.
class Carver {
 public:
  Carver(uint8_t* begin, int64_t bytes) : at_(begin), left_(bytes) {}
  template <typename T>
  T* take(int64_t count) {
    return reinterpret_cast<T*>(take_bytes(count * static_cast<int64_t>(sizeof(T))));
  }

 private:
  uint8_t* take_bytes(int64_t bytes);
  uint8_t* at_;
  int64_t left_;
};

/// The floating-point state that the kernels assume, on this thread while it lives: denormals count as zero, read or
/// made (FTZ and DAZ: on many CPUs each one costs a hundred cycles, and nothing here is worth values below 1e-38),
/// rounding to nearest, no traps. The whole state is set, whatever the thread came with, and put back afterwards: the
/// caller of a phase is worker 0, may have any state, and must neither change a result nor lose it. Whoever computes
/// holds one: every parallel region on each worker, packing, and what a phase does on the caller's thread alone.
class FlushDenormals {
 public:
  FlushDenormals();
  ~FlushDenormals();
  FlushDenormals(const FlushDenormals&) = delete;
  FlushDenormals& operator=(const FlushDenormals&) = delete;

 private:
  uint64_t before_;
};

}  // namespace autoglm::cpu
