// The q4 KV cache's rotation and rounding, apart from attention.
#include <cmath>
#include <limits>
#include <numeric>

#include "format/type.h"
#include "kernels/quantize.h"
#include "ref_support.h"

namespace autoglm {
namespace {

using test::random_values;

template <typename Group>
std::vector<float> decoded(const Group& group) {
  std::vector<float> values;
  for (int i = 0; i < kKvGroup; ++i) values.push_back(bf16_to_f32(group.scale) * static_cast<float>(group.level(i)));
  return values;
}

double squares(const std::vector<float>& values) {
  return std::inner_product(values.begin(), values.end(), values.begin(), 0.0);
}

/// What is left of a row after rotation, rounding and rotation back: the squared error's share.
template <typename Group>
double error_of(Group (*quantize)(const float*), std::vector<float> row) {
  const std::vector<float> before = row;
  rotate_kv(row.data(), std::ssize(row));
  for (auto group = row.begin(); group != row.end(); group += kKvGroup) {
    std::ranges::copy(decoded(quantize(&*group)), group);
  }
  rotate_kv(row.data(), std::ssize(row));
  double error = 0.0;
  for (size_t i = 0; i < row.size(); ++i) error += std::pow(static_cast<double>(row[i]) - before[i], 2);
  return error / squares(before);
}

TEST(KvRotation, IsTheHadamardMatrixOfEachGroup) {
  for (int column : {0, 1, 5, 31}) {
    std::vector<float> row(2 * kKvGroup, 0.0f);
    row[static_cast<size_t>(kKvGroup + column)] = 1.0f;
    rotate_kv(row.data(), std::ssize(row));
    for (int i = 0; i < kKvGroup; ++i) {
      EXPECT_EQ(row[static_cast<size_t>(i)], 0.0f) << "of another group";
      const double sign = __builtin_popcount(static_cast<unsigned>(i & column)) % 2 == 0 ? 1.0 : -1.0;
      EXPECT_NEAR(row[static_cast<size_t>(kKvGroup + i)], sign / std::sqrt(32.0), 1e-7) << column << " " << i;
    }
  }
}

TEST(KvRotation, TwiceIsWhatItWas) {
  const std::vector<float> before = random_values(4 * kKvGroup, 1);
  std::vector<float> row = before;
  rotate_kv(row.data(), std::ssize(row));
  EXPECT_NEAR(squares(row), squares(before), 1e-4);
  rotate_kv(row.data(), std::ssize(row));
  for (size_t i = 0; i < row.size(); ++i) EXPECT_NEAR(row[i], before[i], 1e-6);
}

// The least error of 16 levels for normal values is 0.0095 of their variance (Max, 1960); a scale of each group's own
// does better. One channel that is 20 times larger would take the levels of all others; rotated it takes few.
TEST(KvNibblesTest, NormalValuesAndOutliersCostLittle) {
  std::vector<float> row = random_values(256 * kKvGroup, 2);
  EXPECT_LT(error_of(quantize_kv, row), 0.0095);
  EXPECT_GT(error_of(quantize_kv, row), 0.004);
  EXPECT_LT(error_of(quantize_kv_key, row), 0.0035) << "32 even levels, Max's least for normal values";
  EXPECT_GT(error_of(quantize_kv_key, row), 0.0008);
  for (size_t i = 7; i < row.size(); i += kKvGroup) row[i] *= 20.0f;
  EXPECT_LT(error_of(quantize_kv, row), 0.0095);
  EXPECT_LT(error_of(quantize_kv_key, row), 0.0035);
}

TEST(KvNibblesTest, LevelsAreStoredExactlyAndInOrder) {
  std::vector<float> values;
  for (int i = 0; i < kKvGroup; ++i) values.push_back(0.25f * static_cast<float>(kKvLevels[(i * 5 + 3) % 16]));
  const KvNibbles group = quantize_kv(values.data());
  for (int i = 0; i < kKvGroup; ++i) EXPECT_EQ(group.level(i), kKvLevels[(i * 5 + 3) % 16]) << i;
  EXPECT_EQ(bf16_to_f32(group.scale), 0.25f);
  EXPECT_EQ(group.codes[0], 3 | 3 << 4) << "values 0 and 16";
  EXPECT_EQ(group.codes[1], 8 | 8 << 4) << "values 1 and 17";
}

TEST(KvKeyGroupTest, LevelsAreStoredExactlyAndInOrder) {
  std::vector<float> values;
  for (int i = 0; i < kKvGroup; ++i) values.push_back(0.5f * static_cast<float>(8 * ((i * 5 + 3) % 32) - 124));
  const KvKeyGroup group = quantize_kv_key(values.data());
  for (int i = 0; i < kKvGroup; ++i) EXPECT_EQ(group.level(i), 8 * ((i * 5 + 3) % 32) - 124) << i;
  EXPECT_EQ(bf16_to_f32(group.scale), 0.5f);
  // Codes 3, 8, 13, 18..., and 19, 24... from 16 on.
  EXPECT_EQ(group.codes[0], 3 | (19 & 15) << 4);
  EXPECT_EQ(group.codes[3], (18 & 15) | (34 % 32) << 4);
  EXPECT_EQ(group.high[3] & 1, 1) << "of value 3, code 18";
}

TEST(KvNibblesTest, SmallestLargestAndWhatIsNotFinite) {
  std::vector<float> values(kKvGroup, 1e-31f);
  EXPECT_EQ(quantize_kv(values.data()).scale, 0);
  EXPECT_EQ(quantize_kv_key(values.data()).scale, 0);
  values.assign(kKvGroup, 1e38f);
  for (const float v : decoded(quantize_kv(values.data()))) EXPECT_NEAR(v / 1e38f, 1.0f, 0.01f);
  for (const float bad : {std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity(), NAN}) {
    values.assign(kKvGroup, 1.0f);
    values[9] = bad;
    EXPECT_TRUE(std::isnan(bf16_to_f32(quantize_kv(values.data()).scale)));
    EXPECT_TRUE(std::isnan(bf16_to_f32(quantize_kv_key(values.data()).scale)));
  }
}

}  // namespace
}  // namespace autoglm
