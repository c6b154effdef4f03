// The memory ledger: one book for every large allocation, with a limit.
#pragma once

#include <array>
#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>

namespace autoglm {

/// What memory is used for. `weights` counts packed copies and the mapped file alike: what will be resident.
enum class MemoryLine : uint8_t { weights, kv, activations, cache, tokenizer, process, grammars, count_ };

std::string_view name(MemoryLine line);

/// Thread-safe. reserve() refuses what would pass the limit with Error out_of_memory whose message gives both numbers.
class Ledger {
 public:
  explicit Ledger(int64_t limit_bytes);  // 0: no limit
  void reserve(MemoryLine line, int64_t bytes, std::string_view what);
  /// The same, told by false.
  bool try_reserve(MemoryLine line, int64_t bytes);
  void release(MemoryLine line, int64_t bytes);
  int64_t used(MemoryLine line) const;
  int64_t total() const;
  int64_t limit() const { return limit_; }

 private:
  mutable std::mutex mutex_;
  int64_t limit_ = 0;
  std::array<int64_t, static_cast<size_t>(MemoryLine::count_)> lines_{};
};

/// A reservation that is given back when it goes out of scope.
class Reservation {
 public:
  Reservation() = default;
  Reservation(Ledger& ledger, MemoryLine line, int64_t bytes, std::string_view what);
  ~Reservation();
  Reservation(Reservation&& other) noexcept;
  Reservation& operator=(Reservation&& other) noexcept;

 private:
  Ledger* ledger_ = nullptr;
  MemoryLine line_ = MemoryLine::process;
  int64_t bytes_ = 0;
};

/// "1.5 GiB", "12.3 MiB": for people.
std::string format_bytes(int64_t bytes);

}  // namespace autoglm
