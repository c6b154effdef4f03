// Embeddings: the pooled hidden states that transformers gives, the same to the bit however they were computed; and
// what a model's files say about them.
#include "engine/embedding.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <map>

#include "engine/dummy.h"
#include "model/model_support.h"

namespace autoglm {
namespace {

using test::DummyStepper;
using test::DummyTokenizer;
using testing::HasSubstr;

struct Embedded {
  std::vector<float> vector;
  std::optional<Error> error;
  FinishReason finish = FinishReason::none;
  Usage usage;
  int events = 0;
  EventSink sink() {
    return [this](const Event& event) {
      ++events;
      if (event.kind == Event::Kind::embedding) vector = event.embedding;
      if (event.kind != Event::Kind::finish) return;
      finish = event.finish;
      error = event.error;
      usage = event.usage;
    };
  }
};

Request embed(std::vector<int32_t> prompt, Pooling pooling) {
  Request request;
  request.prompt = std::move(prompt);
  request.embed = pooling;
  request.max_tokens = 0;
  return request;
}

Embedded run(Engine& engine, const std::vector<int32_t>& prompt, Pooling pooling) {
  Embedded one;
  engine.submit(embed(prompt, pooling), one.sink());
  while (engine.has_work()) engine.step();
  return one;
}

constexpr std::pair<const char*, Pooling> kPoolings[] = {
    {"mean", Pooling::mean}, {"first", Pooling::first}, {"last", Pooling::last}};

TEST(Embedding, IsTransformersPooledHiddenStateHoweverItIsComputed) {
  std::ifstream file(std::filesystem::path(AUTOGLM_TEST_DATA) / "embeddings.json");
  const auto goldens = nlohmann::json::parse(file);
  ASSERT_GE(goldens.size(), 5U);
  const test::TemporaryFolder scratch;
  const DummyTokenizer tokenizer;
  for (const auto& [name, lengths] : goldens.items()) {
    const test::Golden golden = test::read_golden(name);
    const auto source = test::open_golden(name, "config.json", scratch.path());
    for (const char* isa : {"ref", "auto"}) {
      Runtime runtime = test::test_runtime(isa);
      LoadOptions options = test::load_options({}, 128);
      options.batch_sequences = 3;
      options.logit_rows = 3;  // fewer than the rows of a prompt
      const auto model = Model::load(source, runtime, options);
      std::map<std::string, std::vector<float>> alone;
      for (const int64_t step_rows : {128, 5}) {
        Engine engine(*model, tokenizer, {}, {.max_sequences = 3, .step_rows = step_rows});
        for (const auto& [length, wanted] : lengths.items()) {
          const std::vector<int32_t> tokens(golden.tokens.begin(), golden.tokens.begin() + std::stoll(length));
          for (const auto& [key, pooling] : kPoolings) {
            Embedded mate;  // a longer text beside it
            if (step_rows < 128 && pooling == Pooling::mean)
              engine.submit(embed(golden.tokens, Pooling::mean), mate.sink());
            const Embedded got = run(engine, tokens, pooling);
            const auto expected = wanted[key].get<std::vector<float>>();
            ASSERT_EQ(got.vector.size(), expected.size()) << name;
            for (size_t i = 0; i < expected.size(); ++i) {
              EXPECT_NEAR(got.vector[i], expected[i], 2e-3 * std::max(1.0f, std::abs(expected[i])))
                  << name << isa << length << key;
            }
            EXPECT_EQ(got.finish, FinishReason::stop);
            EXPECT_EQ(got.usage.prompt_tokens, std::ssize(tokens));
            EXPECT_EQ(got.usage.completion_tokens, 0);
            const auto& whole = alone.try_emplace(length + key, got.vector).first->second;
            EXPECT_EQ(got.vector, whole) << "the same bits in chunks, and beside another";
          }
        }
      }
    }
  }
}

// A prompt's embedding is made while answers are, and neither changes the other.
TEST(Embedding, CachedAndPreemptedPromptsGiveTheSame) {
  const DummyTokenizer tokenizer;
  std::vector<int32_t> text;
  for (int i = 0; i < 70; ++i) text.push_back(i * 7 % 50);
  for (const auto& [key, pooling] : kPoolings) {
    Engine calm(std::make_unique<DummyStepper>(), tokenizer, {}, {.max_sequences = 4});
    const std::vector<float> wanted = run(calm, text, pooling).vector;
    ASSERT_EQ(wanted.size(), static_cast<size_t>(DummyStepper::kHidden));
    EXPECT_EQ(run(calm, text, pooling).vector, wanted) << key << ": the second time";

    auto stepper = std::make_unique<DummyStepper>();
    stepper->block_count = 9;
    stepper->rows = 16;
    Engine tight(std::move(stepper), tokenizer, {}, {.max_sequences = 4});
    Request answer;
    answer.prompt = text;
    answer.max_tokens = 40;
    answer.sampling.temperature = 0;
    test::Heard heard;
    tight.submit(answer, heard.sink());
    for (int i = 0; i < 6; ++i) tight.step();
    std::vector<Embedded> many(3);
    for (Embedded& one : many) tight.submit(embed(text, pooling), one.sink());
    while (tight.has_work()) tight.step();
    for (const Embedded& one : many) {
      EXPECT_EQ(one.vector, wanted) << key;
      EXPECT_EQ(one.events, 2);
    }
    EXPECT_EQ(heard.tokens.size(), 40U);
    tight.check_integrity();
    EXPECT_EQ(tight.free_blocks(), 9);
  }
}

TEST(Embedding, StatesThatAreNoNumbersAndSinksThatThrowEndTheirOwnRequest) {
  struct Broken : DummyStepper {
    std::span<const float> hidden(std::span<const int32_t> rows) override {
      const auto good = DummyStepper::hidden(rows);
      bad_.assign(good.begin(), good.end());
      if (rows.size() > 2) bad_[1] = std::nanf("");
      return bad_;
    }
    std::vector<float> bad_;
  };
  const DummyTokenizer tokenizer;
  Engine engine(std::make_unique<Broken>(), tokenizer, {}, {.max_sequences = 2});
  const Embedded bad = run(engine, {1, 2, 3, 4}, Pooling::mean);
  ASSERT_TRUE(bad.error);
  EXPECT_EQ(bad.error->code(), Code::numeric);
  EXPECT_TRUE(bad.vector.empty());
  engine.submit(embed({1, 2}, Pooling::mean), [](const Event&) { throw std::runtime_error("gone"); });
  const Embedded good = run(engine, {1, 2}, Pooling::mean);
  EXPECT_EQ(good.finish, FinishReason::stop);
  EXPECT_FALSE(engine.has_work());
}

TEST(EmbeddingSpec, SentenceTransformersFiles) {
  const std::string modules = R"([
    {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
    {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"}])";
  const std::string normalized = modules.substr(0, modules.rfind(']')) +
                                 R"(, {"path": "2_Normalize", "type": "sentence_transformers.models.Normalize"}])";
  const auto pooling = [](const char* mode) {
    return R"({"word_embedding_dimension": 64, "pooling_mode_mean_tokens": false, "include_prompt": true, ")" +
           std::string(mode) + R"(": true})";
  };
  EXPECT_EQ(pooling_folder(modules), "1_Pooling");
  const EmbeddingSpec mean = read_embedding_files({modules, R"({"pooling_mode_mean_tokens": true})", "{}"}, 64);
  EXPECT_EQ(mean.pooling, Pooling::mean);
  EXPECT_FALSE(mean.normalize);
  EXPECT_FALSE(mean.may_cut);
  EXPECT_EQ(mean.dimensions, 64);
  const std::string cuts = R"({"matryoshka_dimensions": [32, 16, 128, "x"]})";
  const EmbeddingSpec last = read_embedding_files({normalized, pooling("pooling_mode_lasttoken"), cuts}, 64);
  EXPECT_EQ(last.pooling, Pooling::last);
  EXPECT_TRUE(last.normalize);
  EXPECT_EQ(last.cuts, (std::vector<int64_t>{32, 16}));
  EXPECT_EQ(read_embedding_files({modules, pooling("pooling_mode_cls_token"), ""}, 64).pooling, Pooling::first);

  const auto why = [&](const std::string& list, const std::string& config) {
    const EmbeddingSpec spec = read_embedding_files({list, config, ""}, 64);
    EXPECT_EQ(spec.pooling, Pooling::none);
    return spec.why_none;
  };
  EXPECT_THAT(why("", ""), HasSubstr("nothing about pooling"));
  EXPECT_THAT(why("{", ""), HasSubstr("modules.json"));
  EXPECT_THAT(why("[5, {}]", ""), HasSubstr("modules.json"));
  EXPECT_THAT(why(modules, ""), HasSubstr("missing"));
  EXPECT_THAT(why(modules, "[]"), HasSubstr("no JSON object"));
  EXPECT_THAT(why(modules, "{}"), HasSubstr("0 modes"));
  EXPECT_THAT(why(modules, pooling("pooling_mode_max_tokens")), HasSubstr("pooling_mode_max_tokens"));
  EXPECT_THAT(why(modules.substr(0, modules.rfind(']')) + R"(, {"type": "a.Dense"}])", "{}"), HasSubstr("Dense"));
  for (const char* path : {"../../etc", "/etc", "", ".", "a/b", ".hidden"}) {
    EXPECT_EQ(pooling_folder(std::string(R"([{"type": "x.Pooling", "path": ")") + path + R"("}])"), "") << path;
  }
}

TEST(EmbeddingSpec, FoldersOnDisk) {
  const test::TemporaryFolder scratch;
  test::open_golden("llama-a", "config.json", scratch.path());
  const std::filesystem::path folder = scratch.path() / "llama-a-config.json";
  EXPECT_EQ(embedding_spec(*open_model(folder), 48).pooling, Pooling::none);
  std::ofstream(folder / "modules.json")
      << R"([{"path": "", "type": "m.Transformer"}, {"path": "1_Pooling", "type": "m.Pooling"}])";
  std::filesystem::create_directory(folder / "1_Pooling");
  std::ofstream(folder / "1_Pooling" / "config.json") << R"({"pooling_mode_mean_tokens": true})";
  const EmbeddingSpec spec = embedding_spec(*open_model(folder), 48);
  EXPECT_EQ(spec.pooling, Pooling::mean) << spec.why_none;
  EXPECT_EQ(spec.dimensions, 48);
}

TEST(EmbeddingSpec, VectorsAreCutThenMadeOfLengthOne) {
  EmbeddingSpec spec{.pooling = Pooling::mean, .normalize = true, .dimensions = 3};
  std::vector<float> vector = {3, 4, 12};
  finish_embedding(spec, 2, vector);
  EXPECT_EQ(vector, (std::vector<float>{0.6f, 0.8f}));
  vector = {0, 0};
  finish_embedding(spec, 2, vector);
  EXPECT_EQ(vector, (std::vector<float>{0, 0}));
  spec.normalize = false;
  vector = {3, 4};
  finish_embedding(spec, 2, vector);
  EXPECT_EQ(vector, (std::vector<float>{3, 4}));
}

}  // namespace
}  // namespace autoglm
