#include "text/grammar/matcher.h"

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <utility>

#include "base/error.h"

namespace autoglm {
namespace {

constexpr int kWide = 32;                      // bytes that may follow: from here on masks are remembered
constexpr size_t kMostPlaces = 8;              // of a wide state, else its tokens are walked directly
constexpr size_t kStateMasks = 64;             // remembered for whole states
constexpr size_t kMaskLimit = 32 << 20;        // bytes of remembered masks
constexpr int64_t kAutomatonLimit = 16 << 20;  // bytes before states nobody is in are forgotten
constexpr int64_t kBookedAtOnce = 256 << 10;   // growth that is not looked at
constexpr size_t kPrepared = 16;               // masks made when the grammar is compiled
constexpr size_t kMostTried = 1024;            // places looked at to find them
constexpr size_t kFew = 512;                   // allowed tokens that are kept as a list

void set(std::span<uint64_t> mask, int32_t token) {
  mask[static_cast<size_t>(token) / 64] |= uint64_t{1} << (static_cast<size_t>(token) % 64);
}

}  // namespace

size_t TokenGrammar::PlaceMask::bytes() const {
  return (few.capacity() + open_ids.capacity()) * sizeof(int32_t) + many.capacity() * sizeof(uint64_t) + open.bytes() +
         128;
}

TokenGrammar::TokenGrammar(std::shared_ptr<const Program> program, std::shared_ptr<const TokenTrie> trie,
                           std::span<const int32_t> ends)
    : trie_(std::move(trie)), automaton_(std::move(program)), automaton_limit_(kAutomatonLimit) {
  for (const int32_t end : ends) {
    if (end >= 0 && end < trie_->vocabulary()) ends_.push_back(end);
  }
  path_.resize(trie_->longest() + 1);
  prepare();
}

TokenGrammar::~TokenGrammar() {
  if (memory_) memory_->give(booked_);
}

int64_t TokenGrammar::bytes() const {
  const std::lock_guard lock(mutex_);
  return held();
}

int64_t TokenGrammar::held() const {
  const size_t states = state_masks_.size() * mask_words() * sizeof(uint64_t);
  return automaton_.bytes() + automaton_.program().bytes() + static_cast<int64_t>(mask_bytes_ + states);
}

bool TokenGrammar::book(const std::shared_ptr<GrammarMemory>& memory) {
  const std::lock_guard lock(mutex_);
  AUTOGLM_CHECK(!memory_, "a grammar is booked once");
  booked_ = held();
  if (!memory->take(booked_)) return false;
  memory_ = memory;
  return true;
}

// What has been found since, a little at a time.
void TokenGrammar::book_growth() {
  if (!memory_ || std::abs(held() - booked_) < kBookedAtOnce) return;
  if (held() > booked_ && !memory_->take(held() - booked_)) {
    forget_masks();
    forget_states();
  } else if (held() > booked_) {
    booked_ = held();
  }
  // States that answers are in stay, even if they are more than what was booked.
  if (held() < booked_) memory_->give(std::exchange(booked_, held()) - held());
}

// Inside a loop that goes on for longer than any token, how long does not matter.
TokenGrammar::Key TokenGrammar::key_of(const Automaton::Place& place) const {
  const Program& program = automaton_.program();
  const Program::Instruction& code = program.at(place.pc);
  if (code.op != Program::Op::loop) return {place.pc, 0, 0};
  const Program::Loop& loop = program.loop(code.a);
  const auto far = static_cast<uint32_t>(trie_->longest() + 1);
  const uint32_t least = loop.min > place.count ? loop.min - place.count : 0;
  const uint32_t most = loop.max == Program::kAnyCount ? far : loop.max - place.count;
  return {place.pc, std::min(least, far), std::min(most, far)};
}

// Calls take(begin, end, state) for the entries that end at each node which the automaton reaches.
template <class Take>
void TokenGrammar::walk(const TokenTrie::Nodes& nodes, Automaton::State from, Take take) {
  const size_t count = nodes.size();
  path_[0] = from;
  for (size_t i = 0; i < count;) {
    const size_t depth = nodes.depth[i];
    const Automaton::State to = automaton_.next(path_[depth], nodes.byte[i]);
    if (to <= Automaton::kOverflow) {
      i = nodes.skip[i];
      continue;
    }
    path_[depth + 1] = to;
    if (nodes.first[i] != nodes.first[i + 1]) take(nodes.first[i], nodes.first[i + 1], to);
    ++i;
  }
}

const TokenGrammar::PlaceMask& TokenGrammar::place_mask(const Automaton::Place& place) {
  const Key key = key_of(place);
  const auto known = place_masks_.find(key);
  if (known != place_masks_.end()) return known->second;
  PlaceMask made;
  std::vector<TokenTrie::Entry> open;
  const auto& entries = trie_->entries();
  walk(trie_->nodes(), automaton_.alone(place.pc, place.count),
       [&](uint32_t begin, uint32_t end, Automaton::State state) {
         const bool certain = automaton_.certain(state);
         for (uint32_t i = begin; i < end; ++i) {
           if (certain) {
             made.few.push_back(entries[i].id);
           } else {
             open.push_back(entries[i]);
           }
         }
       });
  if (made.few.size() > kFew) {
    made.many.resize(mask_words());
    for (const int32_t token : made.few) set(made.many, token);
    made.few = {};
  }
  made.few.shrink_to_fit();
  made.open = TokenTrie::lay_out(open);
  for (const TokenTrie::Entry& entry : open) made.open_ids.push_back(entry.id);
  mask_bytes_ += made.bytes();
  return place_masks_.emplace(key, std::move(made)).first->second;
}

// The places behind a byte from which much may follow: the inside of strings, free text.
void TokenGrammar::prepare() {
  const Program& program = automaton_.program();
  std::vector<bool> behind(program.size(), false);  // where a text may be after a byte
  for (uint32_t pc = 0; pc < program.size(); ++pc) {
    const Program::Instruction& code = program.at(pc);
    if (code.op == Program::Op::bytes) behind[code.a] = true;
    if (code.op == Program::Op::call) behind[code.b] = true;
    if (code.op == Program::Op::call) behind[program.start(code.a)] = true;
    if (code.op == Program::Op::loop) behind[pc] = true;
  }
  size_t prepared = 0;
  size_t tried = 0;
  for (uint32_t pc = 0; pc < program.size() && prepared < kPrepared && tried < kMostTried; ++pc) {
    const Program::Op op = program.at(pc).op;
    if (!behind[pc] || (op != Program::Op::split && op != Program::Op::loop)) continue;
    ++tried;
    const Automaton::State state = automaton_.alone(pc, 0);
    if (automaton_.live_bytes(state) < 128 || automaton_.places(state).empty()) continue;
    place_mask(automaton_.places(state)[0]);
    ++prepared;
  }
}

void TokenGrammar::fill_wide(Automaton::State state, std::span<uint64_t> mask) {
  const std::span<const Automaton::Place> now = automaton_.places(state);
  const std::vector<Automaton::Place> places(now.begin(), now.end());  // walks move the automaton's own
  for (const Automaton::Place& place : places) {
    if (Automaton::is_finish(place)) continue;
    const PlaceMask& known = place_mask(place);
    for (size_t i = 0; i < known.many.size(); ++i) mask[i] |= known.many[i];
    for (const int32_t token : known.few) set(mask, token);
    walk(known.open, state, [&](uint32_t begin, uint32_t end, Automaton::State) {
      for (uint32_t i = begin; i < end; ++i) set(mask, known.open_ids[i]);
    });
  }
}

void TokenGrammar::fill(Automaton::State state, std::span<uint64_t> mask) {
  std::fill(mask.begin(), mask.end(), 0);
  if (state <= Automaton::kOverflow) return;
  const bool wide = automaton_.live_bytes(state) >= kWide;
  const auto known = wide ? state_masks_.find(state) : state_masks_.end();
  if (known != state_masks_.end()) {
    std::copy(known->second.begin(), known->second.end(), mask.begin());
    return;
  }
  if (wide && automaton_.places(state).size() <= kMostPlaces) {
    fill_wide(state, mask);
  } else {
    walk(trie_->nodes(), state, [&](uint32_t begin, uint32_t end, Automaton::State) {
      for (uint32_t i = begin; i < end; ++i) set(mask, trie_->entries()[i].id);
    });
  }
  if (automaton_.accepts(state)) {
    for (const int32_t end : ends_) set(mask, end);
  }
  if (!wide) return;
  if (state_masks_.size() >= kStateMasks) state_masks_.clear();
  state_masks_[state].assign(mask.begin(), mask.end());
}

// A mask for a text's first token: those with spaces before them say something else than elsewhere.
void TokenGrammar::fill_first(Automaton::State state, std::span<uint64_t> mask) {
  if (state <= Automaton::kOverflow) return;
  for (const TokenTrie::Entry& one : trie_->spaced()) {
    const std::string_view text = trie_->first_text(one.id);
    mask[static_cast<size_t>(one.id) / 64] &= ~(uint64_t{1} << (static_cast<size_t>(one.id) % 64));
    if (!text.empty() && automaton_.next(state, text) > Automaton::kOverflow) set(mask, one.id);
  }
}

// What is remembered stays within limits: masks are dropped, and states nobody is in any more.
void TokenGrammar::make_room() {
  if (mask_bytes_ > kMaskLimit) forget_masks();
  if (automaton_.bytes() >= automaton_limit_) {
    forget_states();
    automaton_limit_ = std::max(kAutomatonLimit, 2 * automaton_.bytes());
  }
  book_growth();
}

void TokenGrammar::forget_masks() {
  place_masks_.clear();
  mask_bytes_ = 0;
}

void TokenGrammar::forget_states() {
  std::vector<Automaton::State*> live;
  for (GrammarMatcher* matcher : matchers_) {
    live.push_back(&matcher->now_);
    for (GrammarMatcher::Past& past : matcher->history_) live.push_back(&past.state);
  }
  automaton_.compact(live);
  state_masks_.clear();
}

GrammarMatcher::GrammarMatcher(std::shared_ptr<TokenGrammar> grammar, bool continues) : grammar_(std::move(grammar)) {
  const std::lock_guard lock(grammar_->mutex_);
  history_.assign(kHistory, {Automaton::kDead, false, false});
  first_ = !continues && grammar_->trie_->first_differs();
  now_ = grammar_->automaton_.start();
  grammar_->matchers_.push_back(this);
}

GrammarMatcher::~GrammarMatcher() {
  const std::lock_guard lock(grammar_->mutex_);
  std::erase(grammar_->matchers_, this);
}

void GrammarMatcher::mask(std::span<uint64_t> mask) {
  const std::lock_guard lock(grammar_->mutex_);
  AUTOGLM_CHECK(mask.size() == grammar_->mask_words(), "a mask has a bit for each token");
  grammar_->make_room();
  const Automaton::State now = ended_ ? Automaton::kDead : now_;
  grammar_->fill(now, mask);
  if (first_) grammar_->fill_first(now, mask);
}

void GrammarMatcher::push(Automaton::State state) {
  history_[next_] = {now_, ended_, first_};
  next_ = (next_ + 1) % kHistory;
  kept_ = std::min(kept_ + 1, kHistory);
  now_ = state;
  first_ = false;
}

bool GrammarMatcher::accept(int32_t token) {
  {
    const std::lock_guard lock(grammar_->mutex_);
    if (ended_ || token < 0 || token >= grammar_->vocabulary()) return false;
    const auto& ends = grammar_->ends_;
    if (std::find(ends.begin(), ends.end(), token) != ends.end() && grammar_->automaton_.accepts(now_)) {
      push(now_);
      ended_ = true;
      return true;
    }
  }
  const bool first = first_;
  const std::string_view text = first ? grammar_->trie_->first_text(token) : grammar_->trie_->text(token);
  if (text.empty() || !accept(text)) return false;
  first_ = first && grammar_->trie_->is_mark(token);
  return true;
}

bool GrammarMatcher::accept(std::string_view bytes) {
  const std::lock_guard lock(grammar_->mutex_);
  if (ended_) return false;
  const Automaton::State state = grammar_->automaton_.next(now_, bytes);
  if (state <= Automaton::kOverflow) return false;
  push(state);
  return true;
}

void GrammarMatcher::rollback(size_t steps) {
  const std::lock_guard lock(grammar_->mutex_);
  AUTOGLM_CHECK(steps <= kept_, "a matcher takes back what it remembers");
  if (steps == 0) return;
  next_ = (next_ + kHistory - steps) % kHistory;
  kept_ -= steps;
  now_ = history_[next_].state;
  ended_ = history_[next_].ended;
  first_ = history_[next_].first;
}

bool GrammarMatcher::may_end() {
  const std::lock_guard lock(grammar_->mutex_);
  return ended_ || grammar_->automaton_.accepts(now_);
}

bool GrammarMatcher::must_end() {
  const std::lock_guard lock(grammar_->mutex_);
  return ended_ || (grammar_->automaton_.accepts(now_) && grammar_->automaton_.live_bytes(now_) == 0);
}

std::string GrammarMatcher::forced(size_t limit) {
  const std::lock_guard lock(grammar_->mutex_);
  Automaton& automaton = grammar_->automaton_;
  const Program& program = automaton.program();
  std::string text;
  Automaton::State state = now_;
  while (!ended_ && text.size() < limit && automaton.live_bytes(state) == 1 && !automaton.accepts(state)) {
    for (int cls = 0; cls < program.classes(); ++cls) {
      const Automaton::State to = automaton.next(state, program.byte_of(cls));
      if (to <= Automaton::kOverflow) continue;
      text += static_cast<char>(program.byte_of(cls));
      state = to;
      break;
    }
  }
  return text;
}

}  // namespace autoglm
