#include "kernels/cpu/memory.h"

#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

#include "base/error.h"

namespace autoglm::cpu {

uint8_t* Carver::take_bytes(int64_t bytes) {
  const int64_t size = round_up(bytes, 64);
  AUTOGLM_CHECK(size <= left_, "scratch memory is smaller than this step; reserve() was given other limits");
  uint8_t* place = at_;
  at_ += size;
  left_ -= size;
  return place;
}

#if defined(__x86_64__)
FlushDenormals::FlushDenormals() : before_(_mm_getcsr()) {
  constexpr unsigned kMasked = 0x1f80, kFlushToZero = 0x8000, kDenormalsAreZero = 0x0040;  // rounding bits 0: nearest
  _mm_setcsr(kMasked | kFlushToZero | kDenormalsAreZero);
}
FlushDenormals::~FlushDenormals() { _mm_setcsr(static_cast<unsigned>(before_)); }
#elif defined(__aarch64__)
FlushDenormals::FlushDenormals() {
  asm volatile("mrs %0, fpcr" : "=r"(before_));
  asm volatile("msr fpcr, %0" ::"r"(uint64_t{1} << 24));  // FZ; rounding to nearest, no traps
}
FlushDenormals::~FlushDenormals() { asm volatile("msr fpcr, %0" ::"r"(before_)); }
#else
FlushDenormals::FlushDenormals() : before_(0) {}
FlushDenormals::~FlushDenormals() = default;
#endif

}  // namespace autoglm::cpu
