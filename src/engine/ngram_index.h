// Where a sequence has said before what it says now: the source of drafts for prompt-lookup speculation (the idea is
// "Prompt Lookup Decoding", Saxena 2023).
//
// One direct-mapped table for each n: hash of n tokens -> the position after their newest occurrence. A collision costs
// a missed match, never a wrong one: what a table names is compared with the tokens themselves. O(1) a token, and
// memory fixed at construction.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

namespace autoglm {

class NgramIndex {
 public:
  /// The tokens before position `next` are, `length` of them, those at the end of the sequence. 0: no match.
  struct Match {
    int64_t next = 0;
    int64_t length = 0;
  };

  static constexpr std::array<int64_t, 4> kOrders = {6, 4, 3, 2};  // longest first: longer matches predict better
  static constexpr int64_t kLongest = 48;                          // a match is not measured beyond this

  /// `tokens`: how long the sequence may become. Tables take 16 to 1024 KiB.
  explicit NgramIndex(int64_t tokens);

  /// `tokens`: the whole sequence, which begins with what was given before. Throws and allocates nothing.
  void extend(std::span<const int32_t> tokens);

  /// The best earlier occurrence of the end of `tokens` (as given to extend()).
  Match find(std::span<const int32_t> tokens) const;

  int64_t bytes() const { return static_cast<int64_t>(table_.size() * sizeof(int32_t)); }
  /// bytes() of an index for so many tokens.
  static int64_t bytes_for(int64_t tokens);

 private:
  static int64_t slots_for(int64_t tokens);
  size_t slot(size_t order, std::span<const int32_t> tokens, int64_t end) const;
  int64_t size_;                // slots for one order, a power of two
  int64_t indexed_ = 0;         // positions whose predecessors are in the tables
  std::vector<int32_t> table_;  // [orders][size_]; 0: empty (nothing stands before position 0)
};

/// The `out.size()` tokens that follow `match`: a copy of what followed then, going around where that reaches the end
/// of the sequence.
void copy_after(std::span<const int32_t> tokens, const NgramIndex::Match& match, std::span<int32_t> out);

}  // namespace autoglm
