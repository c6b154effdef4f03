#include "engine/answer_grammar.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/zone.h"
#include "text/grammar/answer_text.h"
#include "text/grammar/gbnf.h"
#include "text/grammar/json_schema.h"
#include "text/grammar/regex_grammar.h"
#include "text/grammar/tool_grammar.h"

namespace autoglm {
namespace {

std::string key_of(const AnswerShape& shape, ReasoningStart reasoning) {
  Json key = Json::array({static_cast<int>(shape.kind), static_cast<int>(reasoning), shape.parallel});
  return key.dump() + '\n' + shape.text + '\n' + shape.schema.dump() + '\n' + shape.tools.dump();
}

// `base`: what any grammar needs beside itself; 0 where that itself is refused.
[[noreturn]] void refuse(const GrammarMemory& memory, std::string_view what, int64_t bytes, int64_t base) {
  const int64_t most = memory.limit() - base;
  const std::string hint = "raise --grammar-max-bytes and perhaps --memory-limit";
  if (bytes > most) {
    fail(Code::limit_exceeded,
         fmt::format("{} needs {}, and grammars may have {}", what, format_bytes(bytes),
                     format_bytes(std::max<int64_t>(0, most))),
         base == 0 ? hint : "make it smaller, or " + hint);
  }
  fail(Code::overloaded,
       fmt::format("{} needs {}, but grammars have {} of {}, and the machine has no more or answers are using them",
                   what, format_bytes(bytes), format_bytes(memory.used()), format_bytes(memory.limit())),
       "try again later, or " + hint);
}

Thought thought_of(ReasoningStart start) {
  switch (start) {
    case ReasoningStart::none:
      return Thought::none;
    case ReasoningStart::at_mark:
      return Thought::possible;
    case ReasoningStart::open:
      return Thought::begun;
  }
  return Thought::none;
}

}  // namespace

GrammarCompiler::GrammarCompiler(const Tokenizer& tokenizer, ChatModel chat, int64_t vocabulary,
                                 std::shared_ptr<GrammarMemory> memory)
    : tokenizer_(&tokenizer),
      chat_(std::move(chat)),
      vocabulary_(vocabulary),
      memory_(memory ? std::move(memory) : std::make_shared<GrammarMemory>(kMaxBytes)) {}

GrammarCompiler::~GrammarCompiler() { memory_->give(trie_bytes_); }

std::shared_ptr<const Program> GrammarCompiler::program(const AnswerShape& shape, ReasoningStart reasoning) const {
  Grammar grammar;
  const auto node = [&]() -> Grammar::Node {
    switch (shape.kind) {
      case AnswerShape::Kind::any:
        break;
      case AnswerShape::Kind::json_object:
        return read_json_schema(grammar, Json::object({{"type", "object"}}));
      case AnswerShape::Kind::json_schema:
        return read_json_schema(grammar, shape.schema);
      case AnswerShape::Kind::regex:
        return read_regex(grammar, shape.text).node;
      case AnswerShape::Kind::gbnf:
        return read_gbnf(grammar, shape.text);
      case AnswerShape::Kind::tool_calls: {
        const ToolCallForm form = chat_.spec == nullptr ? ToolCallForm::none : chat_.spec->tool_calls;
        return tool_call_grammar(grammar, form, ToolSet(shape.tools), shape.parallel);
      }
    }
    return grammar.empty();
  }();
  const ChatSpec* spec = chat_.spec;
  const Grammar::Node whole = spec == nullptr ? node
                                              : after_thought(grammar, node, thought_of(reasoning),
                                                              spec->reasoning_open, spec->reasoning_close);
  const Grammar::Rule root = grammar.add_rule("root");
  grammar.define(root, whole);
  return std::make_shared<const Program>(grammar, root);
}

// Made when the first grammar is asked for: most processes never need it.
std::shared_ptr<const TokenTrie> GrammarCompiler::trie() {
  const std::lock_guard lock(mutex_);
  if (!trie_) {
    auto made = std::make_shared<const TokenTrie>(*tokenizer_, vocabulary_, printed_marks(*tokenizer_, chat_.spec));
    if (!memory_->take(made->bytes())) refuse(*memory_, "the vocabulary's tree", made->bytes(), 0);
    trie_bytes_ = made->bytes();
    trie_ = std::move(made);
  }
  return trie_;
}

// The least recently used go first. What an answer still follows is not freed by that.
void GrammarCompiler::make_room_for(TokenGrammar& grammar) {
  while (!grammar.book(memory_)) {
    if (kept_.empty()) refuse(*memory_, "this grammar", grammar.bytes(), trie_bytes_);
    kept_.pop_back();
  }
}

std::shared_ptr<TokenGrammar> GrammarCompiler::compile(const AnswerShape& shape, ReasoningStart reasoning) {
  if (shape.kind == AnswerShape::Kind::any) return nullptr;
  const ZoneStamp zone(Zone::grammar_compile);
  const std::string key = key_of(shape, reasoning);
  {
    const std::lock_guard lock(mutex_);
    const auto it = std::find_if(kept_.begin(), kept_.end(), [&](const Kept& kept) { return kept.key == key; });
    if (it != kept_.end()) {
      kept_.splice(kept_.begin(), kept_, it);
      return it->grammar;
    }
  }
  const auto grammar = std::make_shared<TokenGrammar>(program(shape, reasoning), trie(), chat_.ends);
  const std::lock_guard lock(mutex_);
  make_room_for(*grammar);
  kept_.push_front({key, grammar});
  if (kept_.size() > kKept) kept_.pop_back();
  return grammar;
}

int64_t GrammarCompiler::bytes() const {
  const std::lock_guard lock(mutex_);
  int64_t bytes = trie_ ? trie_->bytes() : 0;
  for (const Kept& kept : kept_) bytes += kept.grammar->bytes() + static_cast<int64_t>(kept.key.capacity());
  return bytes;
}

}  // namespace autoglm
