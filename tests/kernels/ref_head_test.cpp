#include "ref_support.h"

namespace autoglm {
namespace {

using test::random_values;
using test::RefFixture;

TEST(RefHead, EmbedTakesScaledRowsInAnyType) {
  RefFixture ref;
  const std::vector<float> values = random_values(5 * 32, 1);
  const Weight table = ref.weight(values, 5, 32, 1, Type::q8_0, Precision::automatic);
  std::vector<std::byte> bytes(static_cast<size_t>(row_bytes(Type::q8_0, 32)));
  Buffer out = ref.buffer(3, 32);
  const int32_t tokens[] = {4, 0, 4};
  ref.begin(3);
  ref->embed({&table, tokens, 3.0f, &out});
  const std::vector<float> got = ref.read(out);
  for (size_t i = 0; i < 3; ++i) {
    std::vector<float> row(32);
    info(Type::q8_0).encode(values.data() + tokens[i] * 32, bytes.data(), 32);
    info(Type::q8_0).decode(bytes.data(), row.data(), 32);
    for (size_t c = 0; c < 32; ++c) EXPECT_EQ(got[i * 32 + c], row[c] * 3.0f);
  }
}

TEST(RefHead, LogitsOfTheChosenRowsOnlyWithSoftcapAndHiddenStates) {
  RefFixture ref;
  const Buffer x = ref.buffer(3, 2, {1, 1, 3, 4, -2, 2});
  const Norm norm{ref.buffer(1, 2, {1, 2}), 0.0f};
  const Weight head = ref.weight({1, 0, 0, 1, 5, 5}, 3, 2);
  Buffer logits = ref.buffer(2, 3), hidden = ref.buffer(2, 2);
  const int32_t rows[] = {0, 2};
  ref.begin(3);
  ref->head({&x, rows, &norm, &head, 10.0f, &logits, &hidden});
  EXPECT_THAT(ref.read(hidden), testing::Pointwise(testing::FloatNear(1e-6f), {1.0f, 2.0f, -1.0f, 2.0f}));
  const auto cap = [](float v) { return 10.0f * std::tanh(v / 10.0f); };
  EXPECT_THAT(ref.read(logits),
              testing::Pointwise(testing::FloatNear(1e-5f), {cap(1), cap(2), cap(15), cap(-1), cap(2), cap(5)}));
  ref->head({&x, rows, &norm, &head, 0.0f, &logits, nullptr});
  EXPECT_THAT(ref.read(logits), testing::Pointwise(testing::FloatNear(1e-5f), {1.f, 2.f, 15.f, -1.f, 2.f, 5.f}));
}

TEST(RefHead, NoHeadGivesHiddenStatesAlone) {
  RefFixture ref;
  const Buffer x = ref.buffer(2, 2, {1, 2, 3, 4});
  Buffer hidden = ref.buffer(1, 2);
  const int32_t rows[] = {1};
  ref.begin(2);
  ref->head({&x, rows, nullptr, nullptr, 0.0f, nullptr, &hidden});
  EXPECT_THAT(ref.read(hidden), testing::ElementsAre(3, 4));
}

}  // namespace
}  // namespace autoglm
