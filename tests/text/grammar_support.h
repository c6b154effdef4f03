// What the tests of grammars share.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "format/model_source.h"
#include "text/grammar/automaton.h"
#include "text/grammar/matcher.h"
#include "text/tokenizer.h"

namespace autoglm::test {

/// Whether a grammar's texts include this one, a byte at a time.
inline bool matches(const std::shared_ptr<const Program>& program, std::string_view text) {
  Automaton automaton(program);
  const Automaton::State state = automaton.next(automaton.start(), text);
  return automaton.accepts(state);
}

/// Whether a text of the grammar begins so.
inline bool begins(const std::shared_ptr<const Program>& program, std::string_view text) {
  Automaton automaton(program);
  return automaton.next(automaton.start(), text) > Automaton::kOverflow;
}

/// Tokens that are all that a test says: the last one is an end.
class ListTokenizer : public Tokenizer {
 public:
  explicit ListTokenizer(std::vector<std::string> pieces) : pieces_(std::move(pieces)) {
    pieces_.emplace_back("<end>");
  }
  std::vector<int32_t> encode(std::string_view, const EncodeOptions&) const override { return {}; }
  std::string piece(int32_t id, bool special) const override {
    return id == end() && !special ? std::string() : pieces_.at(static_cast<size_t>(id));
  }
  std::string decode(std::span<const int32_t> ids, bool special) const override {
    std::string text;
    for (const int32_t id : ids) text += piece(id, special);
    return text;
  }
  int32_t size() const override { return static_cast<int32_t>(pieces_.size()); }
  TokenKind kind(int32_t id) const override { return id == end() ? TokenKind::control : TokenKind::normal; }
  std::optional<int32_t> find(std::string_view text) const override {
    for (size_t i = 0; i < pieces_.size(); ++i) {
      if (pieces_[i] == text) return static_cast<int32_t>(i);
    }
    return std::nullopt;
  }
  std::optional<int32_t> bos() const override { return std::nullopt; }
  std::optional<int32_t> eos() const override { return end(); }
  std::vector<int32_t> ends() const override { return {end()}; }
  bool adds_bos() const override { return false; }
  std::string description() const override { return "list"; }
  int64_t bytes() const override { return 0; }
  int32_t end() const { return size() - 1; }

 private:
  std::vector<std::string> pieces_;
};

/// A real vocabulary of 49,152 tokens.
inline const Tokenizer& real_tokenizer() {
  static const std::unique_ptr<Tokenizer> tokenizer =
      load_tokenizer(*open_model(std::filesystem::path(AUTOGLM_ORACLE_DIR) / "smollm2-135m-q4_1.gguf"));
  return *tokenizer;
}

inline bool bit(std::span<const uint64_t> mask, int32_t token) {
  return (mask[static_cast<size_t>(token) / 64] >> (static_cast<size_t>(token) % 64) & 1) != 0;
}

}  // namespace autoglm::test
