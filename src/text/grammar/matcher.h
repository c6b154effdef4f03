// Which tokens may come next in an answer that must follow a grammar.
//
// The mask of a state is put together from masks of its places that hold whatever lies below them on the stack, which
// are found once a grammar (for the wide ones, such as the inside of a string, when it is compiled), and from walks
// over the few tokens that depend on more. Where few bytes may follow, the vocabulary's tree is walked directly.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "text/grammar/automaton.h"
#include "text/grammar/memory.h"
#include "text/grammar/token_trie.h"

namespace autoglm {

class GrammarMatcher;

/// A grammar with a vocabulary. Shared by the requests that use it: what one finds, the next one knows. Thread-safe.
class TokenGrammar {
 public:
  /// `ends`: tokens that end an answer; allowed where the grammar may end. Finds the wide masks, which takes
  /// milliseconds.
  TokenGrammar(std::shared_ptr<const Program> program, std::shared_ptr<const TokenTrie> trie,
               std::span<const int32_t> ends);
  ~TokenGrammar();
  TokenGrammar(const TokenGrammar&) = delete;
  TokenGrammar& operator=(const TokenGrammar&) = delete;

  int64_t vocabulary() const { return trie_->vocabulary(); }
  size_t mask_words() const { return static_cast<size_t>((vocabulary() + 63) / 64); }
  /// Memory that it holds now, without the vocabulary's tree.
  int64_t bytes() const;
  /// What it holds is `memory`'s from now on, and so is what it finds out later: where there is no room for that, it is
  /// forgotten and found again. False if there is no room for what it holds. Once.
  bool book(const std::shared_ptr<GrammarMemory>& memory);

 private:
  friend class GrammarMatcher;
  /// What is allowed at a place, whatever lies below its rule; and the tokens that have to be tried on the real stack.
  struct PlaceMask {
    std::vector<int32_t> few;    // the allowed ones, or
    std::vector<uint64_t> many;  // a bit a token
    TokenTrie::Nodes open;
    std::vector<int32_t> open_ids;  // what Nodes::first counts
    size_t bytes() const;
  };
  struct Key {
    uint32_t pc, least, most;
    auto operator<=>(const Key&) const = default;
  };
  Key key_of(const Automaton::Place& place) const;
  const PlaceMask& place_mask(const Automaton::Place& place);
  void prepare();
  void fill(Automaton::State state, std::span<uint64_t> mask);
  void fill_wide(Automaton::State state, std::span<uint64_t> mask);
  void fill_first(Automaton::State state, std::span<uint64_t> mask);
  template <class Take>
  void walk(const TokenTrie::Nodes& nodes, Automaton::State from, Take take);
  void make_room();
  int64_t held() const;
  void forget_masks();
  void forget_states();
  void book_growth();

  std::shared_ptr<const TokenTrie> trie_;
  std::vector<int32_t> ends_;
  mutable std::mutex mutex_;
  Automaton automaton_;
  std::map<Key, PlaceMask> place_masks_;
  std::unordered_map<Automaton::State, std::vector<uint64_t>> state_masks_;  // of wide states, a few
  size_t mask_bytes_ = 0;
  int64_t automaton_limit_;
  std::vector<Automaton::State> path_;  // scratch of walk()
  std::vector<GrammarMatcher*> matchers_;
  std::shared_ptr<GrammarMemory> memory_;  // null: nobody counts
  int64_t booked_ = 0;
};

/// One answer on its way through a grammar. Belongs to one thread.
class GrammarMatcher {
 public:
  static constexpr size_t kHistory = 64;  // tokens that can be taken back

  /// `continues`: the answer's first token follows others. If not, it says what a text's first token does
  /// (TokenTrie::first_text): SentencePiece shows no space there.
  explicit GrammarMatcher(std::shared_ptr<TokenGrammar> grammar, bool continues = false);
  ~GrammarMatcher();
  GrammarMatcher(const GrammarMatcher&) = delete;
  GrammarMatcher& operator=(const GrammarMatcher&) = delete;

  const TokenGrammar& grammar() const { return *grammar_; }
  /// Bit t of the words, from the least significant: whether token t may come next. No bit: the vocabulary cannot go
  /// on. `mask` has mask_words() words.
  void mask(std::span<uint64_t> mask);
  /// Goes on with a token. False, and nothing changes, if it is not allowed.
  bool accept(int32_t token);
  /// Goes on with bytes, as one step of the history.
  bool accept(std::string_view bytes);
  /// Takes back the last `steps` that were accepted; at most kHistory, and not more than there were.
  void rollback(size_t steps);
  /// The text may end here.
  bool may_end();
  /// The text may end here and nothing can follow.
  bool must_end();
  /// Bytes that certainly come next, up to a limit.
  std::string forced(size_t limit = 256);

 private:
  friend class TokenGrammar;
  void push(Automaton::State state);

  std::shared_ptr<TokenGrammar> grammar_;
  Automaton::State now_;
  bool ended_ = false;  // an end token was accepted
  bool first_ = false;  // the next token is its text's first
  struct Past {
    Automaton::State state;
    bool ended;
    bool first;
  };
  std::vector<Past> history_;  // a ring
  size_t next_ = 0;            // where in the ring
  size_t kept_ = 0;
};

}  // namespace autoglm
