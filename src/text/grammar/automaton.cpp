#include "text/grammar/automaton.h"

#include <algorithm>

#include "base/error.h"

namespace autoglm {
namespace {

using Op = Program::Op;

constexpr size_t kMaxVisited = 8192;  // places looked at between two bytes

uint64_t mix(uint64_t hash, uint64_t value) {
  hash = (hash ^ value) * 0x9E3779B97F4A7C15ull;
  return hash ^ hash >> 29;
}

bool less(const Automaton::Place& a, const Automaton::Place& b) {
  if (a.pc != b.pc) return a.pc < b.pc;
  if (a.count != b.count) return a.count < b.count;
  return a.stack < b.stack;
}

// Doubles an index of `count` entries where it is half full, by inserting them again.
template <class Insert>
void grow(std::vector<uint32_t>& index, size_t count, Insert insert) {
  if (count * 2 < index.size()) return;
  index.assign(index.size() * 2, 0);
  for (size_t i = 0; i < count; ++i) insert(static_cast<uint32_t>(i));
}

}  // namespace

Automaton::Automaton(std::shared_ptr<const Program> program) : program_(std::move(program)) {
  targets_.resize(static_cast<size_t>(program_->classes()));
  seen_.resize(2 * kMaxVisited);
  seen_stamp_.resize(2 * kMaxVisited);
  clear();
}

void Automaton::clear() {
  stacks_.assign(1, {.pc = kUnknown, .count = 0, .parent = 0, .certain = true});  // kBottom
  stack_index_.assign(256, 0);
  states_.clear();
  state_index_.assign(256, 0);
  places_.clear();
  rows_.assign(static_cast<size_t>(program_->classes()), kDead);
  states_.push_back({.row = 0});  // kDead
  states_.push_back({.row = 0});  // kOverflow
  settled_.clear();
  settle({program_->start(program_->root()), 0, kBottom}, settled_);
  start_ = intern_state(settled_);
}

uint64_t Automaton::hash(const Place& place) {
  return mix(mix(static_cast<uint64_t>(place.pc) << 32 | place.count, 0), place.stack);
}

uint32_t Automaton::intern_stack(const Stack& stack) {
  const auto slot_of = [this](const Stack& s) {
    return hash({s.pc, s.count, s.parent * 2 + (s.certain ? 1U : 0U)}) & (stack_index_.size() - 1);
  };
  grow(stack_index_, stacks_.size(), [&](uint32_t i) {
    size_t slot = slot_of(stacks_[i]);
    while (stack_index_[slot] != 0) slot = (slot + 1) & (stack_index_.size() - 1);
    stack_index_[slot] = i + 1;
  });
  for (size_t slot = slot_of(stack);; slot = (slot + 1) & (stack_index_.size() - 1)) {
    const uint32_t entry = stack_index_[slot];
    if (entry == 0) {
      stacks_.push_back(stack);
      stack_index_[slot] = static_cast<uint32_t>(stacks_.size());
      return static_cast<uint32_t>(stacks_.size() - 1);
    }
    const Stack& found = stacks_[entry - 1];
    if (entry > 1 && found.pc == stack.pc && found.count == stack.count && found.parent == stack.parent &&
        found.certain == stack.certain) {
      return entry - 1;
    }
  }
}

uint32_t Automaton::unknown(uint32_t rule, bool certain) {
  return intern_stack({.pc = kUnknown, .count = rule, .parent = 0, .certain = certain});
}

Automaton::State Automaton::intern_state(std::vector<Place>& places) {
  if (places.empty()) return kDead;
  std::sort(places.begin(), places.end(), less);
  places.erase(std::unique(places.begin(), places.end()), places.end());
  if (places.size() > kMaxPlaces) return kOverflow;
  const auto slot_of = [this](std::span<const Place> set) {
    uint64_t sum = 0;
    for (const Place& place : set) sum = mix(sum, hash(place));
    return sum & (state_index_.size() - 1);
  };
  grow(state_index_, states_.size(), [&](uint32_t i) {
    if (i <= kOverflow) return;
    size_t slot = slot_of(this->places(i));
    while (state_index_[slot] != 0) slot = (slot + 1) & (state_index_.size() - 1);
    state_index_[slot] = i + 1;
  });
  for (size_t slot = slot_of(places);; slot = (slot + 1) & (state_index_.size() - 1)) {
    const uint32_t entry = state_index_[slot];
    if (entry == 0) {
      StateData data;
      data.begin = static_cast<uint32_t>(places_.size());
      data.count = static_cast<uint32_t>(places.size());
      data.certain = std::ranges::any_of(places, [this](const Place& p) { return stacks_[p.stack].certain; });
      places_.insert(places_.end(), places.begin(), places.end());
      states_.push_back(data);
      state_index_[slot] = static_cast<uint32_t>(states_.size());
      return static_cast<State>(states_.size() - 1);
    }
    if (std::ranges::equal(this->places(entry - 1), places)) return entry - 1;
  }
}

Automaton::State Automaton::alone(uint32_t pc, uint32_t count) {
  std::vector<Place> one = {{pc, count, unknown(program_->rule_of(pc), true)}};
  return intern_state(one);
}

// Brings a place to where it will read or choose: behind the ends of rules, and into a rule that is called last, which
// needs no place to return to (so right recursion does not grow the stack).
void Automaton::settle(Place place, std::vector<Place>& out) {
  while (true) {
    const Program::Instruction& code = program_->at(place.pc);
    if (code.op == Op::call && program_->at(code.b).op == Op::end) {
      place.pc = program_->start(code.a);
      continue;
    }
    if (code.op != Op::end) {
      out.push_back(place);
      return;
    }
    if (place.stack == kBottom) {
      out.push_back({kFinish, 0, kBottom});
      return;
    }
    const Stack& top = stacks_[place.stack];
    if (top.pc == kUnknown) {
      look_below(top.count, out);
      return;
    }
    place = {top.pc, top.count, top.parent};
  }
}

// Whatever may follow the rule, wherever it was called.
void Automaton::look_below(uint32_t rule, std::vector<Place>& out) {
  const Program::Callers& callers = program_->callers(rule);
  if (callers.finish) out.push_back({kFinish, 0, unknown(rule, false)});
  if (callers.unknown) out.push_back({kAnything, 0, unknown(rule, false)});
  for (const Program::Caller& caller : callers.places) {
    out.push_back({caller.pc, caller.count, unknown(caller.rule, false)});
  }
}

// True if the place was not looked at before in this expand().
bool Automaton::visit(const Place& place) {
  for (size_t slot = hash(place) % seen_.size();; slot = (slot + 1) % seen_.size()) {
    if (seen_stamp_[slot] != stamp_) {
      seen_stamp_[slot] = stamp_;
      seen_[slot] = place;
      ++seen_count_;
      return true;
    }
    if (seen_[slot] == place) return false;
  }
}

void Automaton::step(const Place& place, bool& accepts, bool& anything) {
  accepts = accepts || place.pc == kFinish;
  anything = anything || place.pc == kAnything;
  if (place.pc >= kAnything) return;
  const Program::Instruction& code = program_->at(place.pc);
  switch (code.op) {
    case Op::bytes: {
      settled_.clear();
      settle({code.a, 0, place.stack}, settled_);
      for (int cls = program_->class_of(code.low); cls <= program_->class_of(code.high); ++cls) {
        auto& target = targets_[static_cast<size_t>(cls)];
        target.insert(target.end(), settled_.begin(), settled_.end());
      }
      break;
    }
    case Op::split:
      settle({code.a, 0, place.stack}, todo_);
      settle({code.b, 0, place.stack}, todo_);
      break;
    case Op::call: {
      if (program_->at(code.b).op == Op::end) {  // found below an unknown bottom, so not settled yet
        settle(place, todo_);
        break;
      }
      const bool certain = stacks_[place.stack].certain;
      settle({program_->start(code.a), 0, intern_stack({code.b, 0, place.stack, certain})}, todo_);
      break;
    }
    case Op::loop: {
      const Program::Loop& loop = program_->loop(code.a);
      const bool bounded = loop.max != Program::kAnyCount;
      const bool any = place.count == Program::kAnyCount;
      if (any || !bounded || place.count < loop.max) {
        const uint32_t again = any ? place.count : bounded ? place.count + 1 : std::min(place.count + 1, loop.min);
        const bool certain = stacks_[place.stack].certain;
        settle({program_->start(loop.body), 0, intern_stack({place.pc, again, place.stack, certain})}, todo_);
      }
      if (any || place.count >= loop.min) settle({code.b, 0, place.stack}, todo_);
      break;
    }
    case Op::end:
      settle(place, todo_);
      break;
  }
}

void Automaton::expand(State state) {
  const auto classes = static_cast<size_t>(program_->classes());
  for (auto& target : targets_) target.clear();
  const std::span<const Place> kernel = places(state);
  todo_.assign(kernel.begin(), kernel.end());
  ++stamp_;
  seen_count_ = 0;
  bool accepts = false;
  bool anything = false;
  bool overflow = false;
  while (!todo_.empty() && !overflow) {
    const Place place = todo_.back();
    todo_.pop_back();
    if (visit(place)) step(place, accepts, anything);
    overflow = seen_count_ >= kMaxVisited;
  }
  const auto row = static_cast<uint32_t>(rows_.size());
  rows_.resize(rows_.size() + classes, kDead);
  int live = 0;
  for (size_t cls = 0; cls < classes; ++cls) {
    auto& target = targets_[cls];
    if (anything) target.push_back({kAnything, 0, unknown(program_->root(), false)});
    const State to = overflow ? kOverflow : intern_state(target);
    rows_[row + cls] = to;
    if (to > kOverflow) live += program_->class_size(static_cast<int>(cls));
  }
  StateData& data = states_[state];
  data.row = row;
  data.accepts = accepts;
  data.live_bytes = static_cast<uint16_t>(live);
}

int64_t Automaton::bytes() const {
  const size_t bytes = stacks_.capacity() * sizeof(Stack) + stack_index_.capacity() * sizeof(uint32_t) +
                       states_.capacity() * sizeof(StateData) + state_index_.capacity() * sizeof(uint32_t) +
                       places_.capacity() * sizeof(Place) + rows_.capacity() * sizeof(State);
  return static_cast<int64_t>(bytes);
}

void Automaton::compact(std::span<State* const> live) {
  const std::vector<Stack> old_stacks = std::move(stacks_);
  std::vector<std::vector<Place>> kept;
  for (State* state : live) {
    const std::span<const Place> set = places(*state);
    kept.emplace_back(set.begin(), set.end());
  }
  clear();
  std::vector<uint32_t> renamed(old_stacks.size(), 0);  // parents have lower numbers than children
  std::vector<bool> wanted(old_stacks.size(), false);
  for (const auto& set : kept) {
    for (const Place& place : set) wanted[place.stack] = true;
  }
  for (size_t i = old_stacks.size(); i-- > 1;) {
    if (wanted[i]) wanted[old_stacks[i].parent] = true;
  }
  for (size_t i = 1; i < old_stacks.size(); ++i) {
    if (!wanted[i]) continue;
    Stack stack = old_stacks[i];
    stack.parent = renamed[stack.parent];
    renamed[i] = intern_stack(stack);
  }
  for (size_t i = 0; i < live.size(); ++i) {
    if (*live[i] <= kOverflow) continue;
    for (Place& place : kept[i]) place.stack = renamed[place.stack];
    *live[i] = intern_state(kept[i]);
  }
}

}  // namespace autoglm
