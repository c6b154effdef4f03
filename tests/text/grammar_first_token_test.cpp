// The first token of an answer: SentencePiece shows no space before a text's first word, so a grammar has to look at
// what is shown there, which is what Detokenizer says.
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "base/error.h"
#include "text/grammar/gbnf.h"
#include "text/grammar_support.h"
#include "text/utf8.h"

namespace autoglm {
namespace {

using test::begins;
using test::bit;
using test::matches;

constexpr std::string_view kGrammars[] = {
    R"(root ::= "{" (" " | "\n")* "\"" [a-z ]* "\"" "}")",
    R"(root ::= [a-zA-Z]+ (" "+ [a-zA-Z0-9,.]+)*)",
    R"(root ::= " "? [^{} ]+ " " .*)",
    R"(root ::= "  " .+)",
    R"(root ::= [ ]{1,3} [a-z]+)",
    R"(root ::= .*)",
};

std::string shown(const Tokenizer& tokenizer, std::span<const int32_t> ids, bool continues) {
  Detokenizer detokenizer(tokenizer, continues);
  std::string text;
  for (const int32_t id : ids) text += detokenizer.push(id);
  return text + detokenizer.finish();
}

bool whole_characters(const std::string& piece) { return utf8::valid(piece); }

std::vector<uint64_t> mask_of(GrammarMatcher& matcher) {
  std::vector<uint64_t> mask(matcher.grammar().mask_words());
  matcher.mask(mask);
  return mask;
}

// Every token of the vocabulary: allowed where what is shown begins a text of the grammar, and nowhere else.
void check_first(const Tokenizer& tokenizer, const TokenTrie& trie, const std::shared_ptr<const Program>& program,
                 GrammarMatcher& matcher, bool continues) {
  const std::vector<uint64_t> mask = mask_of(matcher);
  for (int32_t id = 0; id < tokenizer.size(); ++id) {
    const std::string piece(trie.text(id));
    if (!whole_characters(piece)) continue;  // half a character: nothing is shown yet
    const std::string text = piece.empty() ? "" : shown(tokenizer, std::span(&id, 1), continues);
    const bool good = !text.empty() && begins(program, text);
    EXPECT_EQ(bit(mask, id), good) << "token " << id << " '" << piece << "' shown as '" << text << "'";
    ASSERT_EQ(matcher.accept(id), good);
    if (good) matcher.rollback(1);
  }
}

// Whatever is allowed, one token after the other: what is shown is a text of the grammar.
void check_walks(const Tokenizer& tokenizer, const TokenTrie& trie, const std::shared_ptr<const Program>& program,
                 const std::shared_ptr<TokenGrammar>& grammar, bool continues, std::mt19937& random) {
  for (int walk = 0; walk < 8; ++walk) {
    GrammarMatcher matcher(grammar, continues);
    std::vector<int32_t> ids;
    for (int step = 0; step < 8; ++step) {
      const std::vector<uint64_t> mask = mask_of(matcher);
      std::vector<int32_t> allowed;
      std::vector<int32_t> spaced;
      for (int32_t id = 0; id < tokenizer.size(); ++id) {
        if (!bit(mask, id) || trie.text(id).empty() || !whole_characters(std::string(trie.text(id)))) continue;
        allowed.push_back(id);
        if (trie.text(id).starts_with(' ')) spaced.push_back(id);
      }
      if (allowed.empty()) break;
      if (!spaced.empty() && random() % 2 == 0) allowed = spaced;  // these are what this is about
      ids.push_back(allowed[random() % allowed.size()]);
      ASSERT_TRUE(matcher.accept(ids.back()));
      const std::string text = shown(tokenizer, ids, continues);
      ASSERT_TRUE(begins(program, text)) << "'" << text << "'";
      ASSERT_EQ(matches(program, text), matcher.may_end()) << "'" << text << "'";
    }
  }
}

std::unique_ptr<Tokenizer> load(const std::filesystem::path& path) {
  try {
    return load_tokenizer(*open_model(path, false));
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Code::unsupported_model) << path;
    return nullptr;
  }
}

TEST(GrammarFirstToken, IsLookedAtAsItIsShownWithEveryVocabulary) {
  std::mt19937 random(20261122);
  std::vector<std::string> hiding;
  for (const auto& folder : std::filesystem::directory_iterator(std::string(AUTOGLM_TEST_DATA) + "/tokenizers")) {
    if (!folder.is_directory()) continue;
    std::vector<std::filesystem::path> sources = {folder.path()};
    if (exists(folder.path() / "vocab.gguf")) sources.push_back(folder.path() / "vocab.gguf");
    for (const std::filesystem::path& path : sources) {
      const auto tokenizer = load(path);
      if (!tokenizer) continue;
      const auto trie = std::make_shared<const TokenTrie>(*tokenizer, tokenizer->size());
      if (trie->first_differs()) hiding.push_back(path.filename());
      SCOPED_TRACE(path.string());
      for (const std::string_view text : kGrammars) {
        SCOPED_TRACE(text);
        const std::shared_ptr<const Program> program = compile_gbnf(text);
        const auto grammar = std::make_shared<TokenGrammar>(program, trie, std::vector<int32_t>());
        for (const bool continues : {false, true}) {
          GrammarMatcher matcher(grammar, continues);
          check_first(*tokenizer, *trie, program, matcher, continues);
          check_walks(*tokenizer, *trie, program, grammar, continues, random);
          if (HasFatalFailure()) return;
        }
      }
    }
  }
  EXPECT_GE(hiding.size(), 8U);
}

TEST(GrammarFirstToken, TheWordWithItsSpaceIsAllowedWhereTheWordIs) {
  const auto tokenizer = load(std::filesystem::path(AUTOGLM_TEST_DATA) / "tokenizers/spm_llama");
  const auto trie = std::make_shared<const TokenTrie>(*tokenizer, tokenizer->size());
  const auto grammar =
      std::make_shared<TokenGrammar>(compile_gbnf(R"(root ::= "the" " the")"), trie, std::vector<int32_t>());
  const auto the = tokenizer->find("\u2581the");
  ASSERT_TRUE(the);
  GrammarMatcher matcher(grammar);
  ASSERT_TRUE(bit(mask_of(matcher), *the));
  ASSERT_TRUE(matcher.accept(*the));
  ASSERT_TRUE(matcher.accept(*the)) << "now with its space";
  EXPECT_TRUE(matcher.must_end());
  matcher.rollback(2);
  ASSERT_TRUE(matcher.accept(*the)) << "it is the first again";
  GrammarMatcher middle(grammar, true);
  EXPECT_FALSE(middle.accept(*the)) << "there the space counts";
}

}  // namespace
}  // namespace autoglm
