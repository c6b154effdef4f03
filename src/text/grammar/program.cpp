#include "text/grammar/program.h"

#include <fmt/format.h>

#include <algorithm>
#include <bitset>

#include "base/error.h"

namespace autoglm {
namespace {

using Node = Grammar::Node;
using Kind = Grammar::Kind;

constexpr int64_t kExpanded = 8;           // repetitions of a few bytes up to this are written out
constexpr int64_t kMaxEmptyRepeats = 64;   // bounded repetitions of what may be empty
constexpr size_t kMaxCallers = 64;         // places kept for a rule
constexpr size_t kLongestTrieText = 1024;  // literals beyond this are not merged with others

/// Which nodes have a property that all parts of a sequence, or any of a choice, must have. `text(n)`: whether a
/// literal of n bytes has it. One pass over the edges, by a worklist.
template <class Text>
std::vector<bool> hold(const Grammar& grammar, size_t nodes, Text text, bool byte) {
  std::vector<std::vector<Node>> parents(nodes);
  std::vector<uint32_t> missing(nodes, 0);
  std::vector<std::vector<Node>> calls(grammar.rules());
  std::vector<std::vector<Grammar::Rule>> bodies(nodes);
  std::vector<Node> ready;
  for (size_t i = 0; i < nodes; ++i) {
    const auto node = static_cast<Node>(i);
    const Grammar::NodeData& data = grammar.at(node);
    const auto children =
        data.kind == Kind::text || data.kind == Kind::call ? std::span<const Node>() : grammar.children(data);
    for (const Node child : children) parents[static_cast<size_t>(child)].push_back(node);
    missing[i] = data.kind == Kind::choice || data.kind == Kind::repeat ? 1 : static_cast<uint32_t>(children.size());
    bool has = false;
    switch (data.kind) {
      case Kind::text:
        has = text(data.count);
        break;
      case Kind::bytes:
        has = byte;
        break;
      case Kind::sequence:
        has = children.empty();
        break;
      case Kind::choice:
        break;
      case Kind::repeat:
        has = data.min == 0;
        break;
      case Kind::call:
        calls[static_cast<size_t>(data.rule)].push_back(node);
        break;
    }
    if (has) ready.push_back(node);
  }
  for (size_t rule = 0; rule < grammar.rules(); ++rule) {
    const Node body = grammar.body(static_cast<Grammar::Rule>(rule));
    bodies[static_cast<size_t>(body)].push_back(static_cast<Grammar::Rule>(rule));
  }
  std::vector<bool> result(nodes, false);
  while (!ready.empty()) {
    const auto node = static_cast<size_t>(ready.back());
    ready.pop_back();
    if (result[node]) continue;
    result[node] = true;
    for (const Node parent : parents[node]) {
      uint32_t& left = missing[static_cast<size_t>(parent)];
      if (left == 0) continue;
      --left;
      if (left == 0) ready.push_back(parent);
    }
    for (const Grammar::Rule rule : bodies[node]) {
      const auto& places = calls[static_cast<size_t>(rule)];
      ready.insert(ready.end(), places.begin(), places.end());
    }
  }
  return result;
}

}  // namespace

/// Writes instructions from the end: each node is told what follows it.
class ProgramBuilder {
 public:
  ProgramBuilder(const Grammar& grammar, Grammar::Rule root, Program& out) : grammar_(grammar), out_(out) {
    size_t nodes = 0;
    for (size_t rule = 0; rule < grammar.rules(); ++rule) {
      const Node body = grammar.body(static_cast<Grammar::Rule>(rule));
      AUTOGLM_CHECK(body >= 0, "every rule of a grammar is defined");
      nodes = std::max(nodes, static_cast<size_t>(body) + 1);
    }
    productive_ = hold(grammar, nodes, [](uint32_t) { return true; }, true);
    nullable_ = hold(grammar, nodes, [](uint32_t length) { return length == 0; }, false);
    if (!productive_[static_cast<size_t>(grammar.body(root))]) {
      fail(Code::bad_request, "no text can match the grammar",
           "its rules end nowhere, or its conditions exclude each other");
    }
    out_.root_ = static_cast<uint32_t>(root);
    out_.starts_.assign(grammar.rules(), 0);
    for (size_t rule = 0; rule < grammar.rules(); ++rule) {
      const Node body = grammar.body(static_cast<Grammar::Rule>(rule));
      rule_ = static_cast<uint32_t>(rule);
      const uint32_t end = instruction({});
      // A rule that ends nowhere is never called: its callers are left out.
      out_.starts_[rule] = productive_[static_cast<size_t>(body)] ? emit(body, end) : end;
    }
    refuse_left_recursion();
    find_callers();
    find_classes();
  }

 private:
  uint32_t instruction(const Program::Instruction& code) {
    if (out_.code_.size() >= Program::kMaxInstructions) {
      fail(Code::limit_exceeded, fmt::format("the grammar needs more than {} instructions", Program::kMaxInstructions),
           "use fewer alternatives or repetitions");
    }
    out_.code_.push_back(code);
    out_.rule_of_.push_back(rule_);
    return static_cast<uint32_t>(out_.code_.size() - 1);
  }

  uint32_t emit(Node node, uint32_t next) {
    const Grammar::NodeData& data = grammar_.at(node);
    switch (data.kind) {
      case Kind::text:
        return emit_text(grammar_.text_of(data), next);
      case Kind::bytes:
        return instruction({Program::Op::bytes, data.low, data.high, next, 0});
      case Kind::sequence: {
        const std::span<const Node> parts = grammar_.children(data);
        for (size_t i = parts.size(); i-- > 0;) next = emit(parts[i], next);
        return next;
      }
      case Kind::choice:
        return emit_choice(grammar_.children(data), next);
      case Kind::repeat:
        return emit_repeat(data, next);
      case Kind::call:
        return instruction({Program::Op::call, 0, 0, static_cast<uint32_t>(data.rule), next});
    }
    return next;
  }

  uint32_t emit_text(std::string_view text, uint32_t next) {
    for (size_t i = text.size(); i-- > 0;) {
      const auto byte = static_cast<uint8_t>(text[i]);
      next = instruction({Program::Op::bytes, byte, byte, next, 0});
    }
    return next;
  }

  // Literals are merged where they begin alike: of a thousand names, one place in the text is one position.
  uint32_t emit_choice(std::span<const Node> parts, uint32_t next) {
    std::vector<std::string_view> texts;
    std::vector<uint32_t> starts;
    for (const Node part : parts) {
      if (!productive_[static_cast<size_t>(part)]) continue;
      const Grammar::NodeData& data = grammar_.at(part);
      if (data.kind == Kind::text && data.count <= kLongestTrieText) {
        texts.push_back(grammar_.text_of(data));
      } else {
        starts.push_back(emit(part, next));
      }
    }
    if (!texts.empty()) {
      std::sort(texts.begin(), texts.end());
      texts.erase(std::unique(texts.begin(), texts.end()), texts.end());
      starts.push_back(emit_trie(texts, 0, next));
    }
    return join(starts);
  }

  uint32_t emit_trie(std::span<const std::string_view> texts, size_t depth, uint32_t next) {
    if (texts.size() == 1) return emit_text(texts[0].substr(depth), next);
    std::vector<uint32_t> starts;
    size_t i = 0;
    if (texts[0].size() == depth) {
      starts.push_back(next);
      ++i;
    }
    while (i < texts.size()) {
      const auto byte = static_cast<uint8_t>(texts[i][depth]);
      size_t end = i;
      while (end < texts.size() && static_cast<uint8_t>(texts[end][depth]) == byte) ++end;
      const uint32_t rest = emit_trie(texts.subspan(i, end - i), depth + 1, next);
      starts.push_back(instruction({Program::Op::bytes, byte, byte, rest, 0}));
      i = end;
    }
    return join(starts);
  }

  uint32_t join(std::span<const uint32_t> starts) {
    uint32_t entry = starts.back();
    for (size_t i = starts.size() - 1; i-- > 0;) entry = instruction({Program::Op::split, 0, 0, starts[i], entry});
    return entry;
  }

  bool few_bytes(Node node) const {
    const Grammar::NodeData& data = grammar_.at(node);
    if (data.kind == Kind::bytes) return true;
    if (data.kind != Kind::choice || data.count > 4) return false;
    return std::ranges::all_of(grammar_.children(data), [&](Node n) { return grammar_.at(n).kind == Kind::bytes; });
  }

  uint32_t emit_repeat(const Grammar::NodeData& data, uint32_t next) {
    const Node child = grammar_.children(data)[0];
    if (data.max == 0 || !productive_[static_cast<size_t>(child)]) return next;  // then min is 0: see hold()
    const bool nullable = nullable_[static_cast<size_t>(child)];
    const int64_t min = nullable ? 0 : data.min;
    if (data.max == Grammar::kUnbounded && min <= 1) {
      const uint32_t again = instruction({Program::Op::split, 0, 0, 0, next});
      const uint32_t body = emit(child, again);
      out_.code_[again].a = body;
      return min == 1 ? body : again;
    }
    if (min == 0 && data.max == 1) return instruction({Program::Op::split, 0, 0, emit(child, next), next});
    if (data.max != Grammar::kUnbounded && data.max <= kExpanded && few_bytes(child)) {
      for (int64_t i = data.max; i-- > 0;) {
        const uint32_t one = emit(child, next_of(i + 1, data.max, next));
        written_ = i < min ? one : instruction({Program::Op::split, 0, 0, one, next});
      }
      return written_;
    }
    if (nullable && data.max > kMaxEmptyRepeats) {
      fail(Code::limit_exceeded, fmt::format("up to {} repetitions of something that may be empty", data.max),
           "leave out the bound, or make what repeats read something");
    }
    return emit_loop(child, min, data.max, next);
  }

  // What follows the i-th of `max` copies.
  uint32_t next_of(int64_t i, int64_t max, uint32_t next) const { return i == max ? next : written_; }

  uint32_t emit_loop(Node child, int64_t min, int64_t max, uint32_t next) {
    const auto index = static_cast<uint32_t>(out_.loops_.size());
    const auto body = static_cast<uint32_t>(out_.starts_.size());
    out_.loops_.push_back({.body = body,
                           .min = static_cast<uint32_t>(min),
                           .max = max == Grammar::kUnbounded ? Program::kAnyCount : static_cast<uint32_t>(max)});
    const uint32_t loop = instruction({Program::Op::loop, 0, 0, index, next});
    out_.starts_.push_back(0);
    const uint32_t outer = std::exchange(rule_, body);
    const uint32_t end = instruction({});
    out_.starts_[body] = emit(child, end);
    rule_ = outer;
    return loop;
  }

  bool rule_nullable(uint32_t rule) const {
    return rule < grammar_.rules() && nullable_[static_cast<size_t>(grammar_.body(static_cast<Grammar::Rule>(rule)))];
  }

  // The rules that may be called in `rule` before a byte is read.
  std::vector<uint32_t> left_calls(uint32_t rule, std::vector<uint32_t>& seen, uint32_t stamp) const {
    std::vector<uint32_t> found;
    std::vector<uint32_t> todo = {out_.starts_[rule]};
    while (!todo.empty()) {
      const uint32_t pc = todo.back();
      todo.pop_back();
      if (std::exchange(seen[pc], stamp) == stamp) continue;
      const Program::Instruction& code = out_.code_[pc];
      switch (code.op) {
        case Program::Op::split:
          todo.push_back(code.a);
          todo.push_back(code.b);
          break;
        case Program::Op::call:
          found.push_back(code.a);
          if (rule_nullable(code.a)) todo.push_back(code.b);
          break;
        case Program::Op::loop:
          found.push_back(out_.loops_[code.a].body);
          if (out_.loops_[code.a].min == 0) todo.push_back(code.b);
          break;
        default:
          break;
      }
    }
    return found;
  }

  void refuse_left_recursion() {
    const size_t rules = out_.starts_.size();
    std::vector<uint32_t> seen(out_.code_.size(), 0xFFFFFFFF);
    std::vector<uint8_t> state(rules, 0);  // 1: open, 2: done
    struct Open {
      uint32_t rule;
      std::vector<uint32_t> calls;
    };
    std::vector<Open> path;
    for (uint32_t first = 0; first < rules; ++first) {
      if (state[first] != 0) continue;
      state[first] = 1;
      path.push_back({first, left_calls(first, seen, first)});
      while (!path.empty()) {
        Open& top = path.back();
        if (top.calls.empty()) {
          state[top.rule] = 2;
          path.pop_back();
          continue;
        }
        const uint32_t next = top.calls.back();
        top.calls.pop_back();
        if (state[next] == 1) {
          const uint32_t named = next < grammar_.rules() ? next : top.rule;
          const std::string name =
              named < grammar_.rules() ? grammar_.name(static_cast<Grammar::Rule>(named)) : std::string();
          fail(Code::bad_request, fmt::format("the grammar is left-recursive: rule \"{}\" calls itself first", name),
               "write it with a repetition, or with the recursion behind what it reads");
        }
        if (state[next] == 0) {
          state[next] = 1;
          path.push_back({next, left_calls(next, seen, next)});
        }
      }
    }
  }

  void find_callers() {
    const size_t rules = out_.starts_.size();
    std::vector<std::vector<Program::Caller>> direct(rules);
    std::vector<std::vector<uint32_t>> tails(rules);  // rules that end with a call of this one
    for (uint32_t pc = 0; pc < out_.code_.size(); ++pc) {
      const Program::Instruction& code = out_.code_[pc];
      const uint32_t rule = out_.rule_of_[pc];
      if (code.op == Program::Op::loop) {
        direct[out_.loops_[code.a].body].push_back({pc, Program::kAnyCount, rule});
      } else if (code.op == Program::Op::call && out_.code_[code.b].op == Program::Op::end) {
        tails[code.a].push_back(rule);
      } else if (code.op == Program::Op::call) {
        direct[code.a].push_back({code.b, 0, rule});
      }
    }
    out_.callers_.resize(rules);
    std::vector<uint32_t> seen(rules, 0xFFFFFFFF);
    for (uint32_t rule = 0; rule < rules; ++rule) {
      Program::Callers& callers = out_.callers_[rule];
      std::vector<uint32_t> todo = {rule};
      seen[rule] = rule;
      for (size_t i = 0; i < todo.size() && !callers.unknown; ++i) {
        const uint32_t one = todo[i];
        if (one == out_.root_) callers.finish = true;
        callers.places.insert(callers.places.end(), direct[one].begin(), direct[one].end());
        callers.unknown = callers.places.size() > kMaxCallers || todo.size() > 4 * kMaxCallers;
        for (const uint32_t outer : tails[one]) {
          if (std::exchange(seen[outer], rule) != rule) todo.push_back(outer);
        }
      }
      if (callers.unknown) callers.places.clear();
    }
  }

  void find_classes() {
    std::bitset<257> begins;
    begins.set(0);
    for (const Program::Instruction& code : out_.code_) {
      if (code.op != Program::Op::bytes) continue;
      begins.set(code.low);
      begins.set(static_cast<size_t>(code.high) + 1);
    }
    int cls = -1;
    for (size_t byte = 0; byte < 256; ++byte) {
      if (begins[byte]) out_.byte_of_[static_cast<size_t>(++cls)] = static_cast<uint8_t>(byte);
      out_.class_of_[byte] = static_cast<uint8_t>(cls);
      ++out_.class_size_[static_cast<size_t>(cls)];
    }
    out_.classes_ = cls + 1;
  }

  const Grammar& grammar_;
  Program& out_;
  std::vector<bool> productive_, nullable_;
  uint32_t rule_ = 0;
  uint32_t written_ = 0;  // of a repetition that is written out, the copies so far
};

Program::Program(const Grammar& grammar, Grammar::Rule root) { ProgramBuilder(grammar, root, *this); }

int64_t Program::bytes() const {
  size_t bytes = code_.capacity() * sizeof(Instruction) + rule_of_.capacity() * sizeof(uint32_t) +
                 loops_.capacity() * sizeof(Loop) + starts_.capacity() * sizeof(uint32_t) +
                 callers_.capacity() * sizeof(Callers);
  for (const Callers& callers : callers_) bytes += callers.places.capacity() * sizeof(Caller);
  return static_cast<int64_t>(bytes);
}

}  // namespace autoglm
