#include "base/zone.h"

#include <algorithm>
#include <bit>
#include <chrono>
#include <thread>
#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace autoglm {
namespace {

using Clock = std::chrono::steady_clock;

double steady_seconds_now() { return std::chrono::duration<double>(Clock::now().time_since_epoch()).count(); }

// x86: CPUID 8000_0007h, EDX bit 8, "invariant TSC": one speed, in sleep states too. AArch64's counter always is.
bool has_steady_counter() {
#if defined(__x86_64__)
  unsigned a = 0;
  unsigned b = 0;
  unsigned c = 0;
  unsigned d = 0;
  return __get_cpuid(0x80000007U, &a, &b, &c, &d) != 0 && (d >> 8 & 1) != 0;
#elif defined(__aarch64__)
  return true;
#else
  return false;
#endif
}

}  // namespace

std::string_view name(Zone zone) {
  constexpr std::array<std::string_view, kZones> kNames = {
      "idle",     "other",     "receive",  "serialize",       "socket_write",
      "parse",    "render",    "tokenize", "grammar_compile", "admit",
      "plan",     "draft",     "share",    "report",          "embed",
      "norm_qkv", "attention", "output",   "gate_up",         "down",
      "experts",  "head",      "mask",     "sample",          "detokenize",
      "emit",     "pool"};
  return kNames.at(static_cast<size_t>(zone));
}

double ZoneTotals::sum() const {
  double sum = 0;
  for (const double one : seconds) sum += one;
  return sum;
}

int64_t ZoneTotals::stamps() const {
  int64_t sum = 0;
  for (const int64_t one : calls) sum += one;
  return sum;
}

ZoneTotals& ZoneTotals::operator+=(const ZoneTotals& other) {
  for (size_t i = 0; i < kZones; ++i) {
    seconds.at(i) += other.seconds.at(i);
    calls.at(i) += other.calls.at(i);
  }
  return *this;
}

ZoneTotals operator-(ZoneTotals a, const ZoneTotals& b) {
  for (size_t i = 0; i < kZones; ++i) {
    a.seconds.at(i) -= b.seconds.at(i);
    a.calls.at(i) -= b.calls.at(i);
  }
  return a;
}

ZoneClock::ZoneClock(std::string_view thread, size_t history)
    : thread_(thread),
      counter_(has_steady_counter()),
      mask_(std::bit_ceil(std::max<size_t>(history, 2)) - 1),
      began_(moment()),
      origin_(began_.ticks),
      since_(origin_),
      history_(mask_ + 1) {}

uint64_t ZoneClock::steady_ticks() noexcept {
  return static_cast<uint64_t>(
      std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now().time_since_epoch()).count());
}

// Both clocks at once: of some tries the one that was least interrupted.
ZoneClock::Moment ZoneClock::moment() const {
  constexpr int kTries = 5;
  Moment best;
  uint64_t least = UINT64_MAX;
  for (int i = 0; i < kTries; ++i) {
    const uint64_t before = ticks();
    const double seconds = steady_seconds_now();
    const uint64_t after = ticks();
    if (after - before >= least) continue;
    least = after - before;
    best = {.seconds = seconds, .ticks = before + least / 2};
  }
  return best;
}

// Since the clock was made; after a second that is exact to about 1e-7 and kept. (A machine that sleeps stops the
// steady clock, and perhaps not the counter.)
double ZoneClock::seconds_per_tick() const {
  const double known = rate_.load(std::memory_order_relaxed);
  if (known > 0) return known;
  const Moment now = moment();
  const double seconds = now.seconds - began_.seconds;
  if (now.ticks <= origin_ || seconds <= 0) return 0;
  const double rate = seconds / static_cast<double>(now.ticks - origin_);
  if (seconds > 1) rate_.store(rate, std::memory_order_relaxed);
  return rate;
}

ZoneTotals ZoneClock::totals() const {
  constexpr int kTries = 10'000;  // a change takes nanoseconds, unless its thread is stopped in the middle of one
  const double rate = seconds_per_tick();
  ZoneTotals totals;
  for (int i = 0; i < kTries; ++i) {
    const uint64_t version = version_.load(std::memory_order_acquire);
    std::array<uint64_t, kZones> spent{};
    for (size_t z = 0; z < kZones; ++z) {
      spent.at(z) = cells_[z].ticks.load(std::memory_order_acquire);
      totals.calls.at(z) = static_cast<int64_t>(cells_[z].calls.load(std::memory_order_acquire));
    }
    const auto zone = static_cast<size_t>(zone_.load(std::memory_order_acquire));
    const uint64_t since = since_.load(std::memory_order_acquire);
    const bool whole = version % 2 == 0 && version_.load(std::memory_order_relaxed) == version;
    if (!whole && i + 1 < kTries) {
      std::this_thread::yield();
      continue;
    }
    const uint64_t now = ticks();
    if (now > since) spent.at(zone) += now - since;
    for (size_t z = 0; z < kZones; ++z) totals.seconds.at(z) = static_cast<double>(spent.at(z)) * rate;
    break;
  }
  return totals;
}

std::vector<ZoneSpan> ZoneClock::spans(double seconds) const {
  const double rate = seconds_per_tick();
  const double first = steady_seconds_now() - seconds;
  const uint64_t end = written_.load(std::memory_order_acquire);
  const uint64_t most = mask_;  // of the oldest one only the end is known
  uint64_t begin = end > most ? end - most : 0;
  std::vector<uint64_t> slots;
  slots.reserve(end - begin);
  for (uint64_t i = begin; i < end; ++i) slots.push_back(history_[i & mask_].load(std::memory_order_acquire));
  // What was written meanwhile took the place of the oldest.
  const uint64_t written = written_.load(std::memory_order_acquire) + 1;
  const uint64_t lost = written > begin + mask_ + 1 ? std::min(written - begin - mask_ - 1, end - begin) : 0;
  slots.erase(slots.begin(), slots.begin() + static_cast<ptrdiff_t>(lost));
  begin += lost;
  std::vector<ZoneSpan> spans;
  const auto at = [&](uint64_t slot) { return began_.seconds + static_cast<double>(slot >> kZoneBits) * rate; };
  double from = begin == 0 ? began_.seconds : slots.empty() ? 0 : at(slots.front());
  for (size_t i = begin == 0 ? 0 : 1; i < slots.size(); ++i) {
    const double to = at(slots[i]);
    const auto zone = static_cast<Zone>(slots[i] & ((uint64_t{1} << kZoneBits) - 1));
    if (to >= first) spans.push_back({zone, from, to});
    from = to;
  }
  return spans;
}

double measure_zone_cost() {
  constexpr int kStamps = 20000;
  constexpr int kTries = 5;
  ZoneClock clock("cost", 1024);
  const ZoneClockScope scope(clock);
  double best = 1;
  for (int i = 0; i < kTries; ++i) {  // the fastest: what else the machine does is not the stamp's cost
    const double begin = steady_seconds_now();
    ZoneStamp stamp(Zone::other);
    for (int j = 0; j < kStamps; ++j) stamp.next(j % 2 == 0 ? Zone::attention : Zone::output);
    best = std::min(best, (steady_seconds_now() - begin) / kStamps);
  }
  return best;
}

}  // namespace autoglm
