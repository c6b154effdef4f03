// Timing zones: what a thread's time goes into, always on.
//
// A thread that installs a ZoneClock (ZoneClockScope) is in exactly one zone at any moment: a stamp ends one zone and
// begins another, so the zones of a thread sum to its wall time without gaps or overlaps, and a zone inside another
// takes its time from it. Who computes on several workers stamps on worker 0 alone: a phase lasts as long as worker 0
// is in it, waiting for the others included.
//
// A stamp reads the CPU's counter and writes a few words that only this thread writes: no lock, no allocation, no
// system call, about 10 ns (bench/zone_bench.cpp). Any thread may read at any time.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace autoglm {

/// What is told apart. Closed: dashboards and reports name these.
enum class Zone : uint8_t {
  idle,   // waits for something to do
  other,  // everything that has no zone of its own
  // network thread
  receive,       // header and body of a request, up to where it is handed on
  serialize,     // events become an answer's bytes
  socket_write,  // into the kernel's buffer
  // helper
  parse,            // JSON of a body, fields
  render,           // the chat template
  tokenize,         // text to ids
  grammar_compile,  // schema, regex or GBNF to an automaton
  // engine: around a step
  admit,   // requests come in and are cancelled
  plan,    // who computes what; what the prefix cache has
  draft,   // likely next tokens
  share,   // computed blocks are offered to the prefix cache
  report,  // metrics, status, waking the network thread
  // engine: phases of the model
  embed,
  norm_qkv,   // with latent attention: its projections down and up
  attention,  // and the cache's new keys and values
  output,
  gate_up,
  down,
  experts,
  head,
  // engine: logits to text
  mask,  // tokens that a grammar allows
  sample,
  detokenize,  // bytes, stop strings
  emit,        // thoughts and calls are told apart, events given away
  pool,        // hidden states of a prompt, for its embedding
  count_
};

constexpr size_t kZones = static_cast<size_t>(Zone::count_);
constexpr size_t kZoneBits = 6;
static_assert(kZones <= size_t{1} << kZoneBits, "a slot of the history holds a zone in so many bits");

std::string_view name(Zone zone);

/// What a thread's time has gone into so far.
struct ZoneTotals {
  std::array<double, kZones> seconds{};
  std::array<int64_t, kZones> calls{};  // how often it was begun

  double of(Zone zone) const { return seconds.at(static_cast<size_t>(zone)); }
  double sum() const;
  int64_t stamps() const;  // all calls
  ZoneTotals& operator+=(const ZoneTotals& other);
  friend ZoneTotals operator-(ZoneTotals a, const ZoneTotals& b);
};

/// A stretch of a thread's time in one zone; seconds of the steady clock.
struct ZoneSpan {
  Zone zone = Zone::other;
  double begin = 0;
  double end = 0;
};

/// A thread's account. Written by one thread at a time, read by any.
class ZoneClock {
 public:
  /// `history`: how many of the last spans are kept, rounded up to a power of two.
  explicit ZoneClock(std::string_view thread, size_t history = 1024);
  ZoneClock(const ZoneClock&) = delete;
  ZoneClock& operator=(const ZoneClock&) = delete;

  std::string_view thread() const { return thread_; }
  /// Up to this moment: the sum of all zones is the time since the clock was made.
  ZoneTotals totals() const;
  /// Spans that ended in the last `seconds`, the oldest first, as far back as they are kept.
  std::vector<ZoneSpan> spans(double seconds) const;

  /// Goes into a zone; the one that it leaves.
  Zone turn(Zone zone, bool counts) noexcept {
    const uint64_t now = ticks();
    const auto before = zone_.load(std::memory_order_relaxed);
    const uint64_t since = since_.load(std::memory_order_relaxed);
    const uint64_t at = now > since ? now : since;  // counters of two CPUs may differ by a little
    const uint64_t version = version_.load(std::memory_order_relaxed);
    version_.store(version + 1, std::memory_order_relaxed);  // odd: what follows is being changed
    add(cells_[static_cast<size_t>(before)].ticks, at - since);
    if (counts) add(cells_[static_cast<size_t>(zone)].calls, 1);
    zone_.store(zone, std::memory_order_release);
    since_.store(at, std::memory_order_release);
    const uint64_t place = written_.load(std::memory_order_relaxed);
    history_[place & mask_].store((at - origin_) << kZoneBits | static_cast<uint64_t>(before),
                                  std::memory_order_release);
    written_.store(place + 1, std::memory_order_release);
    version_.store(version + 2, std::memory_order_release);
    return before;
  }

 private:
  struct Cell {
    std::atomic<uint64_t> ticks{0};
    std::atomic<uint64_t> calls{0};
  };

  // Release, so that who sees the new value sees the odd version, too; on x86 that is an ordinary store.
  static void add(std::atomic<uint64_t>& to, uint64_t amount) noexcept {
    to.store(to.load(std::memory_order_relaxed) + amount, std::memory_order_release);
  }

  uint64_t ticks() const noexcept {
#if defined(__x86_64__)
    if (counter_) return __builtin_ia32_rdtsc();
    return steady_ticks();
#elif defined(__aarch64__)
    uint64_t value = 0;
    asm volatile("mrs %0, cntvct_el0" : "=r"(value));
    return value;
#else
    return steady_ticks();
#endif
  }
  static uint64_t steady_ticks() noexcept;  // nanoseconds
  struct Moment {
    double seconds = 0;  // steady clock
    uint64_t ticks = 0;
  };
  Moment moment() const;
  double seconds_per_tick() const;

  const std::string_view thread_;
  const bool counter_;  // the CPU's counter runs at one speed whatever the CPU does
  const size_t mask_;
  const Moment began_;
  const uint64_t origin_;
  mutable std::atomic<double> rate_{0};  // seconds a tick, once known well; 0: not yet

  alignas(64) std::atomic<uint64_t> version_{0};
  std::atomic<Zone> zone_{Zone::other};
  std::atomic<uint64_t> since_;
  std::atomic<uint64_t> written_{0};
  std::array<Cell, kZones> cells_{};
  // When a span ended (ticks since the origin) and, in the low bits, its zone. It began when the one before it ended.
  std::vector<std::atomic<uint64_t>> history_;
};

/// The account of this thread; null: none is kept. A thread's work passes through layers that know nothing of clocks:
/// so it is the thread that has one, not its arguments.
inline thread_local constinit ZoneClock* thread_zones = nullptr;

/// This thread's time goes to `clock` until the end of the scope.
class ZoneClockScope {
 public:
  explicit ZoneClockScope(ZoneClock& clock) : before_(thread_zones) { thread_zones = &clock; }
  ~ZoneClockScope() { thread_zones = before_; }
  ZoneClockScope(const ZoneClockScope&) = delete;
  ZoneClockScope& operator=(const ZoneClockScope&) = delete;

 private:
  ZoneClock* before_;
};

/// This thread is in a zone until the end of the scope, then again in the one that it came from. Never across a
/// co_await: what runs meanwhile is another's.
class ZoneStamp {
 public:
  explicit ZoneStamp(Zone zone) noexcept
      : clock_(thread_zones), before_(clock_ != nullptr ? clock_->turn(zone, true) : Zone::other) {}
  ~ZoneStamp() {
    if (clock_ != nullptr) clock_->turn(before_, false);
  }
  ZoneStamp(const ZoneStamp&) = delete;
  ZoneStamp& operator=(const ZoneStamp&) = delete;

  /// The next zone in this one's place: one reading of the counter instead of two.
  void next(Zone zone) noexcept {
    if (clock_ != nullptr) clock_->turn(zone, true);
  }

 private:
  ZoneClock* clock_;
  Zone before_;
};

/// What one stamp costs here, in seconds: measured for about 2 ms.
double measure_zone_cost();

}  // namespace autoglm
