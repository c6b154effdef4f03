// A set of byte strings, each with a number, searched from one place of a text.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

namespace autoglm {

/// Edges live in one open-addressing table: about 12 bytes a node, one probe a byte.
class Trie {
 public:
  static constexpr uint32_t kNone = 0xFFFFFFFF;

  Trie();
  /// A second insertion of the same key replaces its value. Empty keys are passed over.
  void insert(std::string_view key, uint32_t value);
  bool empty() const { return nodes_ == 1; }

  /// The child of `node` (0 is the root) by `byte`, or kNone.
  uint32_t child(uint32_t node, unsigned char byte) const {
    if (node == 0) return root_[byte];
    for (size_t slot = hash(node, byte);; ++slot) {
      const Edge& edge = edges_[slot & (edges_.size() - 1)];
      if (edge.to == kNone) return kNone;
      if (edge.from == (node << 8 | byte)) return edge.to;
    }
  }
  /// The value of the key that ends at `node`, or kNone.
  uint32_t value(uint32_t node) const { return values_[node]; }

  /// Calls found(length, value) for every key that text[at...] begins with, the shortest first.
  template <class Found>
  void prefixes(std::string_view text, size_t at, Found&& found) const {
    uint32_t node = 0;
    for (size_t i = at; i < text.size(); ++i) {
      node = child(node, static_cast<unsigned char>(text[i]));
      if (node == kNone) return;
      if (values_[node] != kNone) found(i + 1 - at, values_[node]);
    }
  }

  size_t bytes() const { return edges_.capacity() * sizeof(Edge) + values_.capacity() * sizeof(uint32_t); }

 private:
  struct Edge {
    uint32_t from = 0;  // parent << 8 | byte: up to 16 million nodes
    uint32_t to = kNone;
  };
  static size_t hash(uint32_t node, unsigned char byte) {
    return static_cast<size_t>((node << 8 | byte) * 0x9E3779B97F4A7C15ull >> 30);
  }
  uint32_t add_child(uint32_t node, unsigned char byte);
  void grow();

  std::array<uint32_t, 256> root_;
  std::vector<Edge> edges_;
  std::vector<uint32_t> values_;  // by node
  uint32_t nodes_ = 1;
};

}  // namespace autoglm
