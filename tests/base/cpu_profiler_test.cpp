// The CPU profiler: a busy function is found under its name and its thread's, and the files say what the profile says.
#include "base/cpu_profiler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <pthread.h>

#include <atomic>
#include <fstream>
#include <iterator>
#include <thread>

#include "base/pprof.h"
#include "base/symbols.h"
#include "support/errors.h"

// Not in a namespace of its own, so that its name is as short as a C function's.
extern "C" __attribute__((noinline)) uint64_t autoglm_test_burns(const std::atomic<bool>& stop) {
  uint64_t sum = 1;
  while (!stop.load(std::memory_order_relaxed)) {
    for (int i = 0; i < 10000; ++i) sum = sum * 6364136223846793005U + 1442695040888963407U;
  }
  return sum;
}

namespace autoglm {
namespace {

using testing::HasSubstr;

class Burner {
 public:
  Burner() : thread_([this] { work(); }) { named_.wait(false); }  // a profile asks for names when it begins
  ~Burner() {
    stop_.store(true);
    thread_.join();
  }

 private:
  void work() {
    ::pthread_setname_np(::pthread_self(), "burner");
    named_.store(true);
    named_.notify_one();
    sum_ = autoglm_test_burns(stop_);
  }
  std::atomic<bool> stop_{false}, named_{false};
  volatile uint64_t sum_ = 0;
  std::thread thread_;
};

/// Ends once the burner has used enough time to be seen, however busy the machine is.
CpuProfile profile_of_a_burner() {
  const Burner burner;
  CpuProfile profile;
  for (double seconds = 0.5; seconds < 100 && profile.samples() < 20; seconds *= 2) {
    profile = profile_cpu(seconds, [] { return false; });
  }
  return profile;
}

const CallTree* find(const CallTree& tree, std::string_view name) {
  if (tree.name == name) return &tree;
  for (const CallTree& child : tree.children) {
    if (const CallTree* found = find(child, name)) return found;
  }
  return nullptr;
}

TEST(CpuProfiler, ABusyFunctionHasTheMainShare) {
  const CpuProfile profile = profile_of_a_burner();
  ASSERT_GE(profile.samples(), 20);
  EXPECT_EQ(profile.lost, 0);
  EXPECT_GE(profile.seconds, 0.5);
  Symbolizer symbols;
  const CallTree tree = call_tree_of(profile, symbols);
  EXPECT_EQ(tree.count, profile.samples());
  const CallTree* thread = find(tree, "burner");
  ASSERT_NE(thread, nullptr);
  EXPECT_GE(thread->count, 0.8 * static_cast<double>(tree.count));
  const CallTree* busy = find(*thread, "autoglm_test_burns");
  ASSERT_NE(busy, nullptr);
  EXPECT_GE(busy->count, 0.8 * static_cast<double>(thread->count));
#ifndef AUTOGLM_SANITIZED  // the thread sanitizer calls handlers later, from a stack of its own
  // The whole way there was found, not only the place.
  EXPECT_EQ(std::ranges::count(thread->children, std::string("autoglm_test_burns"), &CallTree::name), 0);
#endif
}

TEST(CpuProfiler, OneAtATime) {
  std::atomic<bool> refused{false};
  profile_cpu(60, [&] {
    const auto error = test::error_of([] { profile_cpu(0.01, {}); });
    refused.store(error && error->code() == Code::overloaded);
    return true;  // and it ends when told
  });
  EXPECT_TRUE(refused.load());
  EXPECT_FALSE(test::error_of([] { profile_cpu(0.01, {}); }));
}

TEST(Pprof, TheFileHasNamesThreadsAndMappings) {
  CpuProfile profile;
  profile.period_ns = 10'000'000;
  const auto here = reinterpret_cast<uint64_t>(&autoglm_test_burns) + 1;
  profile.stacks.push_back({.thread = "worker", .frames = {here}, .count = 3});
  Symbolizer symbols;
  const std::string file = pprof_of(profile, symbols);
  EXPECT_THAT(file, testing::StartsWith("\x1f\x8b\x08"));
  for (const char* word :
       {"samples", "count", "cpu", "nanoseconds", "autoglm_test_burns", "worker", "thread", "test_base"}) {
    EXPECT_THAT(file, HasSubstr(word));  // what gzip stores can be read
  }
}

TEST(Gzip, StoredBlocks) {
  EXPECT_EQ(gzipped(""), std::string("\x1f\x8b\x08\0\0\0\0\0\0\xff\1\0\0\xff\xff\0\0\0\0\0\0\0\0", 23));
  // The checksum of "123456789" that every description of CRC-32 has: cbf43926.
  EXPECT_EQ(gzipped("123456789").substr(24), std::string("\x26\x39\xf4\xcb\x09\0\0\0", 8));
  EXPECT_EQ(gzipped(std::string(65536, 'x')).size(), 10 + 5 + 65535 + 5 + 1 + 8u);
}

TEST(Symbols, OfThisProgramAndOfNoProgram) {
  Symbolizer symbols;
  const auto address = reinterpret_cast<uint64_t>(&autoglm_test_burns);
  EXPECT_EQ(symbols.name_of(address + 2), "autoglm_test_burns");
  EXPECT_GE(symbols.mapping_of(address), 0);
  EXPECT_EQ(symbols.mapping_of(1), -1);
  EXPECT_EQ(symbols.name_of(1), "0x1");
  EXPECT_EQ(demangled("_ZN7autoglm6Engine4stepEv"), "autoglm::Engine::step()");
  EXPECT_EQ(demangled("main"), "main");
}

TEST(Symbols, MapsOfTheSystem) {
  const auto mappings = code_mappings(
      "7f10-7f20 r-xp 00001000 08:01 1234                       /usr/lib/with space.so\n"
      "7f00-7f10 rw-p 00000000 00:00 0\n"
      "1000-2000 r-xp 00000000 00:00 0                          [vdso]\nbroken\n");
  ASSERT_EQ(mappings.size(), 2u);
  EXPECT_EQ(mappings[0].file, "[vdso]");
  EXPECT_EQ(mappings[1].begin, 0x7f10u);
  EXPECT_EQ(mappings[1].end, 0x7f20u);
  EXPECT_EQ(mappings[1].file_offset, 0x1000u);
  EXPECT_EQ(mappings[1].file, "/usr/lib/with space.so");
}

TEST(Symbols, ACutFileHasFewerNames) {
  std::ifstream file("/proc/self/exe", std::ios::binary);
  const std::vector<uint8_t> whole(std::istreambuf_iterator<char>(file), {});
  const size_t names = ElfSymbols(whole).size();
  EXPECT_GT(names, 100u);
  for (const size_t cut : {size_t{0}, size_t{10}, size_t{100}, whole.size() / 2, whole.size() - 1}) {
    EXPECT_LE(ElfSymbols(std::span(whole).first(cut)).size(), names) << cut;
  }
}

}  // namespace
}  // namespace autoglm
