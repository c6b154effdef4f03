// Zeroed memory straight from the system.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <thread>
#include <vector>

namespace autoglm {

/// Takes memory in the background that was promised to somebody: what a step touches first costs a page fault then, and
/// a program that waited for all of it would answer later. At low priority, 2 MiB at a time; what the memory holds
/// stays as it is. Any thread may call.
class PageFiller {
 public:
  PageFiller() = default;
  ~PageFiller();
  PageFiller(const PageFiller&) = delete;
  PageFiller& operator=(const PageFiller&) = delete;

  /// Memory that is to be taken once start() has been called.
  void add(void* data, size_t size);
  /// Before it is given back. Waits if it is being taken at this moment.
  void remove(const void* data, size_t size);
  /// Begins; the first call starts a thread, which may run where the caller may.
  void start();
  /// start(), and returns when all is taken.
  void finish();

 private:
  using Range = std::span<std::byte>;
  void work();

  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Range> ranges_;  // to be taken, in this order
  Range taking_;               // at this moment
  bool stopping_ = false;
  std::thread thread_;
};

/// Anonymous memory: zero, page-aligned (to 2 MiB where `huge` and it is that large). Moves; throws Error
/// out_of_memory.
class Pages {
 public:
  Pages() = default;
  /// `huge` asks for huge pages: for what is streamed, such as weights. `resident`: every page is taken at once; false
  /// is for memory that is filled from end to end right away.
  explicit Pages(int64_t bytes, bool huge = false, bool resident = true);
  /// Taken by the filler, or by who touches it first.
  Pages(int64_t bytes, bool huge, std::shared_ptr<PageFiller> filler);
  ~Pages();
  Pages(Pages&& other) noexcept;
  Pages& operator=(Pages&& other) noexcept;

  uint8_t* data() const { return static_cast<uint8_t*>(data_); }
  int64_t size() const { return size_; }

 private:
  void* data_ = nullptr;
  int64_t size_ = 0;
  std::shared_ptr<PageFiller> filler_;
};

}  // namespace autoglm
