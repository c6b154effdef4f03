#include "text/grammar/grammar.h"

#include <fmt/format.h>

#include "base/error.h"

namespace autoglm {
namespace {

constexpr size_t kMaxText = 4 << 20;  // bytes of all literals

[[noreturn]] void too_large() {
  fail(Code::limit_exceeded, fmt::format("the grammar has more than {} parts", Grammar::kMaxNodes),
       "use fewer alternatives or repetitions");
}

}  // namespace

Grammar::Node Grammar::add(const NodeData& data) {
  if (nodes_.size() >= kMaxNodes) too_large();
  nodes_.push_back(data);
  return static_cast<Node>(nodes_.size() - 1);
}

Grammar::Node Grammar::text(std::string_view bytes) {
  if (texts_.size() + bytes.size() > kMaxText) too_large();
  NodeData data{.kind = Kind::text};
  data.begin = static_cast<uint32_t>(texts_.size());
  data.count = static_cast<uint32_t>(bytes.size());
  texts_ += bytes;
  return add(data);
}

Grammar::Node Grammar::bytes(uint8_t low, uint8_t high) { return add({.kind = Kind::bytes, .low = low, .high = high}); }

Grammar::Node Grammar::chars(const CodePointSet& set) {
  std::vector<Node> runs;
  for (const ByteRanges& run : utf8_ranges(set)) {
    std::vector<Node> parts;
    for (int i = 0; i < run.length; ++i) parts.push_back(bytes(run.low[i], run.high[i]));
    runs.push_back(sequence(parts));
  }
  return choice(runs);
}

Grammar::Node Grammar::list(Kind kind, std::span<const Node> parts) {
  if (parts.size() == 1) return parts[0];
  if (children_.size() + parts.size() > 4 * kMaxNodes) too_large();
  NodeData data{.kind = kind};
  data.begin = static_cast<uint32_t>(children_.size());
  data.count = static_cast<uint32_t>(parts.size());
  children_.insert(children_.end(), parts.begin(), parts.end());
  return add(data);
}

Grammar::Node Grammar::sequence(std::span<const Node> parts) { return list(Kind::sequence, parts); }

Grammar::Node Grammar::choice(std::span<const Node> parts) { return list(Kind::choice, parts); }

Grammar::Node Grammar::repeat(Node node, int64_t min, int64_t max) {
  if (min > kMaxRepeat || max > kMaxRepeat) {
    fail(Code::limit_exceeded, fmt::format("a repetition of {} is more than {}", std::max(min, max), kMaxRepeat));
  }
  if (max == kUnbounded || min <= max) {
    NodeData data{.kind = Kind::repeat, .min = min, .max = max};
    data.begin = static_cast<uint32_t>(children_.size());
    data.count = 1;
    children_.push_back(node);
    return add(data);
  }
  return never();
}

Grammar::Rule Grammar::add_rule(std::string_view name) {
  if (rules_.size() >= kMaxNodes / 4) too_large();
  rules_.push_back({std::string(name), -1});
  return static_cast<Rule>(rules_.size() - 1);
}

void Grammar::define(Rule rule, Node node) { rules_[static_cast<size_t>(rule)].body = node; }

Grammar::Node Grammar::call(Rule rule) { return add({.kind = Kind::call, .rule = rule}); }

}  // namespace autoglm
