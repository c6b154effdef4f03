// Between its start and its end a step allocates nothing and, while its workers do not sleep and its tokens' embeddings
// were read before, asks the kernel for nothing: latency must not hang on an allocator's lock or on a system call.
#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <new>

#include "base/zone.h"
#include "model/model_support.h"
#include "support/sanitized.h"

#ifndef AUTOGLM_SANITIZED  // a sanitizer allocates and calls the kernel by itself

namespace {
std::atomic<int64_t> allocations{0};

void* counted(size_t size, size_t alignment) {
  ++allocations;
  void* memory = std::aligned_alloc(alignment, (std::max<size_t>(size, 1) + alignment - 1) / alignment * alignment);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}
}  // namespace

// The whole test program's: what the library allocates is counted, too.
void* operator new(size_t size) { return counted(size, alignof(std::max_align_t)); }
void* operator new(size_t size, std::align_val_t alignment) { return counted(size, static_cast<size_t>(alignment)); }
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, size_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { std::free(memory); }
void operator delete(void* memory, size_t, std::align_val_t) noexcept { std::free(memory); }

namespace autoglm {
namespace {

constexpr int kAllocated = 10, kNoFilter = 11;  // exit codes of a child

/// From here on any system call but exit_group, in any thread, kills the process (SIGSYS).
bool forbid_system_calls() {
  sock_filter rules[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit_group, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
  };
  const sock_fprog program{.len = std::size(rules), .filter = rules};
  return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program) == 0;
}

/// A decode step and a prefill chunk of `name`; does not return.
[[noreturn]] void run_steps(const std::string& name, bool allocate) {
  test::TemporaryFolder scratch;
  Runtime runtime;
  runtime.ledger = std::make_unique<Ledger>(0);
  // Workers that never sleep, as on an idle machine.
  runtime.pool = std::make_unique<WorkerPool>(PoolOptions{.threads = 2, .cpus = {}, .spin_microseconds = 60'000'000});
  runtime.backend = make_backend("auto", *runtime.pool);
  LoadOptions options = test::load_options({Precision::automatic, KvType::q8, 0}, 64);
  const auto model = Model::load(test::open_golden(name, "config.json", scratch.path()), runtime, options);
  const auto kv = model->make_kv_cache();
  const SequenceId id = kv->create();
  const std::vector<int32_t> tokens(20, 5);
  const auto step = [&](int64_t rows) {
    const BatchSequence sequence{.sequence = id, .row_begin = 0, .rows = rows};
    const int32_t last = static_cast<int32_t>(rows - 1);
    Batch batch;
    batch.tokens = {tokens.data(), static_cast<size_t>(rows)};
    batch.sequences = {&sequence, 1};
    batch.logit_rows = {&last, 1};
    model->forward(batch, *kv);
  };
  AUTOGLM_CHECK(kv->append(id, 20), "room");
  step(20);  // first touch of everything
  AUTOGLM_CHECK(kv->append(id, 1), "room");
  step(1);
  kv->truncate(id, 0);
  AUTOGLM_CHECK(kv->append(id, 20), "room");
  ZoneClock zones("test");
  const ZoneClockScope scope(zones);
  if (!forbid_system_calls()) ::_exit(kNoFilter);
  const int64_t before = allocations;
  step(20);
  AUTOGLM_CHECK(kv->append(id, 1), "room");
  step(1);
  if (allocate) delete new std::vector<int>(7);
  const int64_t made = allocations - before;
  AUTOGLM_CHECK(zones.totals().stamps() >= 10, "the step was timed meanwhile");
  ::_exit(made == 0 ? 0 : kAllocated);
}

/// What a child that runs f() ended with: its exit code, or 128 + signal.
template <typename F>
int child(F&& f) {
  const pid_t pid = ::fork();
  if (pid == 0) f();
  int status = 0;
  ::waitpid(pid, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

TEST(Step, NeitherAllocatesNorCallsTheKernel) {
  for (const std::string& name : test::golden_names()) {
    EXPECT_EQ(child([&] { run_steps(name, false); }), 0) << name << " (159: a system call; 10: an allocation)";
  }
}

TEST(Step, TheCountersSeeWhatTheyLookFor) {
  EXPECT_EQ(child([] { run_steps(test::golden_names().front(), true); }), kAllocated);
  EXPECT_EQ(child([] {
              if (!forbid_system_calls()) ::_exit(kNoFilter);
              ::getpid();
              ::_exit(0);
            }),
            128 + SIGSYS);
}

}  // namespace
}  // namespace autoglm

#endif
