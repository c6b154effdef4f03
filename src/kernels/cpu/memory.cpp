#include "kernels/cpu/memory.h"

#include <sys/mman.h>
#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

#include <string>
#include <utility>

#include "base/error.h"

namespace autoglm::cpu {

namespace {

/// Makes every page resident. MADV_POPULATE_WRITE came with Linux 5.14; before that each page is written to.
void commit(void* data, size_t size) {
#ifdef MADV_POPULATE_WRITE
  if (::madvise(data, size, MADV_POPULATE_WRITE) == 0) return;
#endif
  constexpr size_t kSmallestPage = 4096;
  auto* bytes = static_cast<volatile uint8_t*>(data);
  for (size_t at = 0; at < size; at += kSmallestPage) bytes[at] = 0;
}

}  // namespace

Pages::Pages(int64_t bytes, bool huge) {
  if (bytes <= 0) return;
  const auto size = static_cast<size_t>(bytes);
  void* data = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (data == MAP_FAILED) {
    fail(Code::out_of_memory, "the system refused " + std::to_string(bytes) + " bytes of memory",
         "free memory, or choose a smaller model or context");
  }
  if (huge) ::madvise(data, size, MADV_HUGEPAGE);  // a wish: small pages work too
  data_ = data;
  size_ = bytes;
  commit(data, size);
}

Pages::~Pages() {
  if (data_ != nullptr) ::munmap(data_, static_cast<size_t>(size_));
}

Pages::Pages(Pages&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

Pages& Pages::operator=(Pages&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

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
