#include "text/trie.h"

#include "base/error.h"

namespace autoglm {

Trie::Trie() : edges_(16), values_(1, kNone) { root_.fill(kNone); }

void Trie::insert(std::string_view key, uint32_t value) {
  uint32_t node = 0;
  for (const char c : key) {
    const auto byte = static_cast<unsigned char>(c);
    const uint32_t next = child(node, byte);
    node = next == kNone ? add_child(node, byte) : next;
  }
  if (node != 0) values_[node] = value;
}

uint32_t Trie::add_child(uint32_t node, unsigned char byte) {
  if (nodes_ >= 1u << 24)
    fail(Code::limit_exceeded, "the tokenizer's vocabulary has over 16 million distinct prefixes");
  if (nodes_ * 2 > edges_.size()) grow();
  const uint32_t to = nodes_++;
  values_.push_back(kNone);
  if (node == 0) {
    root_[byte] = to;
    return to;
  }
  size_t slot = hash(node, byte);
  while (edges_[slot & (edges_.size() - 1)].to != kNone) ++slot;
  edges_[slot & (edges_.size() - 1)] = {node << 8 | byte, to};
  return to;
}

void Trie::grow() {
  std::vector<Edge> old(edges_.size() * 2);
  old.swap(edges_);
  for (const Edge& edge : old) {
    if (edge.to == kNone) continue;
    size_t slot = hash(edge.from >> 8, static_cast<unsigned char>(edge.from & 0xFF));
    while (edges_[slot & (edges_.size() - 1)].to != kNone) ++slot;
    edges_[slot & (edges_.size() - 1)] = edge;
  }
}

}  // namespace autoglm
