// From what a client asks of an answer's text to Request::grammar.
#pragma once

#include <list>
#include <memory>
#include <mutex>
#include <string>

#include "engine/request.h"
#include "text/chat_spec.h"
#include "text/grammar/matcher.h"
#include "text/tool_calls.h"

namespace autoglm {

/// What the text of an answer must look like.
struct AnswerShape {
  enum class Kind : uint8_t { any, json_object, json_schema, regex, gbnf, tool_calls } kind = Kind::any;
  std::string text{};  // regex, gbnf
  Json schema{};       // json_schema
  // tool_calls: one call of one of these, or several where the family's form has that and `parallel` is true.
  Json tools = Json::array();
  bool parallel = false;
};

/// Makes grammars for one model. Thread-safe; compiling takes milliseconds, a few hundred for the largest, so it is
/// the helper's work. The last few are kept: a request like an earlier one gets the same grammar, with all that was
/// found out about it.
class GrammarCompiler {
 public:
  static constexpr int64_t kMaxBytes = int64_t{256} << 20;

  /// `vocabulary`: of the model's logits. Tokenizer and the spec inside ChatModel outlive it, as does the ledger of
  /// `memory`; null: kMaxBytes without a ledger.
  GrammarCompiler(const Tokenizer& tokenizer, ChatModel chat, int64_t vocabulary,
                  std::shared_ptr<GrammarMemory> memory = nullptr);
  ~GrammarCompiler();
  GrammarCompiler(const GrammarCompiler&) = delete;
  GrammarCompiler& operator=(const GrammarCompiler&) = delete;

  /// Null for Kind::any. A thought that comes first (ReasoningStart) is free text. Errors: bad_request with what is
  /// wrong and where, limit_exceeded (also for one that alone is more than the memory for grammars), overloaded (others
  /// that answers need now hold it).
  std::shared_ptr<TokenGrammar> compile(const AnswerShape& shape, ReasoningStart reasoning = ReasoningStart::none);

  /// Memory of the vocabulary's tree and of the grammars that are kept.
  int64_t bytes() const;

 private:
  static constexpr size_t kKept = 16;
  struct Kept {
    std::string key;
    std::shared_ptr<TokenGrammar> grammar;
  };
  std::shared_ptr<const Program> program(const AnswerShape& shape, ReasoningStart reasoning) const;
  std::shared_ptr<const TokenTrie> trie();
  void make_room_for(TokenGrammar& grammar);

  const Tokenizer* tokenizer_;
  ChatModel chat_;
  int64_t vocabulary_;
  const std::shared_ptr<GrammarMemory> memory_;
  mutable std::mutex mutex_;  // guards what follows
  int64_t trie_bytes_ = 0;    // booked
  std::shared_ptr<const TokenTrie> trie_;
  std::list<Kept> kept_;  // the newest first
};

}  // namespace autoglm
