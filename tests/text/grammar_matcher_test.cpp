// Masks over vocabularies: equal to trying every token byte by byte, at any place of any grammar.
#include "text/grammar/matcher.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <random>

#include "support/errors.h"
#include "text/grammar/gbnf.h"
#include "text/grammar/regex_grammar.h"
#include "text/grammar_support.h"

namespace autoglm {
namespace {

using test::bit;
using test::ListTokenizer;
using test::real_tokenizer;

constexpr std::string_view kJsonGbnf = R"(
root   ::= object
value  ::= object | array | string | number | ("true" | "false" | "null") ws
object ::= "{" ws ( string ":" ws value ("," ws string ":" ws value)* )? "}" ws
array  ::= "[" ws ( value ("," ws value)* )? "]" ws
string ::= "\"" ( [^"\\\x7F\x00-\x1F] | "\\" (["\\bfnrt] | "u" [0-9a-fA-F]{4}) )* "\"" ws
number ::= ("-"? ([0-9] | [1-9] [0-9]{0,15})) ("." [0-9]+)? ([eE] [-+]? [0-9] [1-9]{0,15})? ws
ws ::= | " " | "\n" [ \t]{0,20}
)";

std::shared_ptr<TokenGrammar> with(const Tokenizer& tokenizer, const std::shared_ptr<const Program>& program) {
  const auto trie = std::make_shared<const TokenTrie>(tokenizer, tokenizer.size());
  return std::make_shared<TokenGrammar>(program, trie, tokenizer.ends());
}

std::vector<std::string> allowed(GrammarMatcher& matcher, const Tokenizer& tokenizer) {
  std::vector<uint64_t> mask(matcher.grammar().mask_words());
  matcher.mask(mask);
  std::vector<std::string> texts;
  for (int32_t id = 0; id < tokenizer.size(); ++id) {
    if (bit(mask, id)) texts.push_back(tokenizer.piece(id, true));
  }
  return texts;
}

TEST(GrammarMatcher, AllowsWhatMayFollowAndEndsWhereItMay) {
  const ListTokenizer tokenizer({"a", "b", "ab", "abc", "c", "bc", "x"});
  GrammarMatcher matcher(with(tokenizer, compile_gbnf(R"(root ::= "ab" "c"?)")));
  using testing::ElementsAre;
  EXPECT_THAT(allowed(matcher, tokenizer), ElementsAre("a", "ab", "abc"));
  EXPECT_FALSE(matcher.accept(tokenizer.end()));
  ASSERT_TRUE(matcher.accept(*tokenizer.find("a")));
  EXPECT_THAT(allowed(matcher, tokenizer), ElementsAre("b", "bc"));
  ASSERT_FALSE(matcher.accept(*tokenizer.find("x")));
  ASSERT_TRUE(matcher.accept(*tokenizer.find("b")));
  EXPECT_THAT(allowed(matcher, tokenizer), ElementsAre("c", "<end>"));
  EXPECT_TRUE(matcher.may_end());
  EXPECT_FALSE(matcher.must_end());
  ASSERT_TRUE(matcher.accept(*tokenizer.find("c")));
  EXPECT_TRUE(matcher.must_end());
  ASSERT_TRUE(matcher.accept(tokenizer.end()));
  EXPECT_THAT(allowed(matcher, tokenizer), ElementsAre());
  matcher.rollback(2);
  EXPECT_THAT(allowed(matcher, tokenizer), ElementsAre("c", "<end>"));
  matcher.rollback(2);
  EXPECT_THAT(allowed(matcher, tokenizer), ElementsAre("a", "ab", "abc"));
}

TEST(GrammarMatcher, KnowsWhatMustFollow) {
  const ListTokenizer tokenizer({"a"});
  GrammarMatcher matcher(
      with(tokenizer, compile_gbnf("root ::= \"{\\\"name\\\": \\\"\" [a-z]+ \"\\\", \\\"age\\\": \" [0-9]+")));
  EXPECT_EQ(matcher.forced(), "{\"name\": \"");
  EXPECT_EQ(matcher.forced(3), "{\"n");
  ASSERT_TRUE(matcher.accept(matcher.forced()));
  EXPECT_EQ(matcher.forced(), "");
  ASSERT_TRUE(matcher.accept("bob\""));
  EXPECT_EQ(matcher.forced(), ", \"age\": ");
}

TEST(GrammarMatcher, ControlTokensAreNeverText) {
  const ListTokenizer tokenizer({"<", "end", ">"});
  GrammarMatcher matcher(with(tokenizer, compile_gbnf("root ::= \"<end>\" .*")));
  EXPECT_THAT(allowed(matcher, tokenizer), testing::ElementsAre("<"));
  ASSERT_TRUE(matcher.accept("<end>"));
  EXPECT_THAT(allowed(matcher, tokenizer), testing::ElementsAre("<", "end", ">", "<end>"));
}

// At random places of random walks: the mask has exactly the tokens whose bytes, one at a time, lead somewhere.
void expect_exact(const std::shared_ptr<const Program>& program, int walks, int steps, uint32_t seed) {
  const Tokenizer& tokenizer = real_tokenizer();
  const auto trie = std::make_shared<const TokenTrie>(tokenizer, tokenizer.size());
  const auto grammar = std::make_shared<TokenGrammar>(program, trie, tokenizer.ends());
  std::mt19937 random(seed);
  std::vector<uint64_t> mask(grammar->mask_words());
  for (int walk = 0; walk < walks; ++walk) {
    GrammarMatcher matcher(grammar);
    Automaton automaton(program);  // its own, so that nothing learnt by the matcher is shared
    Automaton::State state = automaton.start();
    for (int step = 0; step < steps; ++step) {
      matcher.mask(mask);
      std::vector<int32_t> choices;
      for (int32_t id = 0; id < tokenizer.size(); ++id) {
        const std::string_view text = trie->text(id);
        const bool can = !text.empty() && automaton.next(state, text) > Automaton::kOverflow;
        ASSERT_EQ(bit(mask, id), can || (text.empty() && id == *tokenizer.eos() && automaton.accepts(state)))
            << "token " << id << " \"" << text << "\" at step " << step << " of walk " << walk;
        if (can) choices.push_back(id);
      }
      if (choices.empty()) break;
      const int32_t token = choices[random() % choices.size()];
      ASSERT_TRUE(matcher.accept(token));
      state = automaton.next(state, trie->text(token));
    }
  }
}

TEST(GrammarMatcher, MasksEqualBytesForJson) { expect_exact(compile_gbnf(kJsonGbnf), 6, 12, 1); }

TEST(GrammarMatcher, MasksEqualBytesForCountedStrings) {
  expect_exact(compile_gbnf("root ::= \"\\\"\" ( [^\"\\\\] | \"\\\\\" [nt] ){3,20} \"\\\"\" (\",\" [a-z ]{2,40}){0,3}"),
               6, 12, 2);
}

TEST(GrammarMatcher, MasksEqualBytesForRegex) {
  expect_exact(compile_regex(R"((\w+\s){2,5}[^x]*(ab|a|b)*\d{1,3}|[\u4e00-\u9fff]{1,9})"), 6, 10, 3);
}

TEST(GrammarMatcher, MasksEqualBytesForAmbiguousRecursion) {
  expect_exact(compile_gbnf("root ::= expr\nexpr ::= term (op expr)?\nop ::= \" \"? [-+*] \" \"?\n"
                            "term ::= [0-9]+ | \"(\" expr \")\" | name\nname ::= [a-z]+ (\" \" name)?"),
               6, 12, 4);
}

// What one request finds does not change what another hears, and memory that is given back changes nothing.
TEST(GrammarMatcher, TakesBackAnyNumberOfSteps) {
  const Tokenizer& tokenizer = real_tokenizer();
  const auto grammar = with(tokenizer, compile_gbnf(kJsonGbnf));
  std::mt19937 random(9);
  GrammarMatcher matcher(grammar);
  std::vector<std::vector<uint64_t>> masks;
  std::vector<uint64_t> mask(grammar->mask_words());
  for (int step = 0; step < 300; ++step) {
    matcher.mask(mask);
    if (!masks.empty() && random() % 3 == 0) {
      const size_t back = 1 + random() % std::min<size_t>(masks.size(), 5);
      matcher.rollback(back);
      std::vector<uint64_t> again(grammar->mask_words());
      matcher.mask(again);
      ASSERT_EQ(again, masks[masks.size() - back]);
      masks.resize(masks.size() - back);
      continue;
    }
    std::vector<int32_t> choices;
    for (int32_t id = 0; id < tokenizer.size(); ++id) {
      if (bit(mask, id) && id != *tokenizer.eos()) choices.push_back(id);
    }
    ASSERT_FALSE(choices.empty() && !matcher.may_end());
    if (choices.empty()) break;
    ASSERT_TRUE(matcher.accept(choices[random() % choices.size()]));
    masks.push_back(mask);
    if (masks.size() > 60) masks.erase(masks.begin());
  }
}

// An answer that nests for ever keeps what it needs and no more.
TEST(GrammarMatcher, ForgetsStatesThatNobodyIsIn) {
  const Tokenizer& tokenizer = real_tokenizer();
  const auto grammar = with(tokenizer, compile_gbnf("root ::= [ab] root [cd] | [0-9]{2,2000} | \"\""));
  GrammarMatcher matcher(grammar);
  std::vector<uint64_t> mask(grammar->mask_words());
  std::string closing;
  for (int i = 0; i < 40'000; ++i) {
    ASSERT_TRUE(matcher.accept(i % 2 == 0 ? "a" : "b"));
    if (i % 100 == 0) matcher.mask(mask);
  }
  for (int i = 0; i < 40'000; ++i) ASSERT_TRUE(matcher.accept("d")) << i;
  EXPECT_TRUE(matcher.must_end());
  EXPECT_LT(grammar->bytes(), 64 << 20);
}

TEST(Gbnf, AcceptsWhatTheNotationSays) {
  using test::matches;
  const auto json = compile_gbnf(kJsonGbnf);
  EXPECT_TRUE(matches(json, R"({"a": [1, 2.5e3, {"b": "x\n\u00e9"}], "c": null})"));
  EXPECT_FALSE(matches(json, R"({"a": [1, 2})"));
  EXPECT_FALSE(matches(json, R"([1])"));
  const auto notation = compile_gbnf(
      "# a comment\nroot ::= (item\n  sep)* last # another\nitem ::= [^\\]x\\-\\\"]{2} | \"\\u00e4\\x41\"\n"
      "sep ::= \",\" |\n   \";\"{2,3}\nlast ::= . \"b\"? \"c\"+ \"d\"{,2} \"e\"{2,}");
  EXPECT_TRUE(matches(notation,
                      "ab,\xC3\xA4"
                      "A;;;zcceee"));
  EXPECT_TRUE(matches(notation,
                      "\xE4\xBD\xA0"
                      "bcddee"));
  EXPECT_FALSE(matches(notation, "ab;zcee"));
  EXPECT_FALSE(matches(notation, "xb,zcee"));
  EXPECT_FALSE(matches(notation, "zcdddee"));
  EXPECT_FALSE(matches(notation, "zce"));
}

TEST(Gbnf, RefusesWithTheLine) {
  EXPECT_ERROR(compile_gbnf(""), Code::bad_request, "no rule \"root\"");
  EXPECT_ERROR(compile_gbnf("root ::= \"a\"\nb = \"c\""), Code::bad_request, "line 2");
  EXPECT_ERROR(compile_gbnf("root ::= other"), Code::bad_request, "\"other\" is used but not defined");
  EXPECT_ERROR(compile_gbnf("root ::= \"a"), Code::bad_request, "no end");
  EXPECT_ERROR(compile_gbnf("root ::= [a"), Code::bad_request, "no end");
  EXPECT_ERROR(compile_gbnf("root ::= (\"a\""), Code::bad_request, "\")\" is missing");
  EXPECT_ERROR(compile_gbnf("root ::= * \"a\""), Code::bad_request, "nothing to repeat");
  EXPECT_ERROR(compile_gbnf("root ::= \"a\"{3,2}"), Code::bad_request, "from 3 to 2");
  EXPECT_ERROR(compile_gbnf("root ::= \"a\"{2000000}"), Code::limit_exceeded, "repetition");
  EXPECT_ERROR(compile_gbnf("root ::= <think>"), Code::bad_request, "not supported");
  EXPECT_ERROR(compile_gbnf("root ::= \"\\q\""), Code::bad_request, "no escape");
  EXPECT_ERROR(compile_gbnf("root ::= \"a\"\nroot ::= \"b\""), Code::bad_request, "defined twice");
  EXPECT_ERROR(compile_gbnf("root ::= root \"a\" | \"b\""), Code::bad_request, "left-recursive: rule \"root\"");
  EXPECT_ERROR(compile_gbnf("root ::= a root | \"y\"\na ::= \"x\"?"), Code::bad_request, "left-recursive");
  EXPECT_ERROR(compile_gbnf("root ::= \"a\" root"), Code::bad_request, "no text can match");
  EXPECT_ERROR(compile_gbnf(std::string(200, '(').insert(0, "root ::= ")), Code::bad_request, "nested");
  EXPECT_ERROR(compile_gbnf("root ::= (\"a\"?){1,1000}"), Code::limit_exceeded, "may be empty");
}

TEST(Gbnf, AlternativesThatEndNowhereAreLeftOut) {
  const ListTokenizer tokenizer({"a", "b"});
  GrammarMatcher matcher(with(tokenizer, compile_gbnf("root ::= \"a\" x | \"b\"\nx ::= \"a\" x")));
  EXPECT_THAT(allowed(matcher, tokenizer), testing::ElementsAre("b"));
}

struct RegexCase {
  const char* pattern;
  std::vector<const char*> yes;
  std::vector<const char*> no;
};

TEST(RegexGrammar, MatchesTheWholeText) {
  const RegexCase cases[] = {
      {R"(abc)", {"abc"}, {"ab", "abcd", ""}},
      {R"(^(a|bc)*d?$)", {"", "a", "abcad", "bcbc"}, {"b", "da"}},
      {R"([a-c-]+[^a-z\]])", {"a-bX", "c9"}, {"x", "a]"}},
      {R"(\d{2,3}\.\w+?)", {"12.a", "123._9"}, {"1.a", "1234.a", "12.", "12x"}},
      {R"(\D\S\W)", {"aa-", "\xE4\xBD\xA0\xE4\xBD\xA0 "}, {"1a-", "a -", "aaa"}},
      {R"(.{3})", {"abc", "\xE4\xBD\xA0\xE5\xA5\xBD\xF0\x9F\x98\x80"}, {"ab", "a\nb", "\xE4\xBD\xA0"}},
      {R"((?:x(?<name>y)|(?P<n>z)){2})", {"xyz", "zz"}, {"xy", "z"}},
      {R"([\u4e00-\u9fff\x41]{1,}|\u{1F600})",
       {"\xE4\xBD\xA0"
        "A",
        "\xF0\x9F\x98\x80"},
       {"B", ""}},
      {R"(\t\n\/\{a\}|\\|\.)", {"\t\n/{a}", "\\", "."}, {"x"}},
      {R"(a{0}b{3}c{2,})", {"bbbcc", "bbbccccc"}, {"abbbcc", "bbcc", "bbbc"}},
      {R"((a{2,3}){2}b*)", {"aaaa", "aaaaaab", "aaaaa"}, {"aaa", "aaaaaaa"}},
      {R"(()|x)", {"", "x"}, {"xx"}},
  };
  for (const RegexCase& one : cases) {
    const auto program = compile_regex(one.pattern);
    for (const char* text : one.yes)
      EXPECT_TRUE(test::matches(program, text)) << one.pattern << " should match " << text;
    for (const char* text : one.no)
      EXPECT_FALSE(test::matches(program, text)) << one.pattern << " should not match " << text;
  }
}

TEST(RegexGrammar, RefusesByName) {
  EXPECT_ERROR(compile_regex("(?=a)b"), Code::bad_request, "look-ahead");
  EXPECT_ERROR(compile_regex("(?<!a)b"), Code::bad_request, "look-behind");
  EXPECT_ERROR(compile_regex(R"((a)\1)"), Code::bad_request, "\\1");
  EXPECT_ERROR(compile_regex(R"(\bword)"), Code::bad_request, "word borders");
  EXPECT_ERROR(compile_regex(R"(\p{L})"), Code::bad_request, "Unicode properties");
  EXPECT_ERROR(compile_regex("a^b"), Code::bad_request, "at 1");
  EXPECT_ERROR(compile_regex("a$b"), Code::bad_request, "\"$\"");
  EXPECT_ERROR(compile_regex("(a"), Code::bad_request, "missing");
  EXPECT_ERROR(compile_regex("a)"), Code::bad_request, "without");
  EXPECT_ERROR(compile_regex("[z-a]"), Code::bad_request, "before it begins");
  EXPECT_ERROR(compile_regex("[a"), Code::bad_request, "no end");
  EXPECT_ERROR(compile_regex("*a"), Code::bad_request, "nothing to repeat");
  EXPECT_ERROR(compile_regex("a**"), Code::bad_request, "repeats a quantifier");
  EXPECT_ERROR(compile_regex("a++"), Code::bad_request, "possessive");
  EXPECT_ERROR(compile_regex("a{2,1}"), Code::bad_request, "from 2 to 1");
  EXPECT_ERROR(compile_regex("a{9999999}"), Code::limit_exceeded, "repetition");
  EXPECT_ERROR(compile_regex("(?i)a"), Code::bad_request, "group");
  EXPECT_ERROR(compile_regex("\xFF"), Code::bad_request, "UTF-8");
  EXPECT_ERROR(compile_regex("[]"), Code::bad_request, "empty");
}

// Memory that is not there for what a grammar finds out: it is found again, and masks are the same.
TEST(GrammarMatcher, ForgetsWhatThereIsNoMemoryFor) {
  const Tokenizer& tokenizer = real_tokenizer();
  std::string gbnf = "root ::=";
  for (int i = 0; i < 400; ++i) gbnf += fmt::format(" [^{}{}]", static_cast<char>('a' + i % 26), i / 26 % 10);
  const auto program = compile_gbnf(gbnf);
  const auto tight = with(tokenizer, program);
  const auto free = with(tokenizer, program);
  const auto memory = std::make_shared<GrammarMemory>(tight->bytes() + 1000);
  ASSERT_TRUE(tight->book(memory));
  EXPECT_EQ(memory->used(), tight->bytes());
  std::vector<uint64_t> mask(free->mask_words());
  std::vector<uint64_t> wanted(free->mask_words());
  GrammarMatcher a(tight);
  GrammarMatcher b(free);
  for (int step = 0; step < 400; ++step) {  // another mask at every step
    a.mask(mask);
    b.mask(wanted);
    ASSERT_EQ(mask, wanted) << step;
    ASSERT_TRUE(a.accept("#"));
    ASSERT_TRUE(b.accept("#"));
    ASSERT_LE(memory->used(), memory->limit());
  }
  EXPECT_GT(free->bytes(), memory->limit() + (1 << 20)) << "there was much to forget";
  EXPECT_LT(tight->bytes(), memory->limit() + (1 << 20));
}

}  // namespace
}  // namespace autoglm
