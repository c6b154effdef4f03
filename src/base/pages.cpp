#include "base/pages.h"

#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <string>
#include <utility>

#include "base/error.h"
#include "base/priority.h"

namespace autoglm {
namespace {

constexpr size_t kHugePage = size_t{2} << 20;

/// Makes every page resident and leaves what it holds. MADV_POPULATE_WRITE came with Linux 5.14; before that something
/// is written to each page, in one operation: others may be writing to it.
void commit(void* data, size_t size) {
#ifdef MADV_POPULATE_WRITE
  if (::madvise(data, size, MADV_POPULATE_WRITE) == 0 || errno != EINVAL) return;
#endif
  constexpr size_t kSmallestPage = 4096;
  auto* bytes = static_cast<uint8_t*>(data);
  for (size_t at = 0; at < size; at += kSmallestPage) std::atomic_ref(bytes[at]).fetch_or(0, std::memory_order_relaxed);
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

bool begins_in(std::span<const std::byte> range, const void* data, size_t size) {
  const auto begin = reinterpret_cast<uintptr_t>(data);
  const auto at = reinterpret_cast<uintptr_t>(range.data());
  return at >= begin && at < begin + size;
}

}  // namespace

// ---- PageFiller

PageFiller::~PageFiller() {
  {
    const std::scoped_lock lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void PageFiller::add(void* data, size_t size) {
  {
    const std::scoped_lock lock(mutex_);
    ranges_.emplace_back(static_cast<std::byte*>(data), size);
  }
  changed_.notify_all();
}

void PageFiller::remove(const void* data, size_t size) {
  std::unique_lock lock(mutex_);
  std::erase_if(ranges_, [&](Range range) { return begins_in(range, data, size); });
  changed_.wait(lock, [&] { return !begins_in(taking_, data, size); });
}

void PageFiller::start() {
  const std::scoped_lock lock(mutex_);
  if (!thread_.joinable()) thread_ = std::thread([this] { work(); });
  changed_.notify_all();
}

void PageFiller::finish() {
  start();
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return ranges_.empty() && taking_.empty(); });
}

void PageFiller::work() {
  be_nice(10);
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [&] { return stopping_ || !ranges_.empty(); });
    if (stopping_) return;
    Range& next = ranges_.front();
    taking_ = next.first(std::min(next.size(), kHugePage));
    next = next.subspan(taking_.size());
    if (next.empty()) ranges_.erase(ranges_.begin());
    lock.unlock();
    commit(taking_.data(), taking_.size());
    lock.lock();
    taking_ = {};
    changed_.notify_all();
  }
}

// ---- Pages

Pages::Pages(int64_t bytes, bool huge, bool resident) {
  if (bytes <= 0) return;
  const auto size = static_cast<size_t>(bytes);
  data_ = huge && size >= kHugePage ? map_aligned(size) : map(size);
  size_ = bytes;
  if (huge) ::madvise(data_, size, MADV_HUGEPAGE);  // a wish: small pages work too
  if (resident) commit(data_, size);
}

Pages::Pages(int64_t bytes, bool huge, std::shared_ptr<PageFiller> filler) : Pages(bytes, huge, /*resident=*/false) {
  if (bytes <= 0) return;
  filler_ = std::move(filler);
  filler_->add(data_, static_cast<size_t>(size_));
}

Pages::~Pages() {
  if (data_ == nullptr) return;
  if (filler_) filler_->remove(data_, static_cast<size_t>(size_));
  ::munmap(data_, static_cast<size_t>(size_));
}

Pages::Pages(Pages&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)),
      filler_(std::move(other.filler_)) {}

Pages& Pages::operator=(Pages&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  std::swap(filler_, other.filler_);
  return *this;
}

}  // namespace autoglm
