// Attention at its borders: odd head sizes, large groups, windows, blocks that are gone, values that a type cannot
// hold.
#include "cpu_scenarios.h"

namespace autoglm::test {
namespace {

using Shape = AttentionShape;
using Steps = std::vector<std::vector<Part>>;

Shape shape_of(int heads, int kv_heads, int key_dim, int value_dim, KvType type) {
  Shape shape;
  shape.heads = heads, shape.kv_heads = kv_heads, shape.key_dim = key_dim, shape.value_dim = value_dim;
  shape.rope.dims = 0;
  shape.scale = 1.0f / std::sqrt(static_cast<float>(key_dim));
  shape.type = type;
  return shape;
}

AttentionInput input_of(const Shape& s, int64_t tokens, uint32_t seed = 1) {
  return {random_values(static_cast<size_t>(tokens * s.heads * s.key_dim), seed),
          random_values(static_cast<size_t>(tokens * s.kv_heads * s.key_dim), seed + 1),
          random_values(static_cast<size_t>(tokens * s.kv_heads * s.value_dim), seed + 2)};
}

std::vector<float> run(std::string_view isa, int threads, const Shape& shape, const AttentionInput& input,
                       const Steps& steps, bool drop = false) {
  Machine machine(isa, threads);
  return run_attention(machine, shape, {&input, 1}, steps, drop)[0];
}

std::string words(std::string_view isa, const Shape& s) {
  return std::string(isa) + " type " + std::to_string(static_cast<int>(s.type)) + ", " + std::to_string(s.heads) + "/" +
         std::to_string(s.kv_heads) + " heads of " + std::to_string(s.key_dim) + " and " + std::to_string(s.value_dim) +
         ", window " + std::to_string(s.window);
}

void expect_like_reference(const Shape& shape, const AttentionInput& input, const Steps& pieces) {
  const auto tokens = static_cast<int64_t>(input.q.size()) / (shape.heads * shape.key_dim);
  const std::vector<float> expected = run("ref", 1, shape, input, {{{0, tokens}}});
  for (const std::string& isa : isas_under_test()) {
    const std::vector<float> whole = run(isa, 1, shape, input, {{{0, tokens}}});
    EXPECT_LE(distance(whole, expected), attention_tolerance(isa, shape.type).largest) << words(isa, shape);
    EXPECT_LE(rms_distance(whole, expected), attention_tolerance(isa, shape.type).rms) << words(isa, shape);
    EXPECT_EQ(run(isa, 3, shape, input, pieces), whole) << words(isa, shape);
  }
}

// Dims below, at and beyond a vector, a group of 32, and the 256 columns whose q4 keys are unpacked for many queries;
// groups of heads beyond the queries of a tile (48).
TEST(CpuAttentionBorders, HeadsOfEverySizeAndGroupsOfEveryNumber) {
  constexpr int kShapes[][4] = {{1, 1, 1, 1},     {2, 1, 2, 3},     {4, 1, 31, 31},   {4, 2, 32, 32},
                                {3, 3, 33, 34},   {6, 3, 65, 63},   {2, 1, 128, 128}, {2, 1, 255, 256},
                                {2, 2, 256, 255}, {2, 1, 257, 1},   {16, 1, 288, 16}, {48, 1, 64, 64},
                                {64, 1, 40, 24},  {100, 2, 32, 33}, {4, 1, 96, 160}};
  for (const KvType type : kKvTypes) {
    for (const auto& [heads, kv_heads, key_dim, value_dim] : kShapes) {
      const Shape shape = shape_of(heads, kv_heads, key_dim, value_dim, type);
      expect_like_reference(shape, input_of(shape, 50), {{{0, 17}}, {{0, 1}}, {{0, 1}}, {{0, 30}}, {{0, 1}}});
    }
  }
}

TEST(CpuAttentionBorders, WindowsThatEndAtBordersOfBlocksAndSplits) {
  constexpr int64_t kTokens = 530;
  for (const KvType type : {KvType::f16, KvType::q8, KvType::q4}) {
    for (const int window : {1, 16, 17, 255, 256, 257, 513}) {
      Shape shape = shape_of(2, 1, 20, 36, type);
      shape.window = window;
      expect_like_reference(shape, input_of(shape, kTokens),
                            {{{0, 255}}, {{0, 1}}, {{0, 1}}, {{0, 254}}, {{0, 1}}, {{0, 1}}, {{0, 17}}});
    }
  }
}

TEST(CpuAttentionBorders, BlocksThatNoWindowReadsMayBeGone) {
  constexpr int64_t kTokens = 560;
  const Steps steps = {{{0, 90}}, {{0, 1}}, {{0, 200}}, {{0, 1}}, {{0, 257}}, {{0, 1}}, {{0, 10}}};
  for (const KvType type : kKvTypes) {
    for (const int window : {1, 16, 40, 300}) {
      Shape shape = shape_of(4, 2, 24, 24, type);
      shape.window = window;
      const AttentionInput input = input_of(shape, kTokens);
      for (const std::string& isa : isas_under_test()) {
        const std::vector<float> kept = run(isa, 1, shape, input, {{{0, kTokens}}});
        EXPECT_EQ(run(isa, 1, shape, input, steps, true), kept) << words(isa, shape);
        EXPECT_EQ(run(isa, 3, shape, input, steps, true), kept) << words(isa, shape);
      }
    }
  }
}

// Enough splits that several workers share those of one tile, and merge them.
TEST(CpuAttentionBorders, ManySplitsHaveTheSameBitsForAnyThreads) {
  constexpr int64_t kTokens = 1300;
  const Steps steps = {{{0, 1290}}, {{0, 1}}, {{0, 3}}, {{0, 6}}};
  for (const KvType type : kKvTypes) {
    for (const int window : {0, 700}) {
      Shape shape = shape_of(2, 1, 32, 32, type);
      shape.window = window;
      const AttentionInput input = input_of(shape, kTokens);
      for (const std::string& isa : isas_under_test()) {
        const std::vector<float> whole = run(isa, 1, shape, input, {{{0, kTokens}}});
        for (const int threads : {1, 2, 4, 7}) {
          EXPECT_EQ(run(isa, threads, shape, input, steps), whole) << words(isa, shape) << ", " << threads;
        }
      }
    }
  }
}

// Keys too: what one may not see must not reach it. f16 ends at 65,504.
TEST(CpuAttentionBorders, KeysThatAreNotFiniteReachOnlyThoseWhoSeeThem) {
  constexpr int64_t kRows = 40, kBad = 23;
  const auto spoil = [](std::vector<float>& values, int64_t columns, float bad) {
    std::fill_n(values.begin() + kBad * columns, columns, bad);
  };
  for (const KvType type : kKvTypes) {
    for (const int window : {0, 5}) {
      for (const float bad : {std::numeric_limits<float>::infinity(), std::nanf(""), 1e5f}) {
        if (bad == 1e5f && type != KvType::f16) continue;
        for (const bool key : {true, false}) {
          Shape shape = shape_of(6, 2, 20, 12, type);
          shape.window = window;
          AttentionInput input = input_of(shape, kRows);
          if (key) spoil(input.k, shape.kv_heads * shape.key_dim, bad);
          if (!key) spoil(input.v, shape.kv_heads * shape.value_dim, bad);
          const int64_t columns = shape.heads * shape.value_dim;
          for (const std::string& isa : isas_under_test()) {
            const std::vector<float> whole = run(isa, 1, shape, input, {{{0, kRows}}});
            const std::vector<float> apart = run(isa, 2, shape, input, Steps(kRows, {{0, 1}}));
            for (size_t i = 0; i < whole.size(); ++i) {
              const auto row = static_cast<int64_t>(i) / columns;
              const bool sees = row >= kBad && (window == 0 || row < kBad + window);
              ASSERT_EQ(std::isfinite(whole[i]), !sees) << words(isa, shape) << " row " << row << (key ? " key" : "");
              if (sees) continue;
              ASSERT_EQ(whole[i], apart[i]) << words(isa, shape) << " row " << row << (key ? " key" : "");
            }
          }
        }
      }
    }
  }
}

// Numbers below 6.1e-5 are subnormal in f16, and are numbers all the same.
TEST(CpuAttentionBorders, SmallNumbersOfF16AreKept) {
  const Shape shape = shape_of(4, 2, 32, 32, KvType::f16);
  AttentionInput input = input_of(shape, 40);
  for (float& value : input.v) value *= 3e-6f;
  for (float& value : input.k) value *= 3e-6f;
  for (float& value : input.q) value *= 1e6f;
  expect_like_reference(shape, input, {{{0, 33}}, {{0, 7}}});
}

TEST(CpuAttentionBorders, QueriesOfZeroSeeTheMean) {
  for (const KvType type : kKvTypes) {
    const Shape shape = shape_of(4, 2, 33, 33, type);
    AttentionInput input = input_of(shape, 40);
    std::ranges::fill(input.q, 0.0f);
    expect_like_reference(shape, input, {{{0, 33}}, {{0, 7}}});
  }
}

// ---- Latent

// Ranks that end within a group of 32, so that latent and rope share one; heads beyond a tile's queries; the 512 + 64
// of DeepSeek's models.
TEST(CpuLatentBorders, RanksAndHeadsOfEverySize) {
  for (const auto& [heads, rank] : {std::pair{1, 31}, {7, 33}, {60, 20}, {3, 504}}) {
    for (const KvType type : kKvTypes) {
      const LatentShape shape{heads, 16, 8, rank, 9, Type::f32, Precision::f32, type};
      const LatentInput input = random_latent_input(shape, 60);
      Machine ref("ref");
      const std::vector<float> expected = run_latent(ref, shape, input, {60});
      for (const std::string& isa : isas_under_test()) {
        Machine one(isa), three(isa, 3);
        const std::vector<float> whole = run_latent(one, shape, input, {60});
        EXPECT_LE(distance(whole, expected), type == KvType::f32 ? 1e-4 : 5e-2)
            << isa << " type " << static_cast<int>(type) << " rank " << rank;
        EXPECT_EQ(run_latent(three, shape, input, {31, 1, 1, 27}), whole)
            << isa << " type " << static_cast<int>(type) << " rank " << rank;
      }
    }
  }
}

TEST(CpuLatentBorders, SameBitsWithBatchMatesOverBordersOfSplits) {
  const Steps mates = {{{1, 40}, {0, 255}}, {{2, 300}, {0, 2}, {1, 1}}, {{1, 1}, {0, 1}}, {{0, 42}, {2, 1}}};
  for (const KvType type : kKvTypes) {
    const LatentShape shape{5, 32, 8, 64, 20, Type::q8_0, Precision::automatic, type};
    std::vector<LatentInput> inputs;
    for (const uint32_t seed : {50u, 60u, 70u}) inputs.push_back(random_latent_input(shape, 310, seed));
    for (const std::string& isa : isas_under_test()) {
      Machine alone(isa), together(isa, 3);
      const std::vector<float> whole = run_latent(alone, shape, inputs[0], {300});
      EXPECT_EQ(run_latent(together, shape, inputs, mates)[0], whole) << isa << " type " << static_cast<int>(type);
    }
  }
}

TEST(CpuLatentBorders, WhatIsNotFiniteReachesOnlyThoseWhoSeeIt) {
  constexpr int64_t kRows = 40, kBad = 23;
  for (const KvType type : kKvTypes) {
    const LatentShape shape{3, 16, 8, 40, 9, Type::f32, Precision::f32, type};
    LatentInput input = random_latent_input(shape, kRows);
    const int64_t columns = shape.rank + shape.rope, out_columns = shape.heads * shape.value;
    std::fill_n(input.latent.begin() + kBad * columns, columns, std::nanf(""));
    for (const std::string& isa : isas_under_test()) {
      Machine one(isa), two(isa, 2);
      const std::vector<float> whole = run_latent(one, shape, input, {kRows});
      const std::vector<float> apart = run_latent(two, shape, input, std::vector<int64_t>(kRows, 1));
      for (size_t i = 0; i < whole.size(); ++i) {
        const auto row = static_cast<int64_t>(i) / out_columns;
        ASSERT_EQ(std::isfinite(whole[i]), row < kBad) << isa << " row " << row;
        if (row >= kBad) continue;
        ASSERT_EQ(whole[i], apart[i]) << isa << " row " << row;
      }
    }
  }
}

}  // namespace
}  // namespace autoglm::test
