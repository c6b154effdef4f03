// The bytes of a vocabulary's tokens as one tree, laid out in the order in which it is walked. Made once a model.
// Immutable.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "text/tokenizer.h"

namespace autoglm {

class TokenTrie {
 public:
  /// Nodes in depth-first order, without the root.
  struct Nodes {
    std::vector<uint8_t> byte;
    std::vector<uint16_t> depth;  // 0: first byte
    std::vector<uint32_t> skip;   // the next node that does not lie below this one
    std::vector<uint32_t> first;  // entries [first[i], first[i + 1]) end at node i
    size_t size() const { return byte.size(); }
    size_t bytes() const;
  };
  struct Entry {
    std::string_view text;
    int32_t id;
  };

  /// Tokens that print something: normal ones, bytes, user-defined ones; and control tokens in `printed`, with the text
  /// that is printed for them (a family's marks). `vocabulary`: what the model's logits have, never less than the
  /// tokenizer's size is looked at.
  TokenTrie(const Tokenizer& tokenizer, int64_t vocabulary,
            std::span<const std::pair<int32_t, std::string>> printed = {});

  int64_t vocabulary() const { return vocabulary_; }
  const Nodes& nodes() const { return nodes_; }
  /// Sorted by bytes; what Nodes::first counts.
  const std::vector<Entry>& entries() const { return entries_; }
  /// Empty for tokens that print nothing.
  std::string_view text(int32_t id) const { return by_id_[static_cast<size_t>(id)]; }
  size_t longest() const { return longest_; }
  int64_t bytes() const;

  /// The tree of these entries, which are sorted.
  static Nodes lay_out(std::span<const Entry> entries);

 private:
  int64_t vocabulary_;
  std::string texts_;
  std::vector<std::string_view> by_id_;
  std::vector<Entry> entries_;
  Nodes nodes_;
  size_t longest_ = 0;
};

}  // namespace autoglm
