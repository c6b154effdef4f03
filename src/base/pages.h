// Zeroed memory straight from the system.
#pragma once

#include <cstddef>
#include <cstdint>

namespace autoglm {

/// Anonymous memory: zero, page-aligned (to 2 MiB where `huge` and it is that large). Moves; throws Error
/// out_of_memory.
class Pages {
 public:
  Pages() = default;
  /// `huge` asks for huge pages: for what is streamed, such as weights. `resident`: every page is taken at once, so
  /// that what the plan counted is had when it can still be refused and no step pays page faults; false is for memory
  /// that is filled from end to end right away.
  explicit Pages(int64_t bytes, bool huge = false, bool resident = true);
  ~Pages();
  Pages(Pages&& other) noexcept;
  Pages& operator=(Pages&& other) noexcept;

  uint8_t* data() const { return static_cast<uint8_t*>(data_); }
  int64_t size() const { return size_; }

 private:
  void* data_ = nullptr;
  int64_t size_ = 0;
};

}  // namespace autoglm
