#include "base/ledger.h"

#include <fmt/format.h>

#include <algorithm>

#include <limits>
#include <utility>

#include "base/error.h"

namespace autoglm {

std::string_view name(MemoryLine line) {
  constexpr std::array<std::string_view, static_cast<size_t>(MemoryLine::count_)> kNames = {
      "weights", "kv", "activations", "cache", "tokenizer", "process", "grammars"};
  return kNames.at(static_cast<size_t>(line));
}

Ledger::Ledger(int64_t limit_bytes) : limit_(limit_bytes) {
  AUTOGLM_CHECK(limit_bytes >= 0, "a memory limit is not negative");
}

void Ledger::reserve(MemoryLine line, int64_t bytes, std::string_view what) {
  if (try_reserve(line, bytes)) return;
  fail(Code::out_of_memory,
       fmt::format("{} needs {}, but {} of the limit of {} is already in use", what, format_bytes(bytes),
                   format_bytes(total()), format_bytes(limit_)),
       "use a smaller type, --ctx or --kv-type, or raise --memory-limit; `autoglm inspect MODEL --fit` shows what "
       "fits");
}

bool Ledger::try_reserve(MemoryLine line, int64_t bytes) {
  AUTOGLM_CHECK(bytes >= 0, "a reservation is not negative");
  const std::scoped_lock lock(mutex_);
  int64_t sum = 0;
  for (const int64_t used : lines_) sum += used;
  const int64_t ceiling = limit_ > 0 ? limit_ : std::numeric_limits<int64_t>::max();
  // Without subtraction from a sum that may already be above the limit, nor an addition that may overflow.
  if (bytes > ceiling - std::min(sum, ceiling)) return false;
  lines_.at(static_cast<size_t>(line)) += bytes;
  return true;
}

void Ledger::release(MemoryLine line, int64_t bytes) {
  const std::scoped_lock lock(mutex_);
  int64_t& used = lines_.at(static_cast<size_t>(line));
  AUTOGLM_CHECK(bytes >= 0 && bytes <= used, "more memory given back than was reserved");
  used -= bytes;
}

int64_t Ledger::used(MemoryLine line) const {
  const std::scoped_lock lock(mutex_);
  return lines_.at(static_cast<size_t>(line));
}

int64_t Ledger::total() const {
  const std::scoped_lock lock(mutex_);
  int64_t sum = 0;
  for (const int64_t used : lines_) sum += used;
  return sum;
}

Reservation::Reservation(Ledger& ledger, MemoryLine line, int64_t bytes, std::string_view what)
    : line_(line), bytes_(bytes) {
  ledger.reserve(line, bytes, what);
  ledger_ = &ledger;
}

Reservation::~Reservation() {
  if (ledger_ != nullptr) ledger_->release(line_, bytes_);
}

Reservation::Reservation(Reservation&& other) noexcept
    : ledger_(std::exchange(other.ledger_, nullptr)), line_(other.line_), bytes_(other.bytes_) {}

Reservation& Reservation::operator=(Reservation&& other) noexcept {
  std::swap(ledger_, other.ledger_);
  std::swap(line_, other.line_);
  std::swap(bytes_, other.bytes_);
  return *this;
}

std::string format_bytes(int64_t bytes) {
  constexpr std::array<std::string_view, 5> kUnits = {"B", "KiB", "MiB", "GiB", "TiB"};
  double value = static_cast<double>(bytes);
  size_t unit = 0;
  while ((value >= 1024.0 || value <= -1024.0) && unit + 1 < kUnits.size()) {
    value /= 1024.0;
    ++unit;
  }
  std::string digits = fmt::format("{:.1f}", value);
  if (digits.ends_with(".0")) digits.resize(digits.size() - 2);
  return fmt::format("{} {}", digits, kUnits.at(unit));
}

}  // namespace autoglm
