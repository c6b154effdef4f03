#include "format/type.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <fstream>
#include <iterator>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "format/quant_groups.h"

namespace autoglm {
namespace {

std::string lower(std::string_view name) {
  std::string result(name);
  for (char& c : result) c = static_cast<char>(std::tolower(c));
  return result;
}

std::string read_golden(std::string_view name, const char* kind) {
  const std::string path = std::string(AUTOGLM_TEST_DATA) + "/types/" + lower(name) + "." + kind + ".bin";
  std::ifstream in(path, std::ios::binary);
  EXPECT_TRUE(in) << path;
  return {std::istreambuf_iterator<char>(in), {}};
}

uint32_t bits(float value) { return std::bit_cast<uint32_t>(value); }

bool same(float a, float b) { return bits(a) == bits(b) || (std::isnan(a) && std::isnan(b)); }

const std::vector<Type> kQuantized = {Type::q4_0, Type::q4_1, Type::q5_0, Type::q5_1, Type::q8_0,   Type::q2_k,
                                      Type::q3_k, Type::q4_k, Type::q5_k, Type::q6_k, Type::iq4_nl, Type::iq4_xs};

/// Blocks of random bytes; any pattern is a valid block.
std::vector<std::byte> random_blocks(Type type, int blocks, uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<std::byte> bytes(static_cast<size_t>(blocks * info(type).block_bytes));
  for (auto& byte : bytes) byte = static_cast<std::byte>(random());
  return bytes;
}

// Bit for bit: the gguf package multiplies and subtracts in the same order in float32.
TEST(Type, DecodesWhatTheGgufPackageDecodes) {
  std::vector<Type> types = kQuantized;
  types.insert(types.end(), {Type::f16, Type::bf16});
  for (const Type type : types) {
    const TypeInfo& row = info(type);
    const std::string golden = read_golden(row.name, "decode");
    const size_t bytes_of_block = static_cast<size_t>(row.block_bytes) + 4 * static_cast<size_t>(row.block_columns);
    ASSERT_EQ(golden.size() % bytes_of_block, 0u) << row.name;
    const size_t blocks = golden.size() / bytes_of_block;
    ASSERT_GE(blocks, 8u) << row.name;
    std::vector<float> expected(blocks * static_cast<size_t>(row.block_columns));
    std::memcpy(expected.data(), golden.data() + blocks * static_cast<size_t>(row.block_bytes), 4 * expected.size());
    std::vector<float> values(expected.size());
    row.decode(reinterpret_cast<const std::byte*>(golden.data()), values.data(), static_cast<int64_t>(values.size()));
    for (size_t i = 0; i < values.size(); ++i) {
      ASSERT_TRUE(same(values[i], expected[i])) << row.name << " " << i << ": " << values[i] << " not " << expected[i];
    }
  }
}

TEST(Type, EncodesWhatTheGgufPackageEncodes) {
  constexpr size_t kValues = 16 * 64;
  for (const Type type : {Type::f16, Type::bf16, Type::q4_0, Type::q4_1, Type::q5_0, Type::q5_1, Type::q8_0}) {
    const TypeInfo& row = info(type);
    const std::string golden = read_golden(row.name, "encode");
    const auto size = static_cast<size_t>(row_bytes(type, kValues));
    ASSERT_EQ(golden.size(), 4 * kValues + size) << row.name;
    std::vector<float> values(kValues);
    std::memcpy(values.data(), golden.data(), 4 * kValues);
    std::vector<std::byte> blocks(size);
    row.encode(values.data(), blocks.data(), kValues);
    for (size_t i = 0; i < size; ++i) {
      ASSERT_EQ(blocks[i], static_cast<std::byte>(golden[4 * kValues + i])) << row.name << " byte " << i;
    }
  }
}

TEST(Type, IntegerFormGivesTheDecodedValuesInItsRange) {
  for (const Type type : kQuantized) {
    const TypeInfo& row = info(type);
    const GroupInfo form = group_info(type);
    EXPECT_EQ(row.block_columns % form.group, 0);
    EXPECT_LE(form.code_max - form.code_min, (1 << form.bits) - 1) << row.name;
    constexpr int kBlocks = 64;
    const int64_t n = int64_t{kBlocks} * row.block_columns;
    const auto blocks = random_blocks(type, kBlocks, 7);
    std::vector<float> values(static_cast<size_t>(n));
    row.decode(blocks.data(), values.data(), n);
    std::vector<int8_t> codes(static_cast<size_t>(n));
    std::vector<float> scales(static_cast<size_t>(n / form.group));
    std::vector<float> minima(scales.size());
    decode_groups(type, blocks.data(), n, codes.data(), scales.data(), minima.data());
    bool low = false;
    bool high = false;
    for (size_t c = 0; c < values.size(); ++c) {
      const size_t g = c / static_cast<size_t>(form.group);
      ASSERT_GE(codes[c], form.code_min);
      ASSERT_LE(codes[c], form.code_max);
      low = low || codes[c] == form.code_min;
      high = high || codes[c] == form.code_max;
      ASSERT_TRUE(form.has_minimum || minima[g] == 0.0f);
      ASSERT_TRUE(same(values[c], scales[g] * static_cast<float>(codes[c]) - minima[g])) << row.name << " " << c;
    }
    EXPECT_TRUE(low && high) << row.name << ": the range of codes is wider than the format's";
  }
}

TEST(Type, IntegerScalesTimesTheirFactorsAreTheScales) {
  for (const Type type : kQuantized) {
    const GroupInfo form = group_info(type);
    if (!form.integer_scales) continue;
    constexpr int kBlocks = 64;
    const int64_t n = int64_t{kBlocks} * info(type).block_columns;
    const auto blocks = random_blocks(type, kBlocks, 8);
    std::vector<int8_t> codes(static_cast<size_t>(n));
    std::vector<int8_t> same_codes(codes.size());
    std::vector<float> scales(static_cast<size_t>(n / form.group));
    std::vector<float> minima(scales.size());
    std::vector<int8_t> integers(scales.size());
    std::vector<int8_t> integer_minima(scales.size());
    std::vector<uint16_t> d(kBlocks);
    std::vector<uint16_t> dmin(kBlocks);
    decode_groups(type, blocks.data(), n, codes.data(), scales.data(), minima.data());
    decode_integers(type, blocks.data(), n,
                    {same_codes.data(), integers.data(), integer_minima.data(), d.data(), dmin.data()});
    EXPECT_EQ(codes, same_codes) << info(type).name;
    for (size_t g = 0; g < scales.size(); ++g) {
      const size_t block = g * static_cast<size_t>(form.group) / 256;
      ASSERT_TRUE(same(scales[g], f16_to_f32(d[block]) * static_cast<float>(integers[g]))) << info(type).name;
      if (!form.has_minimum) continue;
      ASSERT_TRUE(same(minima[g], f16_to_f32(dmin[block]) * static_cast<float>(integer_minima[g]))) << info(type).name;
    }
  }
}

/// Root mean square error of a row that is encoded and decoded.
double rms_error(Type type, const std::vector<float>& values) {
  const int64_t n = std::ssize(values);
  std::vector<std::byte> blocks(static_cast<size_t>(row_bytes(type, n)));
  info(type).encode(values.data(), blocks.data(), n);
  std::vector<float> back(values.size());
  info(type).decode(blocks.data(), back.data(), n);
  double sum = 0;
  for (size_t i = 0; i < values.size(); ++i) sum += std::pow(values[i] - back[i], 2);
  return std::sqrt(sum / static_cast<double>(n));
}

// What the offset is for: values of one sign use all codes, and come twice as near as with a scale alone.
TEST(Type, AnOffsetHalvesTheErrorOfValuesOfOneSign) {
  std::mt19937 random(4);
  std::uniform_real_distribution<float> uniform(3.0f, 5.0f);
  std::vector<float> values(1024);
  for (float& value : values) value = uniform(random);
  double error[2];
  for (const Type type : {Type::q8_0, Type::q8_a}) {
    error[type == Type::q8_a] = rms_error(type, values);
  }
  EXPECT_LT(error[1], 0.5 * error[0]);
}

TEST(Type, EncodersComeNearTheirInput) {
  std::mt19937 random(3);
  std::normal_distribution<float> normal;
  std::vector<float> values(1024);
  for (float& value : values) value = normal(random);
  // Root mean square error of unit normal values, a little above what each format measures.
  const std::pair<Type, double> limits[] = {
      {Type::f32, 0.0},      {Type::f16, 3e-4},  {Type::bf16, 3e-3},   {Type::q8_0, 6e-3},
      {Type::q5_1, 0.05},    {Type::q5_0, 0.06}, {Type::q4_1, 0.09},   {Type::q4_0, 0.11},
      {Type::iq4_nl, 0.085}, {Type::q2_k, 0.40}, {Type::q3_k, 0.22},   {Type::q4_k, 0.09},
      {Type::q5_k, 0.05},    {Type::q6_k, 0.03}, {Type::iq4_xs, 0.09}, {Type::q8_a, 6e-3}};
  for (const auto& [type, limit] : limits) {
    EXPECT_LE(rms_error(type, values), limit) << info(type).name;
  }
}

TEST(Type, EncodersSurviveWhatIsNotFinite) {
  std::vector<float> values(256, 1.0f);
  values[0] = std::numeric_limits<float>::quiet_NaN();
  values[40] = std::numeric_limits<float>::infinity();
  values[80] = -std::numeric_limits<float>::max();
  values[81] = std::numeric_limits<float>::max();
  for (int i = 0; i < 20; ++i) {
    const TypeInfo& row = info(static_cast<Type>(i));
    if (row.encode == nullptr) continue;
    std::vector<std::byte> blocks(static_cast<size_t>(row_bytes(row.type, 256)));
    row.encode(values.data(), blocks.data(), 256);
    std::vector<float> back(256);
    row.decode(blocks.data(), back.data(), 256);
    EXPECT_TRUE(std::isfinite(back[255])) << row.name;
  }
}

TEST(Type, HalvesRoundTripAndRoundToNearestEven) {
  for (uint32_t half = 0; half < 65536; ++half) {
    const float value = f16_to_f32(static_cast<uint16_t>(half));
    const uint32_t back = f32_to_f16(value);
    if (std::isnan(value)) {
      EXPECT_EQ(back, half | 0x200u);
      continue;
    }
    ASSERT_EQ(back, half);
    // Between this half and the next larger one: below, at and above the middle.
    if ((half & 0x7fff) >= 0x7bff) continue;
    const float next = f16_to_f32(static_cast<uint16_t>(half + 1));
    const float middle = (value + next) / 2;  // exact in float
    ASSERT_EQ(f32_to_f16(middle), half + (half & 1));
    ASSERT_EQ(f32_to_f16(std::nextafterf(middle, value)), half);
    ASSERT_EQ(f32_to_f16(std::nextafterf(middle, next)), half + 1);
  }
  EXPECT_EQ(f32_to_f16(65519.99f), 0x7bff);
  EXPECT_EQ(f32_to_f16(65520.0f), 0x7c00);
  EXPECT_EQ(f32_to_f16(-1e30f), 0xfc00);
  EXPECT_EQ(f16_to_f32(0x0001), 0x1p-24f);
  EXPECT_EQ(f16_to_f32(0xfbff), -65504.0f);
}

TEST(Type, BfloatRoundsToNearestEven) {
  EXPECT_EQ(f32_to_bf16(1.0f), 0x3f80);
  EXPECT_EQ(f32_to_bf16(std::bit_cast<float>(0x3f808000u)), 0x3f80);  // a tie goes to the even one
  EXPECT_EQ(f32_to_bf16(std::bit_cast<float>(0x3f818000u)), 0x3f82);
  EXPECT_EQ(f32_to_bf16(std::bit_cast<float>(0x3f808001u)), 0x3f81);
  EXPECT_EQ(f32_to_bf16(std::numeric_limits<float>::max()), 0x7f80);
  EXPECT_TRUE(std::isnan(bf16_to_f32(f32_to_bf16(std::bit_cast<float>(0x7f800001u)))));
}

TEST(Type, TableIsFoundByNumberAndName) {
  EXPECT_EQ(type_from_ggml(12), Type::q4_k);
  EXPECT_EQ(type_from_ggml(30), Type::bf16);
  EXPECT_EQ(type_from_ggml(16), std::nullopt);
  EXPECT_EQ(type_from_name("iq4_xs"), Type::iq4_xs);
  EXPECT_EQ(type_from_name("Q4_K_M"), std::nullopt);
  EXPECT_EQ(row_bytes(Type::q6_k, 512), 420);
  EXPECT_EQ(row_bytes(Type::f16, 7), 14);
}

TEST(Type, BookkeepingIntegersDecode) {
  const int64_t wide[] = {-3, int64_t{1} << 40};
  float out[2];
  info(Type::i64).decode(reinterpret_cast<const std::byte*>(wide), out, 2);
  EXPECT_EQ(out[0], -3.0f);
  EXPECT_EQ(out[1], 0x1p40f);
  const double doubles[] = {0.5, 1e300};
  info(Type::f64).decode(reinterpret_cast<const std::byte*>(doubles), out, 2);
  EXPECT_EQ(out[0], 0.5f);
  EXPECT_EQ(out[1], std::numeric_limits<float>::infinity());
}

}  // namespace
}  // namespace autoglm
