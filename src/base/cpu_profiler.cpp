// A timer a thread on the thread's own CPU clock, so that many threads are each sampled as often as they run. The
// handler unwinds by the tables that exceptions use: kernels need no frame pointer, and libgcc finds the tables without
// a lock (_dl_find_object, glibc 2.35 on), so that it is safe at any instruction.
#include "base/cpu_profiler.h"

#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>
#include <unwind.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <map>
#include <new>
#include <set>
#include <thread>
#include <utility>

#include "base/error.h"

namespace autoglm {
namespace {

constexpr int64_t kPeriod = 10'000'000;  // ns
constexpr int kMostFrames = 62;
constexpr size_t kMostSamples = 65536;  // 32 MiB, touched as they are used

struct Sample {
  pid_t thread = 0;
  int16_t weight = 0;
  int16_t depth = 0;
  std::atomic<bool> whole{false};
  uint64_t frames[kMostFrames];
};

struct Samples {
  explicit Samples(size_t count) : capacity(count) {
    void* memory = ::mmap(nullptr, count * sizeof(Sample), PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) fail(Code::out_of_memory, "there is no memory for a profile");
    all = static_cast<Sample*>(memory);  // zeros are samples that are not whole
  }
  ~Samples() { ::munmap(all, capacity * sizeof(Sample)); }
  Samples(const Samples&) = delete;
  Samples& operator=(const Samples&) = delete;

  Sample* all = nullptr;
  const size_t capacity;
  std::atomic<size_t> next{0};
};

/// What the handler knows. A signal finds nothing but globals.
struct Shared {
  std::atomic<Samples*> samples{nullptr};
  std::atomic<int> handlers{0};  // that run
  std::atomic<bool> busy{false};
};
Shared& shared() {
  static constinit Shared state;
  return state;
}

uint64_t interrupted_at(const ucontext_t& context) {
#if defined(__x86_64__)
  return static_cast<uint64_t>(context.uc_mcontext.gregs[REG_RIP]);
#elif defined(__aarch64__)
  return context.uc_mcontext.pc;
#else
#error "say where this CPU keeps its program counter"
#endif
}

struct Walk {
  Sample* sample;
  uint64_t interrupted;
  bool found = false;
};

// The handler's own frames come first; those of the interrupted code begin where it was interrupted.
_Unwind_Reason_Code note_frame(_Unwind_Context* context, void* argument) {
  Walk& walk = *static_cast<Walk*>(argument);
  int at_instruction = 0;
  uint64_t address = _Unwind_GetIPInfo(context, &at_instruction);
  if (!walk.found) {
    if (address != walk.interrupted) return _URC_NO_REASON;
    walk.found = true;
    at_instruction = 1;
  }
  if (address == 0) return _URC_END_OF_STACK;
  if (at_instruction == 0) --address;  // a return address: the call is in front of it
  Sample& sample = *walk.sample;
  sample.frames[sample.depth++] = address;
  return sample.depth < kMostFrames ? _URC_NO_REASON : _URC_END_OF_STACK;
}

void on_timer(int /*signal*/, siginfo_t* info, void* context) {
  const int error = errno;
  Shared& state = shared();
  state.handlers.fetch_add(1);
  if (Samples* samples = state.samples.load(); samples != nullptr) {
    const size_t index = samples->next.fetch_add(1, std::memory_order_relaxed);
    if (index < samples->capacity) {
      Sample& sample = samples->all[index];
      sample.thread = static_cast<pid_t>(::syscall(SYS_gettid));
      sample.weight = static_cast<int16_t>(1 + std::clamp(info->si_overrun, 0, 10000));
      Walk walk{.sample = &sample, .interrupted = interrupted_at(*static_cast<ucontext_t*>(context))};
      _Unwind_Backtrace(note_frame, &walk);
      if (sample.depth == 0) {  // code without tables, such as PCRE2's
        sample.frames[0] = walk.interrupted;
        sample.depth = 1;
      }
      sample.whole.store(true, std::memory_order_release);
    }
  }
  state.handlers.fetch_sub(1);
  errno = error;
}

_Unwind_Reason_Code ignore_frame(_Unwind_Context* /*context*/, void* /*argument*/) { return _URC_NO_REASON; }

std::set<pid_t> threads_now() {
  std::set<pid_t> threads;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/task", error)) {
    threads.insert(static_cast<pid_t>(std::atoi(entry.path().filename().c_str())));
  }
  return threads;
}

std::string name_of(pid_t thread) {
  std::ifstream file(fmt::format("/proc/self/task/{}/comm", thread));
  std::string name;
  std::getline(file, name);
  return name.empty() ? std::to_string(thread) : name;
}

/// A timer for each thread; threads that begin later get theirs with watch().
class Timers {
 public:
  Timers() = default;
  ~Timers() {
    for (const timer_t timer : timers_) ::timer_delete(timer);
  }
  Timers(const Timers&) = delete;
  Timers& operator=(const Timers&) = delete;

  void watch() {
    for (const pid_t thread : threads_now()) {
      if (names.contains(thread)) continue;
      names[thread] = name_of(thread);
      start(thread);
    }
  }
  bool empty() const { return timers_.empty(); }

  std::map<pid_t, std::string> names;

 private:
  void start(pid_t thread) {
    // The kernel's clock of a thread's CPU time, by its number: what pthread_getcpuclockid makes of a pthread_t.
    const auto clock = static_cast<clockid_t>((~static_cast<unsigned>(thread) << 3) | 6U);
    sigevent event{};
    event.sigev_notify = SIGEV_THREAD_ID;
    event.sigev_signo = SIGPROF;
    event._sigev_un._tid = thread;
    timer_t timer{};
    if (::timer_create(clock, &event, &timer) != 0) return;  // it has ended
    timers_.push_back(timer);
    const itimerspec times{.it_interval = {.tv_sec = 0, .tv_nsec = kPeriod},
                           .it_value = {.tv_sec = 0, .tv_nsec = kPeriod}};
    ::timer_settime(timer, 0, &times, nullptr);
  }

  std::vector<timer_t> timers_;
};

void install_handler() {
  _Unwind_Backtrace(ignore_frame, nullptr);  // what it sets up at its first call is set up outside of a handler
  struct sigaction action{};
  action.sa_sigaction = on_timer;
  action.sa_flags = SA_SIGINFO | SA_RESTART;
  ::sigemptyset(&action.sa_mask);
  ::sigaction(SIGPROF, &action, nullptr);
}

CpuProfile summary(const Samples& samples, const std::map<pid_t, std::string>& names) {
  CpuProfile profile;
  profile.period_ns = kPeriod;
  const size_t taken = samples.next.load();
  profile.lost = static_cast<int64_t>(taken - std::min(taken, samples.capacity));
  std::map<std::pair<std::string, std::vector<uint64_t>>, int64_t> counts;
  for (size_t i = 0; i < std::min(taken, samples.capacity); ++i) {
    const Sample& sample = samples.all[i];
    if (!sample.whole.load(std::memory_order_acquire)) continue;
    const auto name = names.find(sample.thread);
    counts[{name == names.end() ? "" : name->second, {sample.frames, sample.frames + sample.depth}}] += sample.weight;
  }
  for (auto& [key, count] : counts) profile.stacks.push_back({key.first, key.second, count});
  return profile;
}

struct Turn {
  Turn() : mine(!shared().busy.exchange(true)) {}
  ~Turn() {
    if (mine) shared().busy.store(false);
  }
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;
  const bool mine;
};

}  // namespace

int64_t CpuProfile::samples() const {
  int64_t sum = 0;
  for (const Stack& stack : stacks) sum += stack.count;
  return sum;
}

CpuProfile profile_cpu(double seconds, const std::function<bool()>& stop) {
  using Clock = std::chrono::steady_clock;
  const Turn turn;
  if (!turn.mine) fail(Code::overloaded, "another profile is being taken", "wait for its end");
  const auto threads = static_cast<double>(threads_now().size());
  const double expected = threads * seconds / (1e-9 * kPeriod) + 1024;
  Samples samples(std::min(kMostSamples, static_cast<size_t>(expected)));
  const auto unix_ns = std::chrono::system_clock::now().time_since_epoch() / std::chrono::nanoseconds(1);
  const auto begin = Clock::now();
  std::map<pid_t, std::string> names;
  {
    Timers timers;
    install_handler();
    shared().samples.store(&samples);
    const auto end = begin + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
    do {
      timers.watch();
      std::this_thread::sleep_for(std::min<Clock::duration>(std::chrono::milliseconds(50), end - Clock::now()));
    } while (Clock::now() < end && !timers.empty() && !(stop && stop()));
    names = std::move(timers.names);
    if (timers.empty()) names.clear();
  }
  shared().samples.store(nullptr);
  while (shared().handlers.load() > 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  if (names.empty()) fail(Code::work_failed, "the system gives no timers for threads");
  CpuProfile profile = summary(samples, names);
  profile.seconds = std::chrono::duration<double>(Clock::now() - begin).count();
  profile.unix_ns = unix_ns;
  return profile;
}

}  // namespace autoglm
