// A grammar as instructions, and what is known of it before any text: where each rule may be called from, which bytes
// it can tell apart. Immutable.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "text/grammar/grammar.h"

namespace autoglm {

class Program {
 public:
  static constexpr size_t kMaxInstructions = 1 << 20;
  static constexpr uint32_t kAnyCount = 0xFFFFFFFF;

  enum class Op : uint8_t {
    bytes,  // a byte from low to high, then a
    split,  // a or b
    call,   // rule a, then b
    loop,   // loops()[a] times its body, then b; the count travels with the position
    end,    // of the rule
  };
  struct Instruction {
    Op op = Op::end;
    uint8_t low = 0;
    uint8_t high = 0;
    uint32_t a = 0;
    uint32_t b = 0;
  };
  struct Loop {
    uint32_t body = 0;  // a rule
    uint32_t min = 0;
    uint32_t max = 0;  // kAnyCount: unbounded
  };
  /// Where a rule's end may lead.
  struct Caller {
    uint32_t pc;
    uint32_t count;  // kAnyCount at a loop
    uint32_t rule;   // to which pc belongs
  };
  struct Callers {
    std::vector<Caller> places;
    bool finish = false;   // the whole text may end with the rule
    bool unknown = false;  // more places than are worth keeping
  };

  /// Errors: bad_request (nothing can match; left recursion, naming the rule), limit_exceeded.
  Program(const Grammar& grammar, Grammar::Rule root);

  const Instruction& at(uint32_t pc) const { return code_[pc]; }
  const Loop& loop(uint32_t index) const { return loops_[index]; }
  uint32_t start(uint32_t rule) const { return starts_[rule]; }
  uint32_t rule_of(uint32_t pc) const { return rule_of_[pc]; }
  uint32_t root() const { return root_; }
  const Callers& callers(uint32_t rule) const { return callers_[rule]; }
  size_t size() const { return code_.size(); }

  /// Bytes that no instruction tells apart share a class.
  int classes() const { return classes_; }
  int class_of(uint8_t byte) const { return class_of_[byte]; }
  /// The first byte of a class.
  uint8_t byte_of(int cls) const { return byte_of_[static_cast<size_t>(cls)]; }
  int class_size(int cls) const { return class_size_[static_cast<size_t>(cls)]; }

  int64_t bytes() const;

 private:
  friend class ProgramBuilder;
  std::vector<Instruction> code_;
  std::vector<uint32_t> rule_of_;  // by pc
  std::vector<Loop> loops_;
  std::vector<uint32_t> starts_;  // by rule; bodies of loops are rules too
  std::vector<Callers> callers_;
  uint32_t root_ = 0;
  int classes_ = 0;
  std::array<uint8_t, 256> class_of_{};
  std::array<uint8_t, 256> byte_of_{};
  std::array<uint16_t, 256> class_size_{};
};

}  // namespace autoglm
