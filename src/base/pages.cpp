#include "base/pages.h"

#include <sys/mman.h>

#include <string>
#include <utility>

#include "base/error.h"

namespace autoglm {
namespace {

constexpr size_t kHugePage = size_t{2} << 20;

/// Makes every page resident. MADV_POPULATE_WRITE came with Linux 5.14; before that each page is written to.
void commit(void* data, size_t size) {
#ifdef MADV_POPULATE_WRITE
  if (::madvise(data, size, MADV_POPULATE_WRITE) == 0) return;
#endif
  constexpr size_t kSmallestPage = 4096;
  auto* bytes = static_cast<volatile uint8_t*>(data);
  for (size_t at = 0; at < size; at += kSmallestPage) bytes[at] = 0;
}

void* map(size_t size) {
  void* data = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (data == MAP_FAILED) {
    fail(Code::out_of_memory, "the system refused " + std::to_string(size) + " bytes of memory",
         "free memory, or choose a smaller model or context");
  }
  return data;
}

/// Only whole aligned huge pages become one: newer systems place large maps so, older ones do not.
void* map_aligned(size_t size) {
  constexpr size_t kSmallestPage = 4096;
  const size_t kept = (size + kSmallestPage - 1) / kSmallestPage * kSmallestPage;
  auto* data = static_cast<uint8_t*>(map(kept + kHugePage));
  const size_t before = (kHugePage - reinterpret_cast<uintptr_t>(data) % kHugePage) % kHugePage;
  if (before > 0) ::munmap(data, before);
  ::munmap(data + before + kept, kHugePage - before);
  return data + before;
}

}  // namespace

Pages::Pages(int64_t bytes, bool huge, bool resident) {
  if (bytes <= 0) return;
  const auto size = static_cast<size_t>(bytes);
  data_ = huge && size >= kHugePage ? map_aligned(size) : map(size);
  size_ = bytes;
  if (huge) ::madvise(data_, size, MADV_HUGEPAGE);  // a wish: small pages work too
  if (resident) commit(data_, size);
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

}  // namespace autoglm
