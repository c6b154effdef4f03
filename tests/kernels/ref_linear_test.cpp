#include <limits>

#include "base/error.h"
#include "kernels/quantize.h"
#include "ref_support.h"

namespace autoglm {
namespace {

using test::random_values;
using test::RefFixture;

TEST(QuantizeRow, RoundsHalvesToEven) {
  const float x[] = {127.0f, 0.5f, 1.5f, -0.5f, -1.5f, 2.5f, -126.6f, 0.0f};
  int8_t codes[8];
  EXPECT_EQ(quantize_row(x, 8, codes), 1.0f);
  EXPECT_THAT(codes, testing::ElementsAre(127, 0, 2, 0, -2, 2, -127, 0));
}

TEST(QuantizeRow, ZeroTinyAndInfiniteGroups) {
  int8_t codes[3] = {1, 1, 1};
  const float zero[] = {0.0f, -0.0f, 0.0f};
  EXPECT_EQ(quantize_row(zero, 3, codes), 0.0f);
  EXPECT_THAT(codes, testing::Each(0));
  const float tiny[] = {1e-38f, -1e-40f, 0.0f};
  EXPECT_EQ(quantize_row(tiny, 3, codes), 0.0f);
  EXPECT_THAT(codes, testing::Each(0));
  const float huge[] = {std::numeric_limits<float>::max(), -1.0f, 0.0f};
  EXPECT_FLOAT_EQ(quantize_row(huge, 3, codes), std::numeric_limits<float>::max() / 127.0f);
  EXPECT_THAT(codes, testing::ElementsAre(127, 0, 0));
  for (float bad : {std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity(),
                    std::numeric_limits<float>::quiet_NaN()}) {
    const float x[] = {1.0f, bad, 2.0f};
    EXPECT_TRUE(std::isnan(quantize_row(x, 3, codes)));
    EXPECT_THAT(codes, testing::Each(0));
  }
}

TEST(RefLinear, NormThenProductPlusBiasOfAColumnSlice) {
  RefFixture ref;
  const Buffer x = ref.buffer(2, 4, {9, 3, 4, 9, 9, -6, 8, 9});  // the slice is (3, 4) and (-6, 8)
  const Norm norm{ref.buffer(1, 2, {2, 10}), 0.0f};
  const Weight a = ref.weight({1, 0, 0, 1, 1, 1}, 3, 2), b = ref.weight({-1, 0.5f}, 1, 2);
  const Buffer bias = ref.buffer(1, 3, {100, 200, 300});
  Buffer out_a = ref.buffer(2, 3), out_b = ref.buffer(2, 1);
  ref.begin(2);
  const Projection projections[] = {{&a, &bias, &out_a}, {&b, nullptr, &out_b}};
  ref->project({2, &x, 1, &norm, projections});
  const float s = std::sqrt(0.5f);  // (3, 4) / sqrt(12.5) = (6, 8) * s / 5, and (-6, 8) likewise
  const float p = 6 * s / 5 * 2, q = 8 * s / 5 * 10;
  EXPECT_THAT(ref.read(out_a), testing::Pointwise(testing::FloatNear(1e-4f),
                                                  {100 + p, 200 + q, 300 + p + q, 100 - p, 200 + q, 300 - p + q}));
  EXPECT_THAT(ref.read(out_b), testing::Pointwise(testing::FloatNear(1e-4f), {-p + q / 2, p + q / 2}));
}

TEST(RefLinear, NormAddsEpsilonToTheMeanSquare) {
  RefFixture ref;
  const Buffer x = ref.buffer(1, 2, {1, 1});
  const Norm norm{ref.buffer(1, 2, {1, 1}), 3.0f};
  const Weight identity = ref.weight({1, 0, 0, 1}, 2, 2);
  Buffer out = ref.buffer(1, 2);
  ref.begin(1);
  const Projection projection{&identity, nullptr, &out};
  ref->project({1, &x, 0, &norm, {&projection, 1}});
  EXPECT_THAT(ref.read(out), testing::ElementsAre(0.5f, 0.5f));
}

// Any bytes are blocks of every type, but their f16 scales may be huge: rows are drawn again until all values are
// small.
std::vector<std::byte> random_blocks(Type type, int64_t rows, int64_t cols, uint32_t seed) {
  std::mt19937 engine(seed);
  std::vector<std::byte> bytes(static_cast<size_t>(row_bytes(type, cols) * rows));
  std::vector<float> row(static_cast<size_t>(cols));
  const int64_t size = row_bytes(type, cols);
  for (int64_t r = 0; r < rows;) {
    for (int64_t i = 0; i < size; ++i)
      bytes[static_cast<size_t>(r * size + i)] = static_cast<std::byte>(engine() & 0x3f);
    info(type).decode(bytes.data() + r * size, row.data(), cols);
    bool finite = true;
    for (float v : row) finite = finite && std::isfinite(v) && std::abs(v) < 1e4f;
    r += finite;
  }
  return bytes;
}

class RefTypes : public testing::TestWithParam<Type> {};

TEST_P(RefTypes, ExactProductAndInt8ProductEqualTheirDefinitions) {
  constexpr int64_t kRows = 5, kCols = 512, kTokens = 3;
  const Type type = GetParam();
  RefFixture ref;
  const std::vector<std::byte> bytes = random_blocks(type, kRows, kCols, 7);
  std::vector<float> weights(kRows * kCols);
  info(type).decode(bytes.data(), weights.data(), kRows * kCols);
  const std::vector<float> x = random_values(kTokens * kCols, 3);
  std::vector<float> rounded(x.size());
  for (size_t g = 0; g < x.size(); g += 32) {
    float amax = 0.0f;
    for (size_t i = g; i < g + 32; ++i) amax = std::max(amax, std::abs(x[i]));
    for (size_t i = g; i < g + 32; ++i) rounded[i] = std::nearbyint(x[i] * (127.0f / amax)) * (amax / 127.0f);
  }
  for (Precision precision : {Precision::f32, Precision::automatic}) {
    const std::vector<float>& input = precision == Precision::f32 ? x : rounded;
    const Weight w = ref.weight_of_bytes(bytes, kRows, kCols, 1, type, precision);
    const Buffer in = ref.buffer(kTokens, kCols, x);
    Buffer out = ref.buffer(kTokens, kRows);
    ref.begin(kTokens);
    const Projection projection{&w, nullptr, &out};
    ref->project({kTokens, &in, 0, nullptr, {&projection, 1}});
    const std::vector<float> got = ref.read(out);
    for (int64_t t = 0; t < kTokens; ++t) {
      for (int64_t r = 0; r < kRows; ++r) {
        double sum = 0.0, size = 0.0;
        for (int64_t c = 0; c < kCols; ++c) {
          const double term = static_cast<double>(weights[r * kCols + c]) * input[t * kCols + c];
          sum += term;
          size += std::abs(term);
        }
        // Each decoded weight and each rounded activation carries one rounding of float32 or two (2^-23 of a term).
        EXPECT_NEAR(got[t * kRows + r], sum, size * 4e-7 + 1e-6) << info(type).name << " " << t << " " << r;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, RefTypes,
                         testing::Values(Type::q4_0, Type::q4_1, Type::q5_0, Type::q5_1, Type::q8_0, Type::q2_k,
                                         Type::q3_k, Type::q4_k, Type::q5_k, Type::q6_k, Type::iq4_nl, Type::iq4_xs,
                                         Type::q8_a),
                         [](const auto& test) { return std::string(autoglm::info(test.param).name); });

TEST(RefLinear, HalfWeightsMeetBfloat16Activations) {
  RefFixture ref;
  // bfloat16 steps by 2^-7 here: 1 + 2^-9 becomes 1, and 1 + 3 * 2^-8 is a tie that goes to the even 1 + 2^-6.
  const std::vector<float> x = {1.0f + 0x1p-9f, 1.0f + 3 * 0x1p-8f};
  const Buffer in = ref.buffer(1, 2, x);
  struct Case {
    Type type;
    Precision precision;
    float a, b;
  };
  const Case cases[] = {{Type::bf16, Precision::automatic, 1.0f, 1.015625f},
                        {Type::f16, Precision::automatic, 1.0f, 1.015625f},
                        {Type::f32, Precision::automatic, x[0], x[1]},
                        {Type::bf16, Precision::f32, x[0], x[1]}};
  for (const Case& c : cases) {
    const Weight identity = ref.weight({1, 0, 0, 1}, 2, 2, 1, c.type, c.precision);
    Buffer out = ref.buffer(1, 2);
    ref.begin(1);
    const Projection projection{&identity, nullptr, &out};
    ref->project({1, &in, 0, nullptr, {&projection, 1}});
    EXPECT_THAT(ref.read(out), testing::ElementsAre(c.a, c.b)) << info(c.type).name;
  }
}

TEST(RefLinear, ProjectAddNormsTheProductBeforeTheResidual) {
  RefFixture ref;
  const Buffer x = ref.buffer(1, 2, {3, 4});
  const Weight identity = ref.weight({1, 0, 0, 1}, 2, 2);
  const Buffer bias = ref.buffer(1, 2, {0, 2});  // product + bias = (3, 6), mean square 22.5
  const Norm post{ref.buffer(1, 2, {1, 3}), 0.0f};
  Buffer residual = ref.buffer(1, 2, {10, 20});
  ref.begin(1);
  ref->project_add({1, &x, &identity, &bias, &post, 0.5f, &residual});
  const float f = 1.0f / std::sqrt(22.5f);
  EXPECT_THAT(ref.read(residual), testing::Pointwise(testing::FloatNear(1e-5f), {10 + 1.5f * f, 20 + 9.0f * f}));
}

TEST(RefLinear, GateUpWithBothActivationsAndBiases) {
  RefFixture ref;
  const Buffer x = ref.buffer(1, 1, {1});
  const Weight gate = ref.weight({1, -1}, 2, 1), up = ref.weight({2, 3}, 2, 1);
  const Buffer gate_bias = ref.buffer(1, 2, {0, -1}), up_bias = ref.buffer(1, 2, {1, 0});
  Buffer out = ref.buffer(1, 2);
  ref.begin(1);
  GateUpArgs args{1, &x, nullptr, &gate, &up, &gate_bias, &up_bias, Activation::silu, &out};
  ref->gate_up(args);  // silu(1) = 0.7310586, silu(-2) = -0.2384058
  EXPECT_THAT(ref.read(out), testing::Pointwise(testing::FloatNear(1e-6f), {3 * 0.7310586f, 3 * -0.2384058f}));
  args.activation = Activation::gelu_tanh;
  ref->gate_up(args);  // gelu_tanh(1) = 0.8411920, gelu_tanh(-2) = -0.0454023
  EXPECT_THAT(ref.read(out), testing::Pointwise(testing::FloatNear(1e-6f), {3 * 0.8411920f, 3 * -0.0454023f}));
}

TEST(RefLinear, ARowDoesNotDependOnItsNeighbours) {
  RefFixture ref;
  const std::vector<float> x = random_values(7 * 64, 5);
  const Weight w = ref.weight(random_values(9 * 64, 6), 9, 64, 1, Type::q8_0, Precision::automatic);
  const auto product = [&](int64_t first, int64_t rows) {
    const Buffer in = ref.buffer(rows, 64, {x.begin() + first * 64, x.begin() + (first + rows) * 64});
    Buffer out = ref.buffer(rows, 9);
    ref.begin(rows);
    const Projection projection{&w, nullptr, &out};
    ref->project({rows, &in, 0, nullptr, {&projection, 1}});
    return ref.read(out);
  };
  const std::vector<float> all = product(0, 7);
  for (int64_t r = 0; r < 7; ++r) {
    EXPECT_EQ(product(r, 1), std::vector<float>(all.begin() + r * 9, all.begin() + (r + 1) * 9));
  }
}

TEST(RefLinear, BookkeepingTypesAreRefusedByName) {
  RefFixture ref;
  try {
    ref.weight_of_bytes(std::vector<std::byte>(4), 1, 4, 1, Type::i8, Precision::f32);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Code::unsupported_model);
    EXPECT_THAT(error.what(), testing::HasSubstr("I8"));
  }
}

}  // namespace
}  // namespace autoglm
