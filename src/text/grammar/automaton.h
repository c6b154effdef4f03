// A Program run over bytes: a pushdown automaton, made deterministic as texts show it new places.
//
// A *place* is an instruction, a count (inside a loop) and a stack of the places to return to; stacks share their
// lower parts and equal ones are one. A *state* is a set of places, all that the text so far allows; equal sets are one
// state. What each byte makes of a state is found once and remembered, so known text costs one look-up a byte.
//
// A stack need not be known to its bottom: walks may begin at a place "below which anything may lie". What survives
// without looking below is `certain`, whatever the stack; the rest has to be asked again with the real one (the split
// into context-independent and context-dependent tokens is that of XGrammar, Dong et al. 2024).
//
// Not thread-safe. Allocates when it meets something new.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "text/grammar/program.h"

namespace autoglm {

class Automaton {
 public:
  using State = uint32_t;
  static constexpr State kDead = 0;           // nothing can follow, and the text is wrong
  static constexpr State kOverflow = 1;       // too many places at once: treated as dead
  static constexpr size_t kMaxPlaces = 1024;  // of a state

  struct Place {
    uint32_t pc;
    uint32_t count;
    uint32_t stack;
    friend bool operator==(const Place&, const Place&) = default;
  };

  explicit Automaton(std::shared_ptr<const Program> program);
  const Program& program() const { return *program_; }

  /// Before the text.
  State start() const { return start_; }
  /// After one byte more.
  State next(State state, uint8_t byte) {
    const uint32_t row = states_[state].row;
    if (row == kNoRow) expand(state);
    return rows_[states_[state].row + program_->class_of(byte)];
  }
  State next(State state, std::string_view bytes) {
    for (size_t i = 0; i < bytes.size() && state > kOverflow; ++i) state = next(state, static_cast<uint8_t>(bytes[i]));
    return state;
  }
  /// Whether the text may end here.
  bool accepts(State state) { return expanded(state).accepts; }
  /// How many of the 256 bytes may follow.
  int live_bytes(State state) { return expanded(state).live_bytes; }
  /// Whether some place survived without looking below an unknown bottom. Of states reached from start(): always true.
  bool certain(State state) const { return states_[state].certain; }
  std::span<const Place> places(State state) const {
    return std::span(places_).subspan(states_[state].begin, states_[state].count);
  }
  /// The state of one place with nothing known below its rule.
  State alone(uint32_t pc, uint32_t count);
  /// Is not a place but the end of the text.
  static bool is_finish(const Place& place) { return place.pc == kFinish; }

  int64_t bytes() const;
  /// Forgets everything but these states, which get new names (kDead and kOverflow keep theirs).
  void compact(std::span<State* const> live);

 private:
  static constexpr uint32_t kNoRow = 0xFFFFFFFF;
  static constexpr uint32_t kFinish = 0xFFFFFFFF;    // pc: the text is complete
  static constexpr uint32_t kAnything = 0xFFFFFFFE;  // pc: below an unknown bottom, too many callers to follow
  static constexpr uint32_t kUnknown = 0xFFFFFFFD;   // pc of a stack: bottom, unknown; count is the rule
  static constexpr uint32_t kBottom = 0;             // stack: the real one

  struct Stack {
    uint32_t pc;
    uint32_t count;
    uint32_t parent;
    bool certain;  // it does not end below an unknown bottom that was looked at
  };
  struct StateData {
    uint32_t begin = 0;
    uint32_t count = 0;
    uint32_t row = kNoRow;
    uint16_t live_bytes = 0;
    bool accepts = false;
    bool certain = false;
  };

  const StateData& expanded(State state) {
    if (states_[state].row == kNoRow) expand(state);
    return states_[state];
  }
  void clear();
  uint32_t unknown(uint32_t rule, bool certain);
  uint32_t intern_stack(const Stack& stack);
  State intern_state(std::vector<Place>& places);
  void settle(Place place, std::vector<Place>& out);
  void look_below(uint32_t rule, std::vector<Place>& out);
  void expand(State state);
  bool visit(const Place& place);
  void step(const Place& place, bool& accepts, bool& anything);
  static uint64_t hash(const Place& place);

  std::shared_ptr<const Program> program_;
  std::vector<Stack> stacks_;
  std::vector<uint32_t> stack_index_;  // open addressing: stack + 1, or 0
  std::vector<StateData> states_;
  std::vector<uint32_t> state_index_;
  std::vector<Place> places_;
  std::vector<State> rows_;
  State start_ = kDead;

  // Scratch of expand().
  std::vector<Place> todo_, settled_;
  std::vector<Place> seen_;  // open addressing, by seen_stamp_
  std::vector<uint32_t> seen_stamp_;
  uint32_t stamp_ = 0;
  size_t seen_count_ = 0;
  std::vector<std::vector<Place>> targets_;  // by class
};

}  // namespace autoglm
