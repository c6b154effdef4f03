// Shapes of bench/shapes.yaml, and models with random weights.
#include "model/random_weights.h"

#include <atomic>
#include <map>
#include <set>

#include "format/quant_groups.h"
#include "model/families/family.h"
#include "model/model_support.h"
#include "model/tensor_table.h"
#include "model/tiny_shapes.h"
#include "support/errors.h"

namespace autoglm::test {
namespace {

TEST(Shapes, EveryShapeIsReadAndHasItsParameters) {
  const std::map<std::string, double> billions = {
      {"smollm2-135m", 0.1345}, {"llama-1.45b", 1.453},    {"llama-1b", 1.236}, {"qwen3-0.6b", 0.596},
      {"gemma3-270m", 0.268},   {"glm-edge-1.5b", 1.593},  {"glm4-9b", 9.40},   {"qwen3-30b-a3b", 30.53},
      {"glm-4.7-flash", 29.9},  {"glm4-9b-2-layers", 1.65}};
  size_t seen = 0;
  const ShapeTable table = ShapeTable::built_in();
  for (const ModelShape& shape : table.shapes()) {
    const ArchSpec spec = shape_spec(shape);
    const auto expected = billions.find(shape.name);
    if (expected == billions.end()) continue;
    ++seen;
    EXPECT_NEAR(static_cast<double>(count_parameters(spec)) / 1e9, expected->second, 0.01 * expected->second)
        << shape.name;
  }
  EXPECT_EQ(seen, billions.size());
}

TEST(Shapes, UnknownNamesNameTheNearest) {
  const ShapeTable table = ShapeTable::built_in();
  try {
    table.shape("glm4-9");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Code::bad_flag);
    EXPECT_THAT(error.hint(), testing::HasSubstr("did you mean 'glm4-9b'"));
  }
  EXPECT_THROW(table.recipe("Q9_9"), Error);
  EXPECT_EQ(table.recipe("q4_k_m").matrix, Type::q4_k);
}

TEST(Shapes, ABadTableIsAnError) {
  EXPECT_THROW(ShapeTable("shapes: [1, 2"), Error);
  EXPECT_THROW(ShapeTable("recipes: {X: {matrix: Q77}}"), Error);
  EXPECT_THROW(ShapeTable("recipes: {X: {matrix: F32, nose: F32}}"), Error);
}

class RandomModel : public testing::TestWithParam<std::string> {};

// Every recipe, on a shape whose columns fill 256-wide blocks: finite logits of a sensible size.
TEST_P(RandomModel, Runs) {
  WorkerPool pool({.threads = 2});
  const auto recipe = ShapeTable::built_in().recipe(GetParam());
  const std::shared_ptr<const ModelSource> source = random_model(tiny_llama(), recipe, 7, pool);
  const std::vector<int32_t> tokens = {1, 5, 9, 200, 33, 17, 4, 90};
  const auto logits = run_tokens(source, "ref", tokens);
  double squares = 0;
  for (float value : logits) {
    ASSERT_TRUE(std::isfinite(value));
    squares += double{value} * value;
  }
  const double rms = std::sqrt(squares / static_cast<double>(logits.size()));
  EXPECT_GT(rms, 0.2);
  EXPECT_LT(rms, 5.0);
}

INSTANTIATE_TEST_SUITE_P(Recipes, RandomModel, testing::ValuesIn(ShapeTable::built_in().recipe_names()),
                         [](const auto& one) { return one.param; });

TEST(RandomModel, TheSameOnAnyNumberOfThreads) {
  WorkerPool one({.threads = 1});
  WorkerPool two({.threads = 2});
  const auto recipe = ShapeTable::built_in().recipe("Q4_K_M");
  const auto a = random_model(tiny_moe(), recipe, 3, one);
  const auto b = random_model(tiny_moe(), recipe, 3, two);
  const auto other = random_model(tiny_moe(), recipe, 4, two);
  bool differs = false;
  ASSERT_EQ(a->tensors().size(), b->tensors().size());
  for (size_t i = 0; i < a->tensors().size(); ++i) {
    const auto x = a->tensors()[i].data, y = b->tensors()[i].data, z = other->tensors()[i].data;
    EXPECT_TRUE(std::equal(x.begin(), x.end(), y.begin(), y.end())) << a->tensors()[i].name;
    differs = differs || !std::equal(x.begin(), x.end(), z.begin(), z.end());
  }
  EXPECT_TRUE(differs) << "the seed has no effect";
}

TEST(RandomModel, FallsBackWhereColumnsDoNotFillBlocks) {
  WorkerPool pool({.threads = 1});
  ModelShape odd = tiny_llama();
  odd.config.replace(odd.config.find("\"intermediate_size\":512"), 23, "\"intermediate_size\":96");
  const auto source = random_model(odd, ShapeTable::built_in().recipe("Q4_K_M"), 1, pool);
  EXPECT_EQ(source->find("blk.0.ffn_gate.weight")->type, Type::q4_k);
  EXPECT_EQ(source->find("blk.0.ffn_down.weight")->type, Type::q5_0);  // Q4_K for 96 columns
  EXPECT_EQ(source->find("blk.1.ffn_down.weight")->type, Type::q8_0);  // Q6_K
}

TEST(RandomModel, HalfOfTheLayersGetBetterTypesWhereARecipeSaysSo) {
  const TypeRecipe recipe = ShapeTable::built_in().recipe("Q4_K_M");
  std::string better;
  for (int layer = 0; layer < 24; ++layer) better += recipe.type_of(Role::down, layer, 24) == Type::q6_k ? '6' : '4';
  EXPECT_EQ(better, "666446446446446446446666");  // llama.cpp's use_more_bits() for 24 layers
  EXPECT_EQ(recipe.type_of(Role::v, 0, 24), Type::q6_k);
  EXPECT_EQ(recipe.type_of(Role::gate, 0, 24), Type::q4_k);
  EXPECT_EQ(recipe.type_of(Role::output, -1, 24), Type::q6_k);
}

// What makes a kernel's or a memory's work on random weights that of real ones: values of the right size, every code in
// use and none too often, scales of many values and several exponents.
TEST(RandomModel, QuantizedWeightsAreNotDegenerate) {
  WorkerPool pool({.threads = 2});
  for (const std::string& name : ShapeTable::built_in().recipe_names()) {
    const auto source = random_model(tiny_llama(), ShapeTable::built_in().recipe(name), 5, pool);
    const TensorEntry& tensor = *source->find("blk.0.ffn_gate.weight");
    const int64_t n = tensor.elements();
    std::vector<float> values(static_cast<size_t>(n));
    info(tensor.type).decode(tensor.data.data(), values.data(), n);
    double sum = 0, squares = 0, fourth = 0;
    for (const float value : values) {
      sum += value;
      squares += double{value} * value;
      fourth += std::pow(double{value}, 4);
    }
    const double deviation = std::sqrt(squares / static_cast<double>(n));
    EXPECT_NEAR(deviation * 16, 1.0, 0.1) << name;  // 1 / sqrt(256 columns)
    EXPECT_LT(std::fabs(sum / static_cast<double>(n)), 0.03 * deviation) << name;
    const double kurtosis = fourth / static_cast<double>(n) / std::pow(deviation, 4);
    EXPECT_GT(kurtosis, 3.2) << name << ": no larger values than a normal distribution has";
    EXPECT_LT(kurtosis, 12) << name;
    if (!info(tensor.type).quantized) continue;
    const GroupInfo form = group_info(tensor.type);
    std::vector<int8_t> codes(static_cast<size_t>(n));
    std::vector<float> scales(static_cast<size_t>(n / form.group)), minima(scales.size());
    decode_groups(tensor.type, tensor.data.data(), n, codes.data(), scales.data(), minima.data());
    std::map<int, int64_t> uses;
    for (const int8_t code : codes) ++uses[code];
    EXPECT_GE(std::ssize(uses), std::min(form.code_max - form.code_min + 1, form.bits == 8 ? 16 : 32)) << name;
    for (const auto& [code, count] : uses) EXPECT_LT(static_cast<double>(count) / static_cast<double>(n), 0.5) << name;
    std::set<float> distinct(scales.begin(), scales.end());
    EXPECT_GT(distinct.size(), 100u) << name;
    std::set<int> exponents;
    for (const float scale : scales) exponents.insert(std::ilogb(scale));
    EXPECT_GE(exponents.size(), 3u) << name;
  }
}

TEST(RandomWeights, MakingThemCanBeStopped) {
  WorkerPool pool({.threads = 2});
  std::atomic<int> asked{0};
  const auto stop = [&] {
    if (++asked > 3) fail(Code::interrupted, "interrupted");
  };
  const auto error = error_of([&] { random_model(tiny_moe(), ShapeTable::built_in().recipe("Q4_0"), 1, pool, stop); });
  ASSERT_TRUE(error);
  EXPECT_EQ(error->code(), Code::interrupted);
}

class WrittenModel : public testing::TestWithParam<ModelShape> {};

TEST_P(WrittenModel, IsTheSameModel) {
  TemporaryFolder folder;
  WorkerPool pool({.threads = 2});
  const std::shared_ptr<const ModelSource> source =
      random_model(GetParam(), ShapeTable::built_in().recipe("Q4_K_M"), 3, pool);
  const fs::path path = folder.path() / "random.gguf";
  int64_t last = 0;
  const int64_t bytes = write_random_model(*source, path, [&](int64_t done, int64_t total) {
    EXPECT_LE(done, total);
    last = done;
  });
  EXPECT_EQ(bytes, static_cast<int64_t>(fs::file_size(path)));
  EXPECT_GT(last, 0);
  const std::shared_ptr<const ModelSource> written = open_model(path);
  ASSERT_EQ(written->tensors().size(), source->tensors().size());
  for (const TensorEntry& tensor : source->tensors()) {
    const TensorEntry* other = written->find(tensor.name);
    ASSERT_NE(other, nullptr) << tensor.name;
    EXPECT_EQ(other->shape, tensor.shape) << tensor.name;
    EXPECT_EQ(other->type, tensor.type) << tensor.name;
    EXPECT_TRUE(std::ranges::equal(other->data, tensor.data)) << tensor.name;
  }
  const std::vector<int32_t> tokens = {1, 5, 9, 200, 33};
  EXPECT_EQ(run_tokens(written, "auto", tokens), run_tokens(source, "auto", tokens));
  // Other engines refuse a file whose vocabulary is not as long as the embedding.
  const auto* words = written->metadata().strings("tokenizer.ggml.tokens");
  ASSERT_NE(words, nullptr);
  EXPECT_EQ(std::ssize(*words), read_spec(*source).vocabulary);
  EXPECT_EQ(std::set<std::string>(words->begin(), words->end()).size(), words->size()) << "a token appears twice";
}

ModelShape tiny_glm4() {
  ModelShape shape = tiny_llama();
  shape.name = "tiny-glm4";  // gate and up in one tensor, norms after attention and feed-forward
  shape.config.replace(shape.config.find("llama"), 5, "glm4");
  return shape;
}

INSTANTIATE_TEST_SUITE_P(Shapes, WrittenModel,
                         testing::Values(tiny_llama(), tiny_gemma(), tiny_moe(), tiny_mla(), tiny_glm4(),
                                         ShapeTable::built_in().shape("smollm2-135m")),
                         [](const auto& one) {
                           std::string name = one.param.name;
                           std::ranges::replace(name, '-', '_');
                           return name;
                         });

}  // namespace
}  // namespace autoglm::test
