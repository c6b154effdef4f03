// Shapes of bench/shapes.yaml, and models with random weights.
#include "model/random_weights.h"

#include "model/families/family.h"
#include "model/model_support.h"
#include "model/tensor_table.h"
#include "model/tiny_shapes.h"

namespace autoglm::test {
namespace {

TEST(Shapes, EveryShapeIsReadAndHasItsParameters) {
  const std::map<std::string, double> billions = {
      {"smollm2-135m", 0.1345}, {"llama-1b", 1.236}, {"qwen3-0.6b", 0.596},    {"gemma3-270m", 0.268},
      {"glm-edge-1.5b", 1.593}, {"glm4-9b", 9.40},   {"qwen3-30b-a3b", 30.53}, {"glm-4.7-flash", 29.9}};
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
                         [](const auto& info) { return info.param; });

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
  EXPECT_EQ(source->find("blk.0.ffn_down.weight")->type, Type::q8_0);  // Q6_K for 96 columns
}

}  // namespace
}  // namespace autoglm::test
