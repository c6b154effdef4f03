// Blocks of keys and values that are kept because another prompt may begin with the same tokens. Only policy: which
// block holds what, who uses it and which goes first. The bytes are elsewhere, blocks are numbers. Pure.
//
// A block's key is a hash of its tokens chained over all tokens before it, from a root that says what else its content
// depends on. A hit is checked against the tokens themselves, so a collision is a miss and never a wrong answer.
//
// Who goes first: a block that nobody uses and nothing follows, the one of least value. A block's value is what
// computing the prefix up to its end would cost, plus the value of what was evicted last when it was used last
// (GreedyDual: Young 1994, "The k-server dual and loose competitiveness for paging"). So a long conversation outlives
// many short ones, and yet goes at last when nobody comes back to it.
#pragma once

#include <array>
#include <cstdint>
#include <set>
#include <span>
#include <string_view>
#include <tuple>
#include <unordered_map>
#include <vector>

#include "format/pack_file.h"
#include "kernels/backend.h"

namespace autoglm {

/// XXH3-128.
using PrefixKey = Hash128;

/// Where every chain of keys begins. `model` says what was loaded and how it computes.
PrefixKey root_key(std::string_view model, std::string_view kv_type, int32_t adapter);
/// Of a full block with these tokens after what `before` stands for.
PrefixKey chain_key(const PrefixKey& before, std::span<const int32_t> tokens);

class PrefixCache {
 public:
  /// The block with this key, or -1. `before`: the block in front of it, -1 for none.
  int32_t find(const PrefixKey& key, int32_t before, std::span<const int32_t> tokens) const;
  /// Keeps a block that was just computed; it is in use, once. False if another block has the key.
  bool insert(const PrefixKey& key, int32_t before, std::span<const int32_t> tokens, int32_t block, double cost);
  /// The block with this key and these tokens, whatever lies in front of it; -1: none.
  int32_t find(const PrefixKey& key, std::span<const int32_t> tokens) const;
  /// Keeps a block that was computed before and elsewhere; nobody uses it yet. False if another block has the key.
  bool insert_unused(const PrefixKey& key, int32_t before, std::span<const int32_t> tokens, int32_t block, double cost);
  /// One user more. The block in front of it must be in use.
  void use(int32_t block);
  /// One user less; whoever leaves a chain leaves its last block first.
  void leave(int32_t block);
  /// Forgets the block of least value (but not `except`) and returns it; -1 if every block is in use.
  int32_t evict(int32_t except = -1);

  int64_t size() const { return static_cast<int64_t>(blocks_.size()); }
  /// Blocks that evict() could give one after another: exactly those that nobody uses.
  int64_t unused() const { return unused_; }
  int64_t users(int32_t block) const;
  void check_integrity() const;

  /// Bookkeeping for the blocks of so many tokens, at most.
  static int64_t bytes_for(int64_t tokens);

 private:
  struct Block {
    PrefixKey key;
    int32_t before = -1;
    int32_t followers = 0;  // blocks that name this one as `before`
    int32_t users = 0;
    double cost = 0;
    double value = 0;
    int64_t left = 0;  // when its last user left: among equal values the longest unused goes first
    std::array<int32_t, kKvBlock> tokens{};
  };
  struct Hash {
    size_t operator()(const PrefixKey& key) const { return key.low; }
  };
  bool evictable(const Block& block) const { return block.users == 0 && block.followers == 0; }
  void offer(int32_t number, const Block& block);
  Block* add(const PrefixKey& key, int32_t before, std::span<const int32_t> tokens, int32_t block, double cost);
  void let_go(int32_t number, Block& block);

  std::unordered_map<int32_t, Block> blocks_;  // by number
  std::unordered_map<PrefixKey, int32_t, Hash> by_key_;
  std::set<std::tuple<double, int64_t, int32_t>> candidates_;  // evictable: value, left, number
  double floor_ = 0;                                           // value of the last one evicted
  int64_t unused_ = 0;
  int64_t leaves_ = 0;
};

}  // namespace autoglm
