// The prefix cache on disk under an engine: what another engine computed in the same folder has the bits of what is
// computed here; and a disk that is slow, silent or wrong delays nobody else and changes no answer.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <deque>
#include <filesystem>
#include <random>

#include "engine/tiny_models.h"
#include "store/prefix_store.h"
#include "support/temporary_folder.h"

namespace autoglm {
namespace {

namespace fs = std::filesystem;
using test::DummyStepper;
using test::DummyTokenizer;
using test::expect_same_bits;
using test::Heard;
using test::TinyModel;

std::unique_ptr<PrefixStore> open_store(const fs::path& folder, int64_t max_bytes = int64_t{64} << 20) {
  PrefixStoreOptions options;
  options.folder = folder;
  options.max_bytes = max_bytes;
  options.drain = std::chrono::milliseconds(60000);
  options.free_bytes = [] { return int64_t{1} << 40; };
  options.say = [](const std::string& text) { ADD_FAILURE() << text; };
  return std::make_unique<PrefixStore>(std::move(options));
}

/// Time that stands still while a disk is waited for, however busy the machine.
std::function<double()> slow_clock() {
  return [now = 1.0]() mutable { return now += 1e-6; };
}

// --- real layers ---

const TinyModel kModels[] = {
    {"llama-a", Precision::automatic, KvType::q8},         {"llama-a", Precision::automatic, KvType::bf16},
    {"llama-a", Precision::automatic, KvType::f16},        {"llama-a", Precision::automatic, KvType::q4},
    {"glm4_moe_lite-a", Precision::automatic, KvType::q4}, {"llama-a", Precision::f32, KvType::f32},
    {"gemma3-a", Precision::automatic, KvType::q8},        {"glm4_moe_lite-a", Precision::automatic, KvType::q8}};

class DiskReuse : public test::TinyModelTest {
 protected:
  /// One engine's life: these requests at once.
  std::vector<Heard> live(const std::vector<Request>& asked, BlockCache* disk, const std::string& identity = "model") {
    Engine engine(*model_, tokenizer_, {},
                  {.max_sequences = 4,
                   .policy = {.prefix_cache = disk != nullptr},
                   .model_identity = identity,
                   .disk = disk,
                   .clock = slow_clock()});
    std::vector<Heard> heard(asked.size());
    for (size_t i = 0; i < asked.size(); ++i) engine.submit(asked[i], heard[i].sink());
    while (engine.has_work()) engine.step();
    engine.check_integrity();
    return heard;
  }

  test::TemporaryFolder folder_;
};

TEST_P(DiskReuse, LeavesEveryBitAcrossRestarts) {
  std::vector<Request> asked;
  for (uint64_t seed = 1; seed <= 6; ++seed) asked.push_back(request(70, static_cast<int64_t>(seed) * 3, seed, 12));
  const std::vector<Heard> expected = live(asked, nullptr);
  for (int start = 0; start < 3; ++start) {
    const auto store = open_store(folder_.path());
    const std::vector<Heard> heard = live(asked, store.get());
    for (size_t i = 0; i < asked.size(); ++i) {
      expect_same_bits(heard[i], expected[i]);
      const int64_t all = (std::ssize(asked[i].prompt) - 1) / kKvBlock * kKvBlock;
      if (start > 0) EXPECT_EQ(heard[i].usage.cached_tokens, all) << i;
    }
    if (start == 0) EXPECT_EQ(heard[0].usage.cached_tokens, 0);
    EXPECT_EQ(store->stats().damaged_blocks, 0);
    if (start > 0) EXPECT_GE(store->stats().read_blocks, 4) << "the first 64 tokens, at least once";
  }
  const auto store = open_store(folder_.path());
  EXPECT_EQ(live(asked, store.get(), "another")[0].usage.cached_tokens, 0);
}

TEST_P(DiskReuse, ADamagedFileChangesNoBit) {
  const std::vector<Request> asked = {request(90, 5, 2, 12)};
  const Heard expected = live(asked, nullptr)[0];
  {
    live(asked, open_store(folder_.path()).get());
  }
  const fs::path segment = segments_in(folder_.path()).at(0).first;
  const int64_t stride = SegmentFile::open(segment)->stride();
  {  // in the third block's bytes
    std::fstream file(segment, std::ios::in | std::ios::out | std::ios::binary);
    const int64_t at = kSegmentHeaderBytes + 2 * stride + kRecordHeaderBytes + 40;
    file.seekg(at);
    const int byte = file.get();
    file.seekp(at);
    file.put(static_cast<char>(byte ^ 1));
  }
  {
    const auto store = open_store(folder_.path());
    const Heard heard = live(asked, store.get())[0];
    expect_same_bits(heard, expected);
    EXPECT_EQ(heard.usage.cached_tokens, 2 * kKvBlock);
    EXPECT_EQ(store->stats().damaged_blocks, 1);
  }
  const auto store = open_store(folder_.path());
  const Heard heard = live(asked, store.get())[0];
  expect_same_bits(heard, expected);
  EXPECT_EQ(heard.usage.cached_tokens, 5 * kKvBlock) << "what was damaged has been written anew";
}

// Few blocks: the second request is set back, the first one takes the memory of what it had computed, and when it goes
// on that comes from the disk.
TEST_P(DiskReuse, WhoWasPreemptedGetsItsBlocksFromDisk) {
  struct FewBlocks : ModelStepper {
    using ModelStepper::ModelStepper;
    int64_t blocks() const override { return 9; }
  };
  const std::vector<Request> asked = {request(0, 60, 3, 44), request(0, 60, 5, 30)};
  const std::vector<Heard> expected = live(asked, nullptr);
  const auto store = open_store(folder_.path());
  Engine engine(std::make_unique<FewBlocks>(*model_), tokenizer_, {},
                {.max_sequences = 2, .model_identity = "model", .disk = store.get(), .clock = slow_clock()});
  std::vector<Heard> heard(asked.size());
  for (size_t i = 0; i < asked.size(); ++i) engine.submit(asked[i], heard[i].sink());
  while (engine.has_work()) {
    engine.step();
    store->flush();  // a disk that keeps up
    engine.check_integrity();
  }
  for (size_t i = 0; i < asked.size(); ++i) expect_same_bits(heard[i], expected[i]);
  EXPECT_EQ(heard[1].usage.preemptions, 1);
  EXPECT_GE(store->stats().read_blocks, 1);
  EXPECT_EQ(engine.status().cache.fetched_tokens, store->stats().read_blocks * kKvBlock);
}

INSTANTIATE_TEST_SUITE_P(Models, DiskReuse, testing::ValuesIn(kModels), test::tiny_model_name);

// --- a dummy model ---

Request dummy_request(std::minstd_rand& random, int64_t longest) {
  Request result;
  const int32_t family = static_cast<int32_t>(random() % 3);
  const auto common = static_cast<int64_t>(random() % static_cast<uint32_t>(longest));
  for (int32_t i = 0; i < common; ++i) result.prompt.push_back((family * 17 + i * (family + 3)) % 50);
  for (uint32_t i = 0; i < 1 + random() % 20; ++i) result.prompt.push_back(static_cast<int32_t>(random() % 50));
  result.max_tokens = 1 + static_cast<int64_t>(random() % 30);
  result.sampling.temperature = 1.0f;
  result.sampling.seed = 1 + random() % 1000;
  return result;
}

Heard alone(const Request& asked) {
  DummyTokenizer tokenizer;
  Engine engine(std::make_unique<DummyStepper>(), tokenizer, {}, {.policy = {.prefix_cache = false}});
  Heard heard;
  engine.submit(asked, heard.sink());
  while (engine.has_work()) engine.step();
  return heard;
}

// Engines come and go over one folder, with little memory and little disk, requests are cancelled, and every answer is
// what it would be without any of that.
TEST(DiskTier, RandomLivesChangeNoAnswer) {
  DummyTokenizer tokenizer;
  int64_t fetched = 0;
  for (uint32_t seed = 1; seed <= 15; ++seed) {
    std::minstd_rand random(seed);
    test::TemporaryFolder folder;
    const int64_t max_bytes = seed % 3 == 0 ? 30000 : 10 << 20;
    for (int start = 0; start < 5; ++start) {
      const auto store = open_store(folder.path(), max_bytes);
      auto made = std::make_unique<DummyStepper>();
      DummyStepper& stepper = *made;
      stepper.block_count = 12 + static_cast<int64_t>(random() % 30);
      stepper.context_size = 180;
      Engine engine(std::move(made), tokenizer, {},
                    {.max_sequences = 1 + static_cast<int64_t>(random() % 5),
                     .model_identity = "dummy",
                     .disk = store.get(),
                     .speculation = random() % 2 == 0 ? Speculation::always : Speculation::off,
                     .clock = slow_clock()});
      std::deque<std::pair<Request, Heard>> asked;
      for (int i = 0; i < 12; ++i) {
        auto& [request, heard] = asked.emplace_back(dummy_request(random, 130), Heard{});
        const RequestId id = engine.submit(request, heard.sink());
        for (uint32_t steps = random() % 6; steps-- > 0 && engine.has_work();) engine.step();
        if (random() % 8 == 0) engine.cancel(id);
        engine.check_integrity();
      }
      while (engine.has_work()) engine.step();
      engine.check_integrity();
      stepper.kv().check_integrity();
      EXPECT_EQ(engine.free_blocks(), stepper.block_count);
      for (const auto& [request, heard] : asked) {
        ASSERT_EQ(heard.finishes, 1);
        const Heard expected = alone(request);
        if (heard.finish == FinishReason::cancelled) {
          EXPECT_TRUE(std::equal(heard.tokens.begin(), heard.tokens.end(), expected.tokens.begin())) << seed;
        } else {
          EXPECT_EQ(heard.tokens, expected.tokens) << seed;
        }
      }
      fetched += engine.status().cache.fetched_tokens;
    }
  }
  EXPECT_GT(fetched, 5000) << "it was put to use";
}

// A process dies in the middle of an answer; what it had written, the next one does not compute again.
TEST(DiskTier, OutlivesAKilledProcess) {
  test::TemporaryFolder folder;
  std::minstd_rand random(3);
  Request asked = dummy_request(random, 10);
  asked.prompt.assign(100, 7);
  asked.max_tokens = 50;
  const Heard expected = alone(asked);
  const auto live = [&](bool die, Heard& heard) {
    const auto store = open_store(folder.path());
    DummyTokenizer tokenizer;
    Engine engine(std::make_unique<DummyStepper>(), tokenizer, {},
                  {.model_identity = "dummy", .disk = store.get(), .clock = slow_clock()});
    engine.submit(asked, heard.sink());
    while (engine.has_work()) {
      engine.step();
      if (!die || heard.tokens.size() < 20) continue;
      store->flush();
      ::kill(::getpid(), SIGKILL);
    }
  };
  const pid_t child = ::fork();
  if (child == 0) {
    Heard heard;
    live(true, heard);
    ::_exit(0);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  ASSERT_TRUE(WIFSIGNALED(status));
  Heard heard;
  live(false, heard);
  EXPECT_EQ(heard.tokens, expected.tokens);
  EXPECT_EQ(heard.usage.cached_tokens, 96);
}

/// A disk that the test speaks for.
class FakeDisk final : public BlockCache {
 public:
  void attach(BlockOwner made) override { owner = std::move(made); }
  void detach() override { owner = {}; }
  void keep(int32_t block, const BlockRecord& record) override {
    std::vector<std::byte> bytes(static_cast<size_t>(owner.block_bytes));
    owner.copy(block, bytes);
    stored.emplace_back(record, std::move(bytes));
  }
  void forget(int32_t block) override { forgotten.push_back(block); }
  void touch(std::span<const Hash128> keys) override { touched += std::ssize(keys); }
  bool may_have(const Hash128&) const override { return true; }
  void fetch(int64_t ticket, std::vector<Hash128> keys) override { fetches.emplace_back(ticket, std::move(keys)); }
  void cancel(int64_t ticket) override {
    std::erase_if(fetches, [&](const auto& fetch) { return fetch.first == ticket; });
    ++cancelled;
  }
  std::optional<FetchedBlock> next() override {
    if (ready.empty()) return std::nullopt;
    const FetchedBlock block = ready.front();
    ready.pop_front();
    return block;
  }
  void give_back(const FetchedBlock&) override {}
  void wait(std::chrono::microseconds) override { ++waits; }
  int64_t buffers() const override { return 4; }
  BlockCacheStats stats() const override { return {}; }

  BlockOwner owner;
  std::vector<std::pair<BlockRecord, std::vector<std::byte>>> stored;
  std::vector<std::pair<int64_t, std::vector<Hash128>>> fetches;
  std::deque<FetchedBlock> ready;
  std::vector<int32_t> forgotten;
  int64_t touched = 0;
  int cancelled = 0;
  int waits = 0;
};

struct Faked {
  explicit Faked(int64_t sequences = 2, int64_t blocks = 64) {
    auto made = std::make_unique<DummyStepper>();
    stepper = made.get();
    stepper->block_count = blocks;
    engine = std::make_unique<Engine>(
        std::move(made), tokenizer, ChatModel{},
        EngineOptions{
            .max_sequences = sequences, .model_identity = "dummy", .disk = &disk, .clock = [this] { return now; }});
  }
  Request request(int length, int64_t most = 5) const {
    Request result;
    for (int i = 0; i < length; ++i) result.prompt.push_back(i % 50);
    result.max_tokens = most;
    result.sampling.temperature = 0.0f;
    return result;
  }
  double now = 1;
  DummyTokenizer tokenizer;
  FakeDisk disk;
  DummyStepper* stepper = nullptr;
  std::unique_ptr<Engine> engine;
};

TEST(DiskTier, ASilentDiskDelaysNobodyElseAndIsGivenUp) {
  Faked faked;
  Heard waits, other;
  faked.engine->submit(faked.request(40), waits.sink());
  faked.engine->step();
  ASSERT_EQ(faked.disk.fetches.size(), 1u);
  EXPECT_EQ(faked.disk.fetches[0].second.size(), 2u);
  EXPECT_EQ(faked.disk.waits, 1) << "nothing else is to be done";
  faked.engine->submit(faked.request(10), other.sink());
  while (other.finishes == 0) faked.engine->step();
  EXPECT_EQ(waits.tokens.size(), 0u);
  EXPECT_EQ(faked.disk.waits, 1) << "no step waits while another request runs";
  faked.now += 1000;  // no prompt takes that long
  while (faked.engine->has_work()) faked.engine->step();
  EXPECT_EQ(waits.tokens, alone(faked.request(40)).tokens);
  EXPECT_EQ(waits.usage.cached_tokens, 0);
  EXPECT_EQ(faked.disk.cancelled, 1) << "nothing is read for who has ended";
}

TEST(DiskTier, ACancelledRequestIsFetchedForNoMore) {
  Faked faked;
  Heard heard;
  const RequestId id = faked.engine->submit(faked.request(40), heard.sink());
  faked.engine->step();
  faked.engine->cancel(id);
  EXPECT_EQ(heard.finish, FinishReason::cancelled);
  EXPECT_TRUE(faked.disk.fetches.empty());
  faked.engine->step();
  EXPECT_FALSE(faked.engine->has_work());
}

TEST(DiskTier, WhatADiskSaysIsChecked) {
  Faked faked;
  Heard first, second;
  faked.engine->submit(faked.request(60), first.sink());
  faked.engine->step();
  faked.disk.ready.push_back({.ticket = 1, .end = true, .index = 0, .record = {}, .bytes = {}});
  while (faked.engine->has_work()) faked.engine->step();
  ASSERT_GE(faked.disk.stored.size(), 3u);
  EXPECT_EQ(faked.disk.stored[1].first.before, faked.disk.stored[0].first.key);

  // Another engine; the second block comes with the first one's place, and with other tokens.
  for (const bool wrong_tokens : {false, true}) {
    Faked next;
    Heard heard;
    next.engine->submit(next.request(60), heard.sink());
    next.engine->step();
    auto [record, bytes] = faked.disk.stored[wrong_tokens ? 0 : 1];
    if (wrong_tokens) record.tokens[3] ^= 1;
    next.disk.ready.push_back({.ticket = 1, .end = false, .index = 0, .record = record, .bytes = bytes});
    while (next.engine->has_work()) next.engine->step();
    EXPECT_EQ(heard.tokens, first.tokens);
    EXPECT_EQ(heard.usage.cached_tokens, 0);
    EXPECT_EQ(next.disk.cancelled, 1) << "what follows is of no use";
  }
  Faked right;
  right.engine->submit(right.request(60), second.sink());
  right.engine->step();
  for (int64_t i = 0; i < 3; ++i) {
    const auto& [record, bytes] = faked.disk.stored[static_cast<size_t>(i)];
    right.disk.ready.push_back({.ticket = 1, .end = false, .index = i, .record = record, .bytes = bytes});
  }
  right.disk.ready.push_back({.ticket = 1, .end = true, .index = 0, .record = {}, .bytes = {}});
  while (right.engine->has_work()) right.engine->step();
  EXPECT_EQ(second.tokens, first.tokens);
  EXPECT_EQ(second.usage.cached_tokens, 48);
  EXPECT_EQ(right.disk.touched, 3);
}

TEST(DiskTier, ABlockIsForgottenBeforeItIsUsedAgain) {
  Faked faked(1, 8);
  for (int i = 0; i < 4; ++i) {
    Heard heard;
    Request request = faked.request(80);
    request.prompt[0] = i;
    faked.engine->submit(request, heard.sink());
    while (faked.engine->has_work()) {
      faked.engine->step();
      faked.now += 10;
    }
  }
  EXPECT_GE(faked.disk.forgotten.size(), 12u);
  EXPECT_EQ(faked.engine->status().cache.evicted_blocks, std::ssize(faked.disk.forgotten));
}

}  // namespace
}  // namespace autoglm
