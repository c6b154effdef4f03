#include "format/safetensors_reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "format/test_files.h"

namespace autoglm {
namespace {

using testing::as_bytes;
using testing::Bytes;

std::string file_of(const std::string& header, size_t data) {
  Bytes b;
  return b.number<uint64_t>(header.size()).raw(header).raw(std::string(data, '\1')).str();
}

std::vector<TensorEntry> read(const std::string& file) { return read_safetensors(as_bytes(file), "m.safetensors"); }

std::string entry(const std::string& rest) { return R"({"t":{)" + rest + "}}"; }

TEST(SafetensorsReader, ReadsTensors) {
  const std::string file = file_of(
      R"({"__metadata__":{"format":"pt"},"a":{"dtype":"BF16","shape":[2,3],"data_offsets":[0,12]},)"
      R"("s":{"dtype":"F32","shape":[],"data_offsets":[12,16]},"i":{"dtype":"I64","shape":[1],"data_offsets":[16,24]}}   )",
      24);
  const auto tensors = read(file);
  ASSERT_EQ(tensors.size(), 3u);
  EXPECT_EQ(tensors[0].name, "a");
  EXPECT_EQ(tensors[0].type, Type::bf16);
  EXPECT_THAT(tensors[0].shape, ::testing::ElementsAre(2, 3));
  EXPECT_EQ(tensors[0].data.size(), 12u);
  EXPECT_EQ(tensors[1].elements(), 1);
  EXPECT_EQ(tensors[2].type, Type::i64);
  EXPECT_EQ(reinterpret_cast<const char*>(tensors[2].data.data()) - file.data(),
            static_cast<std::ptrdiff_t>(file.size() - 8));
}

TEST(SafetensorsReader, EveryCutIsAnError) {
  const std::string file = file_of(entry(R"("dtype":"F32","shape":[2],"data_offsets":[0,8])"), 8);
  EXPECT_EQ(read(file).size(), 1u);
  for (size_t length = 0; length < file.size(); ++length) {
    EXPECT_ERROR(read(file.substr(0, length)), Code::bad_model_file, "m.safetensors");
  }
}

TEST(SafetensorsReader, RefusesWhatDoesNotFit) {
  const auto refused = [](const std::string& fields, const char* words) {
    EXPECT_ERROR(read(file_of(entry(fields), 64)), Code::bad_model_file, words);
  };
  refused(R"("dtype":"F32","shape":[2],"data_offsets":[0,4])", "shape needs 8");
  refused(R"("dtype":"F32","shape":[2],"data_offsets":[60,68])", "beyond the end");
  refused(R"("dtype":"F32","shape":[2],"data_offsets":[8,0])", "begin and an end");
  refused(R"("dtype":"F32","shape":[2],"data_offsets":[0,8,16])", "not two numbers");
  refused(R"("dtype":"F32","shape":[2],"data_offsets":[0,-8])", "not two numbers");
  refused(R"("dtype":"F32","shape":[2],"data_offsets":[0,18446744073709551615])", "beyond the end");
  refused(R"("dtype":"F32","shape":[-2],"data_offsets":[0,8])", "dimension of -2");
  refused(R"("dtype":"F32","shape":[0],"data_offsets":[0,0])", "dimension of 0");
  refused(R"("dtype":"F32","shape":[9007199254740993,4611686018427387904],"data_offsets":[0,8])", "more elements");
  refused(R"("dtype":"F32","shape":[4611686018427387904],"data_offsets":[0,8])", "more bytes");
  refused(R"("dtype":"F32","shape":[1.5],"data_offsets":[0,8])", "integers");
  refused(R"("dtype":"F32","shape":[1,1,1,1,1,1,1,1,1],"data_offsets":[0,4])", "8 dimensions");
  refused(R"("dtype":"F32","data_offsets":[0,8])", "no shape");
  refused(R"("shape":[2],"data_offsets":[0,8])", "no dtype");
  refused(R"("dtype":"F32","shape":[2])", "no data_offsets");
  EXPECT_ERROR(read(file_of(R"({"t":5})", 8)), Code::bad_model_file, "not described");
  EXPECT_ERROR(read(file_of("[]", 8)), Code::bad_model_file, "not a JSON object");
  EXPECT_ERROR(read(file_of(std::string(100000, '['), 8)), Code::bad_model_file, "not valid JSON");
  EXPECT_ERROR(read(file_of(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},)"
                            R"("b":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})",
                            8)),
               Code::bad_model_file, "overlap");
  EXPECT_ERROR(read(Bytes().number(~0ull).raw("{}").str()), Code::bad_model_file, "announces a header");
}

TEST(SafetensorsReader, NamesTypesThatAreNotBuilt) {
  for (const char* type : {"F8_E4M3", "F8_E5M2", "U8", "U32", "F4"}) {
    EXPECT_ERROR(read(file_of(entry(R"("dtype":")" + std::string(type) + R"(","shape":[2],"data_offsets":[0,2])"), 8)),
                 Code::unsupported_model, type);
  }
}

}  // namespace
}  // namespace autoglm
