// The engine on a real model (SmolLM2-135M-Instruct, Q4_1): the same tokens give the same bits, however they are
// computed, on the quantized path and on the exact one.
#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>

#include "engine/answer_grammar.h"
#include "engine/chat.h"
#include "engine/dummy.h"
#include "engine/engine.h"
#include "support/sanitized.h"

namespace autoglm {
namespace {

using test::expect_same_bits;
using test::Heard;

std::filesystem::path model_file() { return std::filesystem::path(AUTOGLM_ORACLE_DIR) / "smollm2-135m-q4_1.gguf"; }

/// A loaded model with everything around it.
struct Loaded {
  explicit Loaded(Precision precision, int threads = 2, int64_t rows = 64, int64_t sequences = 4)
      : source(open_model(model_file())),
        runtime(make_runtime({.threads = threads, .memory_limit = 0, .isa = "auto", .pin = false, .cpus = {}})) {
    LoadOptions options;
    options.precision = precision;
    options.kv_type = precision == Precision::f32 ? KvType::f32 : KvType::q8;
    options.context = 512;
    options.batch_sequences = sequences;
    options.batch_rows = rows;
    options.logit_rows = sequences + kMostDraft;
    model = Model::load(source, runtime, options);
    tokenizer = load_tokenizer(*source);
    chat = load_chat_model(*source, *tokenizer);
  }
  std::shared_ptr<const ModelSource> source;
  Runtime runtime;
  std::unique_ptr<Model> model;
  std::unique_ptr<Tokenizer> tokenizer;
  ChatModel chat;

  Request ask(const std::string& question, int64_t tokens, float temperature = 0.0f) const {
    Conversation conversation(*tokenizer, chat);
    conversation.add_user(question);
    const Prompt prompt = conversation.prompt();
    Request request;
    request.prompt = prompt.tokens;
    request.reasoning = prompt.reasoning;
    request.max_tokens = tokens;
    request.sampling.temperature = temperature;
    request.sampling.seed = 5;
    return request;
  }
  Heard answer(const std::string& question, int64_t tokens, float temperature = 0.0f) const {
    Engine engine(*model, *tokenizer, chat);
    Heard heard;
    engine.submit(ask(question, tokens, temperature), heard.sink());
    while (engine.has_work()) engine.step();
    return heard;
  }
};

const std::vector<std::string>& questions() {
  static const std::vector<std::string> all = {
      "What is the capital of France?", "Write one sentence about the sea.", "你好，请介绍一下你自己。",
      "List three colours, separated by commas, and say which of them is the warmest and why people think so."};
  return all;
}

TEST(RealModel, AnswersSensiblyAndTheSameEveryTime) {
  const Loaded loaded(Precision::automatic);
  const Heard first = loaded.answer("What is 2+2?", 40);
  EXPECT_EQ(first.finish, FinishReason::stop) << first.text;
  EXPECT_NE(first.text.find('4'), std::string::npos) << first.text;
  EXPECT_EQ(loaded.answer("What is 2+2?", 40).tokens, first.tokens);
  const Heard sampled = loaded.answer(questions()[1], 12, 0.8f);
  EXPECT_EQ(loaded.answer(questions()[1], 12, 0.8f).tokens, sampled.tokens) << "the same seed";
}

class SameBits : public testing::TestWithParam<Precision> {};

TEST_P(SameBits, ABatchOfManyAnswersAsEachAlone) {
  const Loaded loaded(GetParam());
  Engine engine(*loaded.model, *loaded.tokenizer, loaded.chat, {.max_sequences = 4});
  std::vector<Heard> together(questions().size());
  for (size_t i = 0; i < together.size(); ++i) {
    engine.submit(loaded.ask(questions()[i], 5, i == 1 ? 0.9f : 0.0f), together[i].sink());
    engine.step();  // they arrive one after another
  }
  while (engine.has_work()) engine.step();
  for (size_t i = 0; i < together.size(); ++i) {
    const Heard alone = loaded.answer(questions()[i], 5, i == 1 ? 0.9f : 0.0f);
    EXPECT_EQ(together[i].tokens, alone.tokens) << questions()[i];
    EXPECT_EQ(together[i].text, alone.text);
  }
}

/// Logits of the last row after feeding `tokens` in pieces of `chunk` rows, beside `others` sequences of other tokens.
std::vector<float> logits_of(Model& model, const std::vector<int32_t>& tokens, int64_t chunk, int others) {
  const std::unique_ptr<KvCache> kv = model.make_kv_cache();
  std::vector<SequenceId> ids;
  for (int i = 0; i <= others; ++i) ids.push_back(kv->create());
  std::vector<float> last;
  for (int64_t done = 0; done < std::ssize(tokens);) {
    const int64_t rows = std::min<int64_t>(chunk, std::ssize(tokens) - done);
    std::vector<int32_t> batch;
    std::vector<BatchSequence> parts;
    for (int i = 0; i <= others; ++i) {
      const bool mine = i == others;  // the sequence in question comes last
      const int64_t n = mine ? rows : 1 + i;
      EXPECT_TRUE(kv->append(ids[static_cast<size_t>(i)], n));
      parts.push_back(
          {.sequence = ids[static_cast<size_t>(i)], .row_begin = std::ssize(batch), .rows = n, .adapter = 0});
      for (int64_t j = 0; j < n; ++j) {
        batch.push_back(mine ? tokens[static_cast<size_t>(done + j)] : static_cast<int32_t>(100 + 13 * i + j));
      }
    }
    done += rows;
    const std::vector<int32_t> wanted = {static_cast<int32_t>(batch.size()) - 1};
    const auto logits = model.forward(
        {.tokens = batch, .embeddings = {}, .positions = {}, .sequences = parts, .logit_rows = wanted}, *kv);
    last.assign(logits.begin(), logits.end());
  }
  return last;
}

TEST_P(SameBits, ChunksBatchMatesAndThreadsLeaveEveryBit) {
  const Loaded two(GetParam(), 2);
  const Loaded one(GetParam(), 1);
  std::vector<int32_t> tokens;
  for (int i = 0; i < 40; ++i) tokens.push_back((i * 7919 + 17) % 49000);
  const std::vector<float> whole = logits_of(*two.model, tokens, 40, 0);
  const auto same = [&whole](const std::vector<float>& other) {
    return whole.size() == other.size() && std::memcmp(whole.data(), other.data(), whole.size() * sizeof(float)) == 0;
  };
  for (const int64_t chunk : {1, 7, 33}) EXPECT_TRUE(same(logits_of(*two.model, tokens, chunk, 0))) << chunk;
  EXPECT_TRUE(same(logits_of(*two.model, tokens, 20, 2))) << "beside two other sequences";
  EXPECT_TRUE(same(logits_of(*one.model, tokens, 40, 0))) << "one thread";
  EXPECT_TRUE(same(logits_of(*one.model, tokens, 9, 1))) << "one thread, chunks, a batch mate";
}

TEST_P(SameBits, PreemptionLeavesTheAnswer) {
  class FewBlocks : public ModelStepper {
   public:
    FewBlocks(Model& model, int64_t blocks) : ModelStepper(model), few(blocks) {}
    int64_t blocks() const override { return few; }
    int64_t few;
  };
  const Loaded wide(GetParam());
  const auto ask = [&wide](size_t i) {
    Request request = wide.ask(questions()[i], 16);
    request.ignore_eos = true;  // nobody leaves early
    return request;
  };
  std::vector<Heard> wanted(2);
  for (size_t i = 0; i < wanted.size(); ++i) {
    Engine alone(*wide.model, *wide.tokenizer, wide.chat);
    alone.submit(ask(i), wanted[i].sink());
    while (alone.has_work()) alone.step();
  }
  // With the cache they share the block that the system message fills.
  for (const bool cache : {false, true}) {
    Engine engine(std::make_unique<FewBlocks>(*wide.model, cache ? 6 : 7), *wide.tokenizer, wide.chat,
                  {.max_sequences = 2, .policy = {.prefix_cache = cache}});
    std::vector<Heard> heard(2);
    for (size_t i = 0; i < heard.size(); ++i) engine.submit(ask(i), heard[i].sink());
    while (engine.has_work()) engine.step();
    for (size_t i = 0; i < heard.size(); ++i) EXPECT_EQ(heard[i].tokens, wanted[i].tokens) << questions()[i];
    EXPECT_GT(heard[0].usage.preemptions + heard[1].usage.preemptions, 0) << "so few blocks do not hold both";
    if (cache) {
      EXPECT_GT(heard[1].usage.cached_tokens, 0);
    }
  }
}

Heard speculate(Model& model, const Tokenizer& tokenizer, const ChatModel& chat, const Request& request,
                Speculation mode) {
  Engine engine(model, tokenizer, chat, {.max_sequences = 1, .speculation = mode});
  Heard heard;
  engine.submit(request, heard.sink());
  while (engine.has_work()) engine.step();
  return heard;
}

TEST_P(SameBits, SpeculationLeavesEveryBit) {
  const Loaded loaded(GetParam());
  const std::vector<std::string> prompts = {"Write one sentence about the sea.",
                                            "Repeat this line four times: for (int i = 0; i < count; ++i) total += i;"};
  for (const std::string& prompt : prompts) {
    for (const float temperature : {0.0f, 0.8f}) {
      // The exact path is slow: a few tokens show as well that rows agree.
      const bool quick = GetParam() == Precision::automatic;
      Request request = loaded.ask(prompt, quick ? 40 : 10, temperature);
      request.ignore_eos = true;
      request.sampling.logprobs = 2;
      const auto answer = [&](Speculation mode) {
        return speculate(*loaded.model, *loaded.tokenizer, loaded.chat, request, mode);
      };
      const Heard off = answer(Speculation::off);
      const Heard always = answer(Speculation::always);
      expect_same_bits(always, off);
      if (!quick) continue;
      expect_same_bits(answer(Speculation::automatic), off);
      EXPECT_GT(always.usage.drafted_tokens, 0) << prompt;
      if (temperature == 0.0f && prompt == prompts[1]) {
        EXPECT_GT(always.usage.accepted_tokens, 8) << "it does repeat: " << always.text;
        EXPECT_LT(always.usage.accepted_tokens, always.usage.drafted_tokens) << "and something was rejected";
      }
    }
  }
}

// The exact path differs in its kernels, whose own tests run under sanitizers; here it takes minutes with them.
INSTANTIATE_TEST_SUITE_P(Precisions, SameBits,
                         testing::ValuesIn(test::kSanitized
                                               ? std::vector<Precision>{Precision::automatic}
                                               : std::vector<Precision>{Precision::automatic, Precision::f32}),
                         [](const auto& it) { return it.param == Precision::f32 ? "f32" : "automatic"; });

// A model that knows little of JSON writes what was asked for, however it is computed.
TEST(RealModel, AnswersFollowASchema) {
  const Loaded loaded(Precision::automatic);
  GrammarCompiler compiler(*loaded.tokenizer, loaded.chat, loaded.model->spec().vocabulary);
  const Json schema = Json::parse(R"({"type": "object", "properties": {
      "name": {"type": "string", "maxLength": 30}, "age": {"type": "integer", "minimum": 20, "maximum": 60},
      "hobbies": {"type": "array", "items": {"type": "string", "maxLength": 20}, "minItems": 1, "maxItems": 3},
      "married": {"type": "boolean"}}, "required": ["name", "age", "hobbies", "married"]})");
  const auto grammar = compiler.compile({.kind = AnswerShape::Kind::json_schema, .schema = schema});
  for (const float temperature : {0.0f, 1.5f}) {
    std::vector<Heard> heard(2);
    for (const Speculation speculation : {Speculation::off, Speculation::always}) {
      Engine engine(*loaded.model, *loaded.tokenizer, loaded.chat, {.max_sequences = 2, .speculation = speculation});
      Heard& answer = heard[speculation == Speculation::off ? 0 : 1];
      Heard neighbour;
      Request asked = loaded.ask("Describe a person as JSON.", 250, temperature);
      asked.grammar = grammar;
      engine.submit(asked, answer.sink());
      if (speculation == Speculation::off) engine.submit(loaded.ask("Tell me a story.", 40, 1.0f), neighbour.sink());
      while (engine.has_work()) engine.step();
      ASSERT_FALSE(answer.error) << answer.error->what();
      ASSERT_EQ(answer.finish, FinishReason::stop) << answer.text;
      const Json value = Json::parse(answer.text, nullptr, false);
      ASSERT_TRUE(value.is_object()) << answer.text;
      EXPECT_GE(value["age"].get<int>(), 20);
      EXPECT_LE(value["age"].get<int>(), 60);
      EXPECT_LE(value["hobbies"].size(), 3U);
      EXPECT_TRUE(value["married"].is_boolean());
    }
    expect_same_bits(heard[1], heard[0]);
  }
}

// Random weights say the same few tokens in changing order: many drafts, many of them wrong, at every place of a block.
TEST(TinyModel, SpeculationLeavesEveryBit) {
  const std::shared_ptr<const ModelSource> source =
      open_model(std::filesystem::path(AUTOGLM_TEST_DATA) / "models/llama-a");
  Runtime runtime = make_runtime({.threads = 1, .memory_limit = 0, .isa = "auto", .pin = false, .cpus = {}});
  LoadOptions options;
  options.context = 128;
  options.logit_rows = 1 + kMostDraft;
  const std::unique_ptr<Model> model = Model::load(source, runtime, options);
  test::DummyTokenizer tokenizer;
  tokenizer.pieces.resize(static_cast<size_t>(model->spec().vocabulary), "x");
  int64_t drafted = 0;
  for (uint64_t seed = 1; seed <= 12; ++seed) {
    Request request;
    for (uint64_t i = 0; i < 8 + seed; ++i) request.prompt.push_back(static_cast<int32_t>(3 + (i * seed) % 11));
    request.max_tokens = 100;
    request.sampling.temperature = seed % 3 == 0 ? 0.0f : 0.3f;
    request.sampling.seed = seed;
    request.sampling.logprobs = 1;
    const Heard off = speculate(*model, tokenizer, {}, request, Speculation::off);
    const Heard always = speculate(*model, tokenizer, {}, request, Speculation::always);
    expect_same_bits(always, off);
    EXPECT_LE(always.usage.accepted_tokens, always.usage.drafted_tokens);
    drafted += always.usage.drafted_tokens;
  }
  EXPECT_GT(drafted, 0);
}

}  // namespace
}  // namespace autoglm
