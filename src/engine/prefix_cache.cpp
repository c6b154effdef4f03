#include "engine/prefix_cache.h"

#include <xxhash.h>

#include <algorithm>
#include <string>

#include "base/error.h"

namespace autoglm {
namespace {

PrefixKey digest(const void* data, size_t bytes) {
  const XXH128_hash_t hash = XXH3_128bits(data, bytes);
  return {.low = hash.low64, .high = hash.high64};
}

}  // namespace

PrefixKey root_key(std::string_view model, std::string_view kv_type, int32_t adapter) {
  std::string text(model);
  text += '\0';  // so that no two different triples are written alike
  text += kv_type;
  text += '\0';
  text += std::to_string(adapter);
  return digest(text.data(), text.size());
}

PrefixKey chain_key(const PrefixKey& before, std::span<const int32_t> tokens) {
  AUTOGLM_CHECK(tokens.size() <= kKvBlock, "more tokens than a block holds");
  struct {
    PrefixKey before;
    std::array<int32_t, kKvBlock> tokens;
  } input{.before = before, .tokens = {}};
  std::ranges::copy(tokens, input.tokens.begin());
  return digest(&input, sizeof(PrefixKey) + tokens.size_bytes());
}

int32_t PrefixCache::find(const PrefixKey& key, int32_t before, std::span<const int32_t> tokens) const {
  const auto it = by_key_.find(key);
  if (it == by_key_.end()) return -1;
  const Block& block = blocks_.at(it->second);
  return block.before == before && std::equal(tokens.begin(), tokens.end(), block.tokens.begin()) ? it->second : -1;
}

int32_t PrefixCache::find(const PrefixKey& key, std::span<const int32_t> tokens) const {
  const auto it = by_key_.find(key);
  if (it == by_key_.end()) return -1;
  return std::equal(tokens.begin(), tokens.end(), blocks_.at(it->second).tokens.begin()) ? it->second : -1;
}

PrefixCache::Block* PrefixCache::add(const PrefixKey& key, int32_t before, std::span<const int32_t> tokens,
                                     int32_t block, double cost) {
  AUTOGLM_CHECK(block >= 0 && tokens.size() <= kKvBlock && !blocks_.contains(block), "a block is kept once");
  if (!by_key_.emplace(key, block).second) return nullptr;
  Block& kept = blocks_[block];
  kept = {.key = key, .before = before, .followers = 0, .users = 0, .cost = cost, .value = 0, .left = 0, .tokens = {}};
  std::ranges::copy(tokens, kept.tokens.begin());
  return &kept;
}

bool PrefixCache::insert(const PrefixKey& key, int32_t before, std::span<const int32_t> tokens, int32_t block,
                         double cost) {
  Block* kept = add(key, before, tokens, block, cost);
  if (kept == nullptr) return false;
  kept->users = 1;
  if (before >= 0) {
    Block& front = blocks_.at(before);
    AUTOGLM_CHECK(front.users > 0, "whoever uses a block uses those in front of it");
    ++front.followers;
  }
  return true;
}

bool PrefixCache::insert_unused(const PrefixKey& key, int32_t before, std::span<const int32_t> tokens, int32_t block,
                                double cost) {
  Block* kept = add(key, before, tokens, block, cost);
  if (kept == nullptr) return false;
  if (before >= 0) {
    Block& front = blocks_.at(before);
    if (evictable(front)) candidates_.erase({front.value, front.left, before});
    ++front.followers;
  }
  let_go(block, *kept);
  return true;
}

void PrefixCache::use(int32_t number) {
  Block& block = blocks_.at(number);
  if (evictable(block)) candidates_.erase({block.value, block.left, number});
  if (block.users++ == 0) --unused_;
}

void PrefixCache::leave(int32_t number) {
  Block& block = blocks_.at(number);
  AUTOGLM_CHECK(block.users > 0, "nobody uses this block");
  if (--block.users == 0) let_go(number, block);
}

void PrefixCache::let_go(int32_t number, Block& block) {
  ++unused_;
  block.value = floor_ + block.cost;
  block.left = ++leaves_;
  offer(number, block);
}

void PrefixCache::offer(int32_t number, const Block& block) {
  if (evictable(block)) candidates_.emplace(block.value, block.left, number);
}

int32_t PrefixCache::evict(int32_t except) {
  auto first = candidates_.begin();
  if (first != candidates_.end() && std::get<2>(*first) == except) ++first;
  if (first == candidates_.end()) return -1;
  const auto [value, left, number] = *first;
  candidates_.erase(first);
  const Block block = blocks_.at(number);
  floor_ = std::max(floor_, value);
  by_key_.erase(block.key);
  blocks_.erase(number);
  --unused_;
  if (block.before >= 0) {
    Block& front = blocks_.at(block.before);
    --front.followers;
    offer(block.before, front);
  }
  return number;
}

int64_t PrefixCache::users(int32_t block) const {
  const auto it = blocks_.find(block);
  return it == blocks_.end() ? 0 : it->second.users;
}

void PrefixCache::check_integrity() const {
  std::unordered_map<int32_t, int32_t> followers;
  int64_t unused = 0;
  size_t candidates = 0;
  for (const auto& [number, block] : blocks_) {
    if (block.before >= 0) {
      ++followers[block.before];
      AUTOGLM_CHECK(block.users == 0 || users(block.before) > 0, "a block in use behind one that is not");
    }
    unused += block.users == 0 ? 1 : 0;
    AUTOGLM_CHECK(by_key_.at(block.key) == number, "a block under another's key");
    if (!evictable(block)) continue;
    ++candidates;
    AUTOGLM_CHECK(candidates_.contains({block.value, block.left, number}),
                  "an evictable block that evict() does not know");
  }
  AUTOGLM_CHECK(by_key_.size() == blocks_.size() && candidates == candidates_.size() && unused == unused_,
                "the prefix cache's counts do not match");
  for (const auto& [number, block] : blocks_) {
    AUTOGLM_CHECK(followers[number] == block.followers, "followers do not match");
  }
}

int64_t PrefixCache::bytes_for(int64_t tokens) {
  // A node of either hash table with its bucket, and one of the ordered set.
  constexpr int64_t kBytes = static_cast<int64_t>(sizeof(Block)) + 32 + 64 + 64;
  return tokens / kKvBlock * kBytes;
}

}  // namespace autoglm
