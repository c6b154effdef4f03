#include "format/gguf_reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

#include "format/model_source.h"
#include "format/test_files.h"

namespace autoglm {
namespace {

using testing::as_bytes;
using testing::Bytes;
using ::testing::ElementsAre;

GgufContents read(const Bytes& bytes, bool need_weights = true) {
  return read_gguf(as_bytes(bytes.str()), "model.gguf", need_weights);
}

/// Every kind of value, two tensors with a gap of padding between them.
Bytes whole_file(uint32_t version = 3) {
  Bytes b;
  b.header(2, 12, version).item("general.architecture", "llama").item("llama.block_count", 2);
  b.text("u8").number<uint32_t>(testing::kU8).number<uint8_t>(200);
  b.text("i16").number<uint32_t>(testing::kI16).number<int16_t>(-300);
  b.text("u64").number<uint32_t>(testing::kU64).number<uint64_t>(1ull << 40);
  b.text("f32").number<uint32_t>(testing::kF32).number(0.25f);
  b.text("f64").number<uint32_t>(testing::kF64).number(1e300);
  b.text("yes").number<uint32_t>(testing::kBool).number<uint8_t>(1);
  b.text("texts").number<uint32_t>(testing::kArray).number<uint32_t>(testing::kText).number<uint64_t>(2);
  b.text("a").text("");
  b.text("ints").number<uint32_t>(testing::kArray).number<uint32_t>(testing::kI8).number<uint64_t>(3);
  b.number<int8_t>(1).number<int8_t>(-2).number<int8_t>(3);
  b.text("floats").number<uint32_t>(testing::kArray).number<uint32_t>(testing::kF32).number<uint64_t>(1).number(0.5f);
  b.text("flags").number<uint32_t>(testing::kArray).number<uint32_t>(testing::kBool).number<uint64_t>(2);
  b.number<uint8_t>(0).number<uint8_t>(1);
  b.tensor("a.weight", {2, 3}, 0, 0).tensor("b.weight", {32}, 8, 32).pad(32);
  for (int i = 0; i < 6; ++i) b.number(static_cast<float>(i));
  b.pad(32).number<uint16_t>(0x3c00);  // scale 1
  for (int i = 0; i < 32; ++i) b.number(static_cast<int8_t>(i));
  return b;
}

TEST(GgufReader, ReadsValuesAndTensors) {
  for (const uint32_t version : {2u, 3u}) {
    const Bytes file = whole_file(version);
    const GgufContents contents = read(file);
    const Metadata& meta = contents.metadata;
    EXPECT_EQ(meta.text("general.architecture"), "llama");
    EXPECT_EQ(meta.integer("llama.block_count"), 2);
    EXPECT_EQ(meta.integer("u8"), 200);
    EXPECT_EQ(meta.integer("i16"), -300);
    EXPECT_EQ(meta.integer("u64"), int64_t{1} << 40);
    EXPECT_EQ(meta.number("f32"), 0.25);
    EXPECT_EQ(meta.number("f64"), 1e300);
    EXPECT_EQ(meta.number("u8"), 200.0);
    EXPECT_TRUE(meta.boolean("yes", false));
    EXPECT_THAT(*meta.strings("texts"), ElementsAre("a", ""));
    EXPECT_THAT(*meta.integers("ints"), ElementsAre(1, -2, 3));
    EXPECT_THAT(*meta.numbers("floats"), ElementsAre(0.5));
    EXPECT_EQ(meta.integer("absent", 7), 7);
    EXPECT_EQ(meta.strings("absent"), nullptr);
    ASSERT_EQ(meta.all().size(), 12u);
    EXPECT_EQ(meta.all()[2].first, "u8");

    ASSERT_EQ(contents.tensors.size(), 2u);
    const TensorEntry& a = contents.tensors[0];
    EXPECT_EQ(a.name, "a.weight");
    EXPECT_THAT(a.shape, ElementsAre(3, 2));  // three rows of two columns
    EXPECT_EQ(a.rows(), 3);
    float values[6];
    info(a.type).decode(a.data.data(), values, 6);
    EXPECT_THAT(values, ElementsAre(0, 1, 2, 3, 4, 5));
    EXPECT_EQ(contents.tensors[1].type, Type::q8_0);
    float row[32];
    info(Type::q8_0).decode(contents.tensors[1].data.data(), row, 32);
    EXPECT_EQ(row[31], 31.0f);
  }
}

TEST(GgufReader, EveryCutIsAnError) {
  const std::string file = whole_file().str();
  for (size_t length = 0; length < file.size(); ++length) {
    const std::string cut = file.substr(0, length);
    const auto error = testing::error_of([&] { read_gguf(as_bytes(cut), "model.gguf", true); });
    ASSERT_TRUE(error) << length;
    EXPECT_EQ(error->code(), Code::bad_model_file) << length << ": " << error->what();
    EXPECT_THAT(error->what(), ::testing::HasSubstr("model.gguf"));
  }
}

TEST(GgufReader, EveryChangedByteIsReadOrRefused) {
  const std::string file = whole_file().str();
  for (size_t i = 0; i < file.size(); ++i) {
    for (const int flip : {1, 0x80, 0xff}) {
      std::string changed = file;
      changed[i] = static_cast<char>(changed[i] ^ flip);
      testing::error_of([&] {
        for (const TensorEntry& tensor : read_gguf(as_bytes(changed), "m", true).tensors) {
          EXPECT_LE(tensor.data.size(), file.size());
        }
      });
    }
  }
}

TEST(GgufReader, RefusesHugeCounts) {
  const uint64_t huge = ~0ull;
  EXPECT_ERROR(read(Bytes().header(0, huge)), Code::bad_model_file, "metadata items");
  EXPECT_ERROR(read(Bytes().header(huge, 0)), Code::bad_model_file, "tensors");
  EXPECT_ERROR(read(Bytes().header(0, 1).number(huge).raw("0123456789abcdef")), Code::bad_model_file, "metadata key");
  Bytes text;
  text.header(0, 1).text("k").number<uint32_t>(testing::kText).number(huge - 7).raw("x");
  EXPECT_ERROR(read(text), Code::bad_model_file, "metadata text");
  for (const auto type : {testing::kU8, testing::kText, testing::kBool, testing::kF64, testing::kI32}) {
    Bytes list;
    list.header(0, 1).text("k").number<uint32_t>(testing::kArray).number<uint32_t>(type).number(uint64_t{1} << 61);
    EXPECT_ERROR(read(list), Code::bad_model_file, "list elements");
  }
}

TEST(GgufReader, RefusesWhatIsNotOneOfItsTypes) {
  Bytes nested;
  nested.header(0, 1).text("k").number<uint32_t>(testing::kArray).number<uint32_t>(testing::kArray);
  nested.number<uint64_t>(1).number<uint32_t>(testing::kU8).number<uint64_t>(0);
  EXPECT_ERROR(read(nested), Code::bad_model_file, "list of lists");
  EXPECT_ERROR(read(Bytes().header(0, 1).text("k").number<uint32_t>(13).number<uint64_t>(0)), Code::bad_model_file,
               "unknown type 13");
  Bytes wide;
  wide.header(0, 1).text("k").number<uint32_t>(testing::kU64).number(~0ull);
  EXPECT_ERROR(read(wide), Code::bad_model_file, "beyond 2^63");
  EXPECT_ERROR(read(Bytes().header(0, 2).item("k", 1).item("k", 2)), Code::bad_model_file, "there twice");
}

TEST(GgufReader, NamesVersionsThatAreNotBuilt) {
  EXPECT_ERROR(read(Bytes().header(0, 0, 1)), Code::unsupported_model, "version 1");
  EXPECT_ERROR(read(Bytes().header(0, 0, 4)), Code::unsupported_model, "version 4");
  EXPECT_ERROR(read(Bytes().header(0, 0, 0x03000000)), Code::unsupported_model, "big endian");
  EXPECT_ERROR(read(Bytes().raw("GGML").number(1)), Code::bad_model_file, "does not begin with 'GGUF'");
  EXPECT_ERROR(read(Bytes()), Code::bad_model_file, "does not begin with 'GGUF'");
}

Bytes one_tensor(std::initializer_list<uint64_t> dims, uint32_t type, uint64_t offset = 0, size_t data = 4096) {
  Bytes b;
  b.header(1, 0).tensor("t", dims, type, offset).pad(32).raw(std::string(data, '\0'));
  return b;
}

TEST(GgufReader, ChecksShapes) {
  EXPECT_EQ(read(one_tensor({32, 2, 2, 2}, 0)).tensors[0].elements(), 256);
  EXPECT_EQ(read(one_tensor({}, 0)).tensors[0].elements(), 1);
  EXPECT_ERROR(read(one_tensor({0}, 0)), Code::bad_model_file, "dimension of 0");
  EXPECT_ERROR(read(one_tensor({4, 0}, 0)), Code::bad_model_file, "dimension of 0");
  EXPECT_ERROR(read(one_tensor({~0ull}, 0)), Code::bad_model_file, "dimension");
  EXPECT_ERROR(read(one_tensor({1ull << 32, 1ull << 32}, 0)), Code::bad_model_file, "more elements");
  EXPECT_ERROR(read(one_tensor({1ull << 62}, 0)), Code::bad_model_file, "more bytes");
  EXPECT_ERROR(read(one_tensor({1ull << 40}, 0)), Code::bad_model_file, "beyond the end");
  EXPECT_ERROR(read(one_tensor({1, 1, 1, 1, 1}, 0)), Code::bad_model_file, "5 dimensions");
  EXPECT_ERROR(read(one_tensor({33}, 2)), Code::bad_model_file, "not a multiple of the 32 of a Q4_0 block");
  EXPECT_ERROR(read(one_tensor({128}, 12)), Code::bad_model_file, "not a multiple of the 256 of a Q4_K block");
}

TEST(GgufReader, ChecksPlaces) {
  EXPECT_ERROR(read(one_tensor({8}, 0, 31)), Code::bad_model_file, "not aligned to 32");
  EXPECT_ERROR(read(one_tensor({8}, 0, ~31ull)), Code::bad_model_file, "beyond the end");
  EXPECT_ERROR(read(one_tensor({8}, 0, 4096)), Code::bad_model_file, "beyond the end");
  Bytes overlap;
  overlap.header(2, 0).tensor("a", {16}, 0, 0).tensor("b", {8}, 0, 32).pad(32).raw(std::string(128, '\0'));
  EXPECT_ERROR(read(overlap), Code::bad_model_file, "'a' and 'b' overlap");
  Bytes aligned;
  aligned.header(1, 1).item("general.alignment", 128).tensor("a", {1}, 0, 128).pad(128).raw(std::string(132, 'x'));
  EXPECT_EQ(read(aligned).tensors[0].data.size(), 4u);
  for (const uint32_t alignment : {0u, 3u, 0x80000000u}) {
    Bytes bad;
    bad.header(1, 1).item("general.alignment", alignment).tensor("a", {1}, 0, 0).pad(32).raw("xxxx");
    EXPECT_ERROR(read(bad), Code::bad_model_file, "general.alignment");
  }
}

TEST(GgufReader, RefusesTypesThatAreNotBuiltWithTheNearest) {
  const std::tuple<uint32_t, const char*, const char*> cases[] = {
      {16, "IQ2_XXS", "Q2_K"},  {19, "IQ1_S", "Q2_K"},   {21, "IQ3_S", "Q3_K_M"},
      {34, "TQ1_0", "Q2_K"},    {39, "MXFP4", "Q4_K_M"}, {40, "NVFP4", "Q4_K_M"},
      {31, "Q4_0_4_4", "Q4_0"}, {9, "Q8_1", "Q8_0"},     {77, "type number 77", "Q4_K_M"}};
  for (const auto& [id, name, nearest] : cases) {
    const Bytes file = one_tensor({256}, id);
    EXPECT_ERROR(read(file), Code::unsupported_model, name);
    EXPECT_THAT(testing::error_of([&] { read(file); })->hint(), ::testing::HasSubstr(nearest));
    EXPECT_TRUE(read(file, false).tensors.empty());
  }
}

TEST(GgufReader, MessagesShowHostileNamesSafely) {
  const std::string name = std::string("\x1b[2J\n") + std::string(5000, 'x');
  Bytes file;
  file.header(1, 0).tensor(name, {0}, 0, 0);
  const auto error = testing::error_of([&] { read(file); });
  ASSERT_TRUE(error);
  EXPECT_THAT(error->what(), ::testing::HasSubstr("\\x1b[2J\\x0a"));
  EXPECT_LT(std::strlen(error->what()), 300u);
}

TEST(GgufReader, MetadataOfAWrongTypeIsAnErrorThatNamesTheKey) {
  const GgufContents contents = read(whole_file());
  EXPECT_ERROR(contents.metadata.integer("f32"), Code::bad_model_file, "'f32' is not an integer");
  EXPECT_ERROR(contents.metadata.text("u8"), Code::bad_model_file, "'u8'");
  EXPECT_ERROR(contents.metadata.integer("none"), Code::bad_model_file, "'none' is missing");
  EXPECT_ERROR(contents.metadata.strings("ints"), Code::bad_model_file, "'ints'");
  EXPECT_ERROR(contents.metadata.boolean("u8", true), Code::bad_model_file, "'u8'");
}

TEST(GgufReader, NamesTheOtherPartsOfASplitFile) {
  EXPECT_THAT(gguf_split_names("m-00002-of-00003.gguf"),
              ElementsAre("m-00001-of-00003.gguf", "m-00002-of-00003.gguf", "m-00003-of-00003.gguf"));
  for (const char* name : {"m.gguf", "m-00000-of-00003.gguf", "m-00004-of-00003.gguf", "m-0000x-of-00003.gguf",
                           "m-00001-of-00003.bin", "-00001-of-00003.gguf"}) {
    EXPECT_TRUE(gguf_split_names(name).empty()) << name;
  }
}

}  // namespace
}  // namespace autoglm
