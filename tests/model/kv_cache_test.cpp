// KvCache against a plain list of what every position of every sequence was written with.
#include "model/kv_cache.h"

#include <rapidcheck.h>
#include <cstring>
#include <map>

namespace autoglm {
namespace {

// A store whose blocks hold one number a position, so that a lost copy on write shows.
class FakeStore final : public KvStore {
 public:
  explicit FakeStore(int64_t blocks) : values(static_cast<size_t>(blocks * kKvBlock)) {}
  int64_t blocks() const override { return static_cast<int64_t>(values.size()) / kKvBlock; }
  int64_t block_bytes() const override { return kKvBlock * sizeof(int); }
  void copy_block(int32_t from, int32_t to) override {
    std::copy_n(values.begin() + from * kKvBlock, kKvBlock, values.begin() + to * kKvBlock);
  }
  void export_block(int32_t block, std::span<std::byte> out) const override {
    std::memcpy(out.data(), values.data() + block * kKvBlock, out.size());
  }
  void import_block(int32_t block, std::span<const std::byte> in) override {
    std::memcpy(values.data() + block * kKvBlock, in.data(), in.size());
  }
  std::vector<int> values;
};

// The cache under test with its mirror: for each sequence, the number written at each position (-1: dropped).
struct Mirror {
  static constexpr int64_t kSequences = 6;

  explicit Mirror(int64_t blocks) {
    auto owned = std::make_unique<FakeStore>(blocks);
    store = owned.get();
    cache = std::make_unique<KvCache>(std::move(owned), kSequences);
  }

  int& cell(SequenceId id, size_t position) {
    const int32_t block = cache->blocks(id)[position / kKvBlock];
    return store->values[static_cast<size_t>(block) * kKvBlock + position % kKvBlock];
  }

  // Writes fresh numbers as a forward step would: into the positions just appended.
  bool append(SequenceId id, int64_t n) {
    const int64_t free = cache->free_blocks();
    if (!cache->append(id, n)) {
      RC_ASSERT(cache->free_blocks() == free);
      RC_ASSERT(cache->length(id) == std::ssize(lists[id]));
      return false;
    }
    for (int64_t i = 0; i < n; ++i) {
      cell(id, lists[id].size()) = ++counter;
      lists[id].push_back(counter);
    }
    return true;
  }

  void check() {
    cache->check_integrity();
    for (auto& [id, list] : lists) {
      RC_ASSERT(cache->length(id) == std::ssize(list));
      for (size_t i = 0; i < list.size(); ++i) {
        if (list[i] >= 0) RC_ASSERT(cell(id, i) == list[i]);
      }
    }
  }

  FakeStore* store;
  std::unique_ptr<KvCache> cache;
  std::map<SequenceId, std::vector<int>> lists;
  int counter = 0;
};

void drop(Mirror& m, SequenceId id, int64_t position) {
  m.cache->drop_before(id, position);
  auto& list = m.lists[id];
  for (int64_t i = 0; i < position / kKvBlock * kKvBlock; ++i) list[static_cast<size_t>(i)] = -1;
}

void random_step(Mirror& m) {
  const int action = *rc::gen::inRange(0, 12);
  if (action < 2 || m.lists.empty()) {
    if (std::ssize(m.lists) < Mirror::kSequences) m.lists[m.cache->create()] = {};
    return;
  }
  auto chosen = m.lists.begin();
  std::advance(chosen, *rc::gen::inRange<size_t>(0, m.lists.size()));
  const SequenceId id = chosen->first;
  const auto length = std::ssize(chosen->second);
  if (action < 7) {
    m.append(id, *rc::gen::inRange(0, 40));
  } else if (action < 8) {
    m.cache->free(id);
    m.lists.erase(id);
  } else if (action < 10) {
    if (std::ssize(m.lists) == Mirror::kSequences) return;
    const std::vector<int> copy = chosen->second;
    m.lists[m.cache->fork(id)] = copy;
  } else if (action < 11) {
    const auto to = *rc::gen::inRange<int64_t>(0, length + 1);
    if (to % kKvBlock != 0 && chosen->second[static_cast<size_t>(to - 1)] < 0) return;  // may not cut a dropped block
    m.cache->truncate(id, to);
    chosen->second.resize(static_cast<size_t>(to));
  } else if (length > 0) {
    drop(m, id, *rc::gen::inRange<int64_t>(0, length));
  }
}

TEST(KvCache, AnyOrderOfOperationsKeepsEverySequence) {
  const bool ok = rc::check("random operations", [] {
    Mirror m(*rc::gen::inRange(1, 24));
    const int steps = *rc::gen::inRange(1, 60);
    for (int i = 0; i < steps; ++i) {
      random_step(m);
      m.check();
    }
    while (!m.lists.empty()) {
      m.cache->free(m.lists.begin()->first);
      m.lists.erase(m.lists.begin());
    }
    m.cache->check_integrity();
    RC_ASSERT(m.cache->free_blocks() == m.cache->total_blocks());
  });
  EXPECT_TRUE(ok);
}

TEST(KvCache, AForkCopiesOnlyTheBlockItWrites) {
  Mirror m(8);
  const SequenceId a = m.cache->create();
  ASSERT_TRUE(m.append(a, 40));  // 2 full blocks and a half
  const SequenceId b = m.cache->fork(a);
  m.lists[b] = m.lists[a];
  EXPECT_EQ(m.cache->free_blocks(), 5);
  ASSERT_TRUE(m.append(b, 1));
  EXPECT_EQ(m.cache->free_blocks(), 4);
  EXPECT_EQ(m.cache->blocks(a)[1], m.cache->blocks(b)[1]);
  EXPECT_NE(m.cache->blocks(a)[2], m.cache->blocks(b)[2]);
  m.check();
}

TEST(KvCache, ARefusedAppendChangesNothing) {
  Mirror m(2);
  const SequenceId a = m.cache->create();
  ASSERT_TRUE(m.append(a, 20));
  EXPECT_FALSE(m.cache->append(a, 13));
  EXPECT_EQ(m.cache->length(a), 20);
  EXPECT_TRUE(m.append(a, 12));
  EXPECT_EQ(m.cache->free_blocks(), 0);
  m.check();
}

TEST(KvCache, ACopyOnWriteNeedsAFreeBlockToo) {
  Mirror m(2);
  const SequenceId a = m.cache->create();
  ASSERT_TRUE(m.append(a, 20));
  const SequenceId b = m.cache->fork(a);
  EXPECT_FALSE(m.cache->append(b, 1)) << "the half-filled block is shared and nothing is free to copy it to";
  m.cache->free(a);
  EXPECT_TRUE(m.cache->append(b, 1));
  m.cache->check_integrity();
}

TEST(KvCache, ExportedBlocksComeBack) {
  Mirror m(4);
  const SequenceId a = m.cache->create();
  ASSERT_TRUE(m.append(a, 32));
  const auto saved = m.cache->export_block(a, 1);
  const SequenceId b = m.cache->create();
  ASSERT_TRUE(m.append(b, 32));
  m.cache->import_block(b, 1, saved);
  EXPECT_EQ(m.cache->export_block(b, 1), saved);
  EXPECT_NE(m.cache->export_block(b, 0), m.cache->export_block(a, 0));
}

TEST(KvCache, RetainedBlocksOutliveTheirSequenceAndServeOthers) {
  Mirror m(5);
  const SequenceId a = m.cache->create();
  ASSERT_TRUE(m.append(a, 40));
  const std::vector<int> written = m.lists[a];
  const int32_t first = m.cache->blocks(a)[0];
  const int32_t second = m.cache->blocks(a)[1];
  m.cache->retain(first);
  m.cache->retain(second);
  m.cache->free(a);
  m.lists.clear();
  EXPECT_EQ(m.cache->free_blocks(), 3);
  m.cache->check_integrity();

  const SequenceId b = m.cache->create();
  m.cache->adopt(b, first);
  m.cache->adopt(b, second);
  m.lists[b].assign(written.begin(), written.begin() + 32);
  m.check();
  ASSERT_TRUE(m.append(b, 5));  // goes on in a block of its own
  m.cache->unretain(first);
  m.cache->unretain(second);
  m.check();
  EXPECT_EQ(m.cache->free_blocks(), 2);
  m.cache->free(b);
  m.lists.clear();
  m.cache->check_integrity();
  EXPECT_EQ(m.cache->free_blocks(), 5);
}

TEST(KvCache, ABlockIsReplacedByItsTwin) {
  Mirror m(4);
  const SequenceId a = m.cache->create();
  const SequenceId b = m.cache->create();
  ASSERT_TRUE(m.append(a, 20));
  ASSERT_TRUE(m.append(b, 20));
  EXPECT_EQ(m.cache->free_blocks(), 0);
  m.cache->replace(b, 0, m.cache->blocks(a)[0]);
  std::copy_n(m.lists[a].begin(), kKvBlock, m.lists[b].begin());
  EXPECT_EQ(m.cache->free_blocks(), 1);
  m.check();
  m.cache->free(a);
  m.lists.erase(a);
  m.check();
}

TEST(KvCacheDeathTest, MisuseIsABug) {
  Mirror m(2);
  const SequenceId a = m.cache->create();
  EXPECT_DEATH(m.cache->truncate(a, 1), "truncate beyond");
  EXPECT_DEATH(m.cache->length(a + 1), "no such sequence");
  EXPECT_DEATH(m.cache->retain(0), "only a block in use");
  ASSERT_TRUE(m.append(a, 20));
  EXPECT_DEATH(m.cache->unretain(m.cache->blocks(a)[0]), "was not retained");
  EXPECT_DEATH(m.cache->adopt(a, m.cache->blocks(a)[0]), "half-filled");
  EXPECT_DEATH(m.cache->replace(a, 1, m.cache->blocks(a)[0]), "no full block");
}

}  // namespace
}  // namespace autoglm
