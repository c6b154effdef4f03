// Answers that must follow a grammar: they do, whatever else happens to them, and batch mates, preemption and
// speculation change nothing. On a dummy model.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/answer_grammar.h"
#include "engine/dummy.h"
#include "engine/engine.h"
#include "support/errors.h"
#include "text/grammar/gbnf.h"
#include "text/grammar/matcher.h"
#include "text/grammar/regex_grammar.h"
#include "text/tool_calls.h"

namespace autoglm {
namespace {

using test::DummyStepper;
using test::DummyTokenizer;
using test::Heard;

struct Bench {
  explicit Bench(const EngineOptions& options = {}, int64_t blocks = 64) {
    auto made = std::make_unique<DummyStepper>();
    stepper = made.get();
    stepper->block_count = blocks;
    for (int i = 0; i < 10; ++i)
      tokenizer.pieces[static_cast<size_t>(26 + i)] = std::string(1, static_cast<char>('0' + i));
    tokenizer.pieces[36] = "ab1";
    tokenizer.pieces[37] = "1c2";
    tokenizer.pieces[38] = "<end>";
    tokenizer.controls = {38};
    ChatModel chat;
    chat.ends = {38};
    trie = std::make_shared<const TokenTrie>(tokenizer, 50);
    engine = std::make_unique<Engine>(std::move(made), tokenizer, chat, options);
  }
  std::shared_ptr<TokenGrammar> grammar(const std::shared_ptr<const Program>& program) const {
    return std::make_shared<TokenGrammar>(program, trie, std::vector<int32_t>{38});
  }
  void run() {
    while (engine->has_work()) engine->step();
    EXPECT_EQ(stepper->live_sequences, 0);
    engine->check_integrity();
  }
  DummyTokenizer tokenizer;
  DummyStepper* stepper = nullptr;
  std::shared_ptr<const TokenTrie> trie;
  std::unique_ptr<Engine> engine;
};

Request request(const std::shared_ptr<TokenGrammar>& grammar, uint64_t seed, int64_t most = 60) {
  Request result;
  for (uint64_t i = 0; i < 20 + seed % 7; ++i) result.prompt.push_back(static_cast<int32_t>((seed * 7 + i * 3) % 36));
  result.max_tokens = most;
  result.sampling.temperature = 1.0f;
  result.sampling.seed = seed;
  result.grammar = grammar;
  return result;
}

bool letters_and_digits(const std::string& text) {
  return testing::Matches(testing::MatchesRegex("([a-c]+[0-9])+"))(text);
}

const std::shared_ptr<const Program>& program() {
  static const std::shared_ptr<const Program> compiled = compile_regex("([a-c]+[0-9]){5,9}");
  return compiled;
}

TEST(EngineGrammar, AnswersFollowIt) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    Bench bench;
    Heard heard;
    bench.engine->submit(request(bench.grammar(program()), seed), heard.sink());
    bench.run();
    ASSERT_FALSE(heard.error) << heard.error->what();
    if (heard.finish == FinishReason::stop) EXPECT_TRUE(letters_and_digits(heard.text)) << heard.text;
    EXPECT_EQ(heard.finish == FinishReason::length, heard.usage.completion_tokens == 60);
    for (const int32_t token : heard.tokens) EXPECT_NE(bench.tokenizer.piece(token, true), "z");
  }
}

TEST(EngineGrammar, AnAnswerThatIsCutSaysSo) {
  Bench bench;
  Heard heard;
  bench.engine->submit(request(bench.grammar(compile_regex("[a-z]{30}")), 3, 8), heard.sink());
  bench.run();
  EXPECT_EQ(heard.finish, FinishReason::length);
  EXPECT_EQ(heard.usage.completion_tokens, 8);
}

TEST(EngineGrammar, EndsWhereNothingCanFollow) {
  Bench bench;
  Heard heard;
  Request asked = request(bench.grammar(compile_regex("abc123")), 3);
  asked.ignore_eos = true;
  bench.engine->submit(asked, heard.sink());
  bench.run();
  EXPECT_EQ(heard.finish, FinishReason::stop);
  EXPECT_EQ(heard.text, "abc123");
}

TEST(EngineGrammar, WhatTheVocabularyCannotWriteIsAnError) {
  Bench bench;
  Heard heard;
  bench.engine->submit(request(bench.grammar(compile_regex("abc!")), 3), heard.sink());
  bench.run();
  EXPECT_EQ(heard.finish, FinishReason::error);
  ASSERT_TRUE(heard.error);
  EXPECT_EQ(heard.error->code(), Code::bad_request);
}

TEST(EngineGrammar, OfAnotherVocabularyIsRefused) {
  Bench bench;
  const auto trie = std::make_shared<const TokenTrie>(bench.tokenizer, 49);
  const auto grammar = std::make_shared<TokenGrammar>(program(), trie, std::vector<int32_t>{38});
  try {
    bench.engine->submit(request(grammar, 1), {});
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Code::bad_request);
  }
}

// Alone and greedy: the best token among those that may follow, at each place.
TEST(EngineGrammar, GreedyTakesTheBestAllowedToken) {
  Bench bench;
  Heard heard;
  Request asked = request(bench.grammar(program()), 4);
  asked.sampling.temperature = 0.0f;
  bench.engine->submit(asked, heard.sink());
  bench.run();
  GrammarMatcher matcher(bench.grammar(program()));
  std::vector<int32_t> history = asked.prompt;
  std::vector<float> logits(50);
  std::vector<uint64_t> mask(1);
  for (const int32_t token : heard.tokens) {
    test::dummy_logits(history, logits);
    matcher.mask(mask);
    int32_t best = -1;
    for (int32_t id = 0; id < 50; ++id) {
      const bool allowed = (mask[0] >> id & 1) != 0;
      if (allowed && (best < 0 || logits[static_cast<size_t>(id)] > logits[static_cast<size_t>(best)])) best = id;
    }
    ASSERT_EQ(token, best);
    ASSERT_TRUE(matcher.accept(token));
    history.push_back(token);
  }
}

TEST(EngineGrammar, NeighboursPreemptionAndSpeculationChangeNothing) {
  const std::shared_ptr<const Program> longer = compile_regex("([a-c]+[0-9]){15,40}");
  std::vector<Heard> alone(6);
  for (uint64_t i = 0; i < 6; ++i) {
    Bench bench;
    bench.engine->submit(request(bench.grammar(longer), i + 1), alone[i].sink());
    bench.run();
  }
  for (const int64_t blocks : {64, 9}) {
    for (const Speculation speculation : {Speculation::off, Speculation::always}) {
      Bench bench({.max_sequences = 4, .speculation = speculation}, blocks);
      const auto grammar = bench.grammar(longer);  // one for all
      std::vector<Heard> heard(6);
      for (uint64_t i = 0; i < 6; ++i) bench.engine->submit(request(grammar, i + 1), heard[i].sink());
      bench.run();
      int64_t preemptions = 0;
      for (size_t i = 0; i < 6; ++i) {
        test::expect_same_bits(heard[i], alone[i]);
        EXPECT_EQ(heard[i].finish, alone[i].finish);
        preemptions += heard[i].usage.preemptions;
      }
      EXPECT_EQ(preemptions > 0, blocks == 9);
    }
  }
}

TEST(EngineGrammar, WhatIsCertainIsDrafted) {
  const std::shared_ptr<const Program> certain = compile_regex("abcdefghij[0-9]jihgfedcba[0-9]bcdefghija");
  std::vector<Heard> heard(2);
  std::vector<int64_t> steps;
  for (const Speculation speculation : {Speculation::off, Speculation::always}) {
    Bench bench({.speculation = speculation});
    bench.engine->submit(request(bench.grammar(certain), 3), heard[steps.size()].sink());
    bench.run();
    steps.push_back(bench.stepper->steps);
  }
  test::expect_same_bits(heard[1], heard[0]);
  EXPECT_EQ(heard[0].tokens.size(), 32U);
  // Each part is nine tokens of a draft; the last one of a certain text is left to the model.
  EXPECT_GE(heard[1].usage.accepted_tokens, 24);
  EXPECT_LE(steps[1], steps[0] - 20);
}

TEST(EngineGrammar, DraftsFromTheTextObeyTheGrammar) {
  // The prompt says "abcabcabc...", which the index would go on with; the grammar wants a digit after each "c".
  Bench bench({.speculation = Speculation::always});
  Heard heard;
  Request asked = request(bench.grammar(compile_regex("([a-b]*c[0-9]){8}")), 5);
  asked.prompt.clear();
  for (int i = 0; i < 24; ++i) asked.prompt.push_back(i % 3);
  bench.engine->submit(asked, heard.sink());
  bool obeyed = true;
  GrammarMatcher matcher(bench.grammar(compile_regex("([a-b]*c[0-9]){8}")));
  bench.stepper->before_step = [&](const Batch& batch) {
    if (batch.tokens.size() >= asked.prompt.size()) return;
    size_t taken = 0;
    for (const int32_t token : batch.tokens.subspan(1)) obeyed = obeyed && matcher.accept(token) && ++taken > 0;
    matcher.rollback(taken);
  };
  while (bench.engine->has_work()) {
    const size_t known = heard.tokens.size();
    bench.engine->step();
    for (size_t i = known; i < heard.tokens.size(); ++i) {
      if (heard.tokens[i] != 38) ASSERT_TRUE(matcher.accept(heard.tokens[i]));
    }
  }
  EXPECT_TRUE(obeyed);
  EXPECT_GT(heard.usage.drafted_tokens, 0);
}

// A thought comes first, as free text; the answer behind it obeys.
TEST(GrammarCompiler, ThoughtsAreFree) {
  DummyTokenizer tokenizer;
  ChatSpec spec;
  spec.reasoning_open = "(";
  spec.reasoning_close = ")";
  ChatModel chat;
  chat.spec = &spec;
  chat.ends = {38};
  tokenizer.pieces[40] = "(";
  tokenizer.pieces[41] = ")";
  tokenizer.pieces[42] = "\n";
  GrammarCompiler compiler(tokenizer, chat, 50);
  EXPECT_EQ(compiler.compile({}), nullptr);
  const AnswerShape shape{.kind = AnswerShape::Kind::regex, .text = "ab+"};
  const auto allows = [&](ReasoningStart start, std::string_view text) {
    GrammarMatcher matcher(compiler.compile(shape, start));
    return matcher.accept(text) && matcher.may_end();
  };
  EXPECT_TRUE(allows(ReasoningStart::none, "abb"));
  EXPECT_FALSE(allows(ReasoningStart::none, "(x)abb"));
  EXPECT_TRUE(allows(ReasoningStart::at_mark, "abb"));
  EXPECT_TRUE(allows(ReasoningStart::at_mark, "\n(any thought)\n\nabb"));
  EXPECT_FALSE(allows(ReasoningStart::at_mark, "(any thought)x"));
  EXPECT_TRUE(allows(ReasoningStart::open, "any (thought)abb"));
  EXPECT_FALSE(allows(ReasoningStart::open, "abb"));
  EXPECT_EQ(compiler.compile(shape, ReasoningStart::open), compiler.compile(shape, ReasoningStart::open)) << "kept";
  EXPECT_NE(compiler.compile(shape, ReasoningStart::open), compiler.compile(shape, ReasoningStart::none));
  EXPECT_GT(compiler.bytes(), 0);
}

/// A regex whose automaton is about as large as the others'.
AnswerShape word_of(int i) { return {.kind = AnswerShape::Kind::regex, .text = "(ab|ba){1,200}c" + std::to_string(i)}; }

TEST(GrammarCompiler, MemoryIsTheLedgersAndTheOldestGoFirst) {
  DummyTokenizer tokenizer;
  ChatModel chat;
  chat.ends = {38};
  int64_t tree = 0;
  int64_t one = 0;
  {
    const auto memory = std::make_shared<GrammarMemory>(1 << 30);
    GrammarCompiler compiler(tokenizer, chat, 50, memory);
    compiler.compile(word_of(0));
    const int64_t both = memory->used();
    compiler.compile(word_of(1));
    one = memory->used() - both;
    tree = both - one;
  }
  ASSERT_GT(one, 0);
  ASSERT_GT(tree, 0);
  Ledger ledger(0);
  {
    const auto memory = std::make_shared<GrammarMemory>(tree + 3 * one + one / 2, &ledger);
    GrammarCompiler compiler(tokenizer, chat, 50, memory);
    std::shared_ptr<TokenGrammar> first = compiler.compile(word_of(0));
    for (int i = 1; i < 3; ++i) compiler.compile(word_of(i));
    EXPECT_EQ(ledger.used(MemoryLine::grammars), tree + 3 * one);
    EXPECT_EQ(compiler.compile(word_of(0)), first) << "used again: the newest now";
    compiler.compile(word_of(3));
    EXPECT_EQ(ledger.used(MemoryLine::grammars), tree + 3 * one) << "the oldest went";
    EXPECT_EQ(compiler.compile(word_of(0)), first);
    // Answers hold on to theirs: then there is no room, and the numbers say so.
    std::vector<std::shared_ptr<TokenGrammar>> held = {first, compiler.compile(word_of(4)),
                                                       compiler.compile(word_of(5))};
    EXPECT_ERROR(compiler.compile(word_of(6)), Code::overloaded, format_bytes(memory->limit()));
    held.clear();
    first.reset();
    EXPECT_NE(compiler.compile(word_of(6)), nullptr);
  }
  EXPECT_EQ(ledger.total(), 0);
  const auto little = std::make_shared<GrammarMemory>(tree + one / 2, &ledger);
  GrammarCompiler compiler(tokenizer, chat, 50, little);
  EXPECT_ERROR(compiler.compile(word_of(0)), Code::limit_exceeded, format_bytes(one));
  const auto none = std::make_shared<GrammarMemory>(tree / 2, &ledger);
  EXPECT_ERROR(GrammarCompiler(tokenizer, chat, 50, none).compile(word_of(0)), Code::limit_exceeded,
               format_bytes(tree));
}

// What the machine has not is not taken either, whatever the limit of grammars says.
TEST(GrammarCompiler, TheMachinesLimitHolds) {
  DummyTokenizer tokenizer;
  Ledger ledger(1 << 20);
  ledger.reserve(MemoryLine::weights, (1 << 20) - 100, "weights");
  GrammarCompiler compiler(tokenizer, {}, 50, std::make_shared<GrammarMemory>(1 << 30, &ledger));
  EXPECT_ERROR(compiler.compile(word_of(0)), Code::overloaded, "grammars have 0 B of 1 GiB");
  EXPECT_EQ(ledger.total(), (1 << 20) - 100);
}

// A model made to call a tool does, and the sink hears the call and no text; marks that are control tokens count.
TEST(EngineTools, CallsAreEvents) {
  static const ChatSpec spec = {.family = "test",
                                .architectures = {},
                                .default_template = "",
                                .ends = {},
                                .reasoning_open = "",
                                .reasoning_close = "",
                                .thinking_variable = "",
                                .tool_calls = ToolCallForm::glm_xml,
                                .marker = ""};
  DummyTokenizer tokenizer;
  tokenizer.pieces[40] = "<tool_call>";
  tokenizer.pieces[41] = "</tool_call>";
  tokenizer.pieces[42] = "<arg_key>";
  tokenizer.pieces[43] = "</arg_key>";
  tokenizer.pieces[44] = "<arg_value>";
  tokenizer.pieces[45] = "</arg_value>";
  tokenizer.pieces[38] = "<end>";
  tokenizer.controls = {38, 40, 41};
  ChatModel chat;
  chat.spec = &spec;
  chat.ends = {38};
  const Json tools = Json::parse(
      R"([{"name": "go", "parameters": {"type": "object", "properties": {"to": {"enum": ["a", "b"]}}, "required": ["to"]}}])");
  GrammarCompiler compiler(tokenizer, chat, 50);
  Engine engine(std::make_unique<DummyStepper>(), tokenizer, chat, {});
  Request asked = request(compiler.compile({.kind = AnswerShape::Kind::tool_calls, .tools = tools}), 3, 40);
  asked.tools = std::make_shared<const ToolSet>(tools);
  std::vector<Event> events;
  engine.submit(asked, [&events](const Event& event) { events.push_back(event); });
  while (engine.has_work()) engine.step();
  ASSERT_EQ(events.size(), 2U);
  EXPECT_EQ(events[0].kind, Event::Kind::tool_call);
  EXPECT_EQ(events[0].tool, "go");
  EXPECT_TRUE(events[0].text == R"({"to":"a"})" || events[0].text == R"({"to":"b"})") << events[0].text;
  EXPECT_FALSE(events[0].tokens.empty());
  EXPECT_EQ(events[1].kind, Event::Kind::finish);
  EXPECT_EQ(events[1].finish, FinishReason::stop);
}

}  // namespace
}  // namespace autoglm
