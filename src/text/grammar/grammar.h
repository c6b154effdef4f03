// What a text must look like: rules over bytes, built by the front ends (GBNF, regular expressions, JSON Schema) and
// compiled by Program. Characters are written as the bytes of their UTF-8, so every text that a grammar of characters
// allows is valid UTF-8.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "text/grammar/code_points.h"

namespace autoglm {

/// A grammar under construction. Nodes may be used several times; each use is a copy. Building more than the limits
/// allow is Error limit_exceeded.
class Grammar {
 public:
  using Node = int32_t;
  using Rule = int32_t;
  static constexpr int64_t kUnbounded = -1;
  static constexpr size_t kMaxNodes = 400'000;
  static constexpr int64_t kMaxRepeat = 1'000'000;

  enum class Kind : uint8_t { text, bytes, sequence, choice, repeat, call };
  struct NodeData {
    Kind kind = Kind::sequence;
    uint8_t low = 0;  // bytes
    uint8_t high = 0;
    int64_t min = 0;  // repeat
    int64_t max = 0;
    uint32_t begin = 0;  // children, or the text's bytes
    uint32_t count = 0;
    Rule rule = -1;  // call
  };

  Node text(std::string_view bytes);
  Node bytes(uint8_t low, uint8_t high);
  Node chars(const CodePointSet& set);
  Node sequence(std::span<const Node> parts);
  Node sequence(std::initializer_list<Node> parts) { return sequence(std::span(parts.begin(), parts.size())); }
  /// Without parts: nothing matches, not even the empty text.
  Node choice(std::span<const Node> parts);
  Node choice(std::initializer_list<Node> parts) { return choice(std::span(parts.begin(), parts.size())); }
  Node empty() { return sequence({}); }
  Node never() { return choice({}); }
  Node repeat(Node node, int64_t min, int64_t max = kUnbounded);
  Node optional(Node node) { return repeat(node, 0, 1); }

  /// Rules may call each other and themselves, but not before something was read (left recursion).
  Rule add_rule(std::string_view name);
  void define(Rule rule, Node node);
  Node call(Rule rule);

  const NodeData& at(Node node) const { return nodes_[static_cast<size_t>(node)]; }
  std::span<const Node> children(const NodeData& node) const {
    return std::span(children_).subspan(node.begin, node.count);
  }
  std::string_view text_of(const NodeData& node) const {
    return std::string_view(texts_).substr(node.begin, node.count);
  }
  size_t rules() const { return rules_.size(); }
  Node body(Rule rule) const { return rules_[static_cast<size_t>(rule)].body; }
  const std::string& name(Rule rule) const { return rules_[static_cast<size_t>(rule)].name; }

 private:
  struct RuleData {
    std::string name;
    Node body = -1;
  };
  Node add(const NodeData& data);
  Node list(Kind kind, std::span<const Node> parts);

  std::vector<NodeData> nodes_;
  std::vector<Node> children_;
  std::string texts_;
  std::vector<RuleData> rules_;
};

}  // namespace autoglm
