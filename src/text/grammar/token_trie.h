// The bytes of a vocabulary's tokens as one tree, laid out in the order in which it is walked. Made once a model.
// Immutable.
#pragma once

#include <algorithm>
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
  /// Some tokens say something else where they are a text's first.
  bool first_differs() const { return !hidden_.empty(); }
  /// What is said by a text's first token. Empty for tokens that say nothing there.
  std::string_view first_text(int32_t id) const {
    return text(id).substr(hidden_.empty() ? 0 : hidden_[static_cast<size_t>(id)]);
  }
  /// Tokens that first_text() may be different for; sorted as entries() are.
  std::span<const Entry> spaced() const { return std::span(entries_).subspan(spaced_, spaced_count_); }
  /// A mark: the token behind it is a text's first still.
  bool is_mark(int32_t id) const { return std::ranges::find(marks_, id) != marks_.end(); }
  size_t longest() const { return longest_; }
  int64_t bytes() const;

  /// The tree of these entries, which are sorted.
  static Nodes lay_out(std::span<const Entry> entries);

 private:
  void find_hidden(const Tokenizer& tokenizer);

  int64_t vocabulary_;
  std::string texts_;
  std::vector<std::string_view> by_id_;
  std::vector<uint16_t> hidden_;  // bytes that a token does not show where it comes first; empty: none ever
  size_t spaced_ = 0;             // of entries_, those that begin with a space
  size_t spaced_count_ = 0;
  std::vector<int32_t> marks_;
  std::vector<Entry> entries_;
  Nodes nodes_;
  size_t longest_ = 0;
};

}  // namespace autoglm
