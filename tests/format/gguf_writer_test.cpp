#include "format/gguf_writer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include "base/mmap.h"
#include "format/test_files.h"

namespace autoglm {
namespace {

namespace fs = std::filesystem;
using testing::TemporaryFolder;

size_t files_in(const fs::path& folder) {
  return static_cast<size_t>(std::distance(fs::directory_iterator(folder), fs::directory_iterator()));
}

Metadata sample_metadata() {
  Metadata meta;
  meta.set("general.architecture", std::string("llama"));
  meta.set("llama.block_count", int64_t{2});
  meta.set("negative", int64_t{-5});
  meta.set("wide", int64_t{1} << 40);
  meta.set("very_negative", -(int64_t{1} << 40));
  meta.set("fraction", 0.25);
  meta.set("large", 1e300);
  meta.set("flag", true);
  meta.set("text", std::string("中文\0x", 8));
  meta.set("ints", MetaArray(std::vector<int64_t>{1, -2, 3}));
  meta.set("wide_ints", MetaArray(std::vector<int64_t>{1, int64_t{1} << 40}));
  meta.set("tokenizer.ggml.precompiled_charsmap", MetaArray(std::vector<int64_t>{0, 255, 7}));
  meta.set("fractions", MetaArray(std::vector<double>{0.5, -1.5}));
  meta.set("flags", MetaArray(std::vector<bool>{true, false, true}));
  meta.set("texts", MetaArray(std::vector<std::string>{"a", "", "c"}));
  meta.set("empty", MetaArray(std::vector<int64_t>{}));
  return meta;
}

std::vector<std::byte> pattern(int64_t size, int seed) {
  std::vector<std::byte> data(static_cast<size_t>(size));
  for (size_t i = 0; i < data.size(); ++i) data[i] = static_cast<std::byte>(i * 7 + static_cast<size_t>(seed));
  return data;
}

TEST(GgufWriter, FileReadsBackIdentical) {
  const TemporaryFolder folder;
  const fs::path path = folder.path() / "out.gguf";
  const Metadata meta = sample_metadata();
  const std::vector<GgufTensor> tensors = {
      {"a", Type::f32, {3, 2}}, {"b", Type::q4_k, {2, 256}}, {"c", Type::q8_0, {2, 3, 32}}, {"d", Type::bf16, {5}}};
  std::vector<std::byte> all;
  GgufWriter writer(path, meta, tensors);
  for (size_t i = 0; i < tensors.size(); ++i) {
    const auto data = pattern(tensors[i].bytes(), static_cast<int>(i));
    all.insert(all.end(), data.begin(), data.end());
  }
  EXPECT_EQ(writer.remaining(), static_cast<int64_t>(all.size()));
  EXPECT_FALSE(fs::exists(path));
  for (size_t begin = 0; begin < all.size(); begin += 100) {  // pieces that cross the borders of tensors
    writer.write(std::span(all).subspan(begin, std::min<size_t>(100, all.size() - begin)));
  }
  EXPECT_EQ(writer.remaining(), 0);
  EXPECT_FALSE(fs::exists(path));
  writer.finish();
  EXPECT_EQ(files_in(folder.path()), 1u);

  const auto source = open_model(path);
  EXPECT_EQ(source->metadata().all(), meta.all());
  ASSERT_EQ(source->tensors().size(), tensors.size());
  for (size_t i = 0; i < tensors.size(); ++i) {
    const TensorEntry& entry = source->tensors()[i];
    EXPECT_EQ(entry.name, tensors[i].name);
    EXPECT_EQ(entry.type, tensors[i].type);
    EXPECT_EQ(entry.shape, tensors[i].shape);
    EXPECT_TRUE(std::ranges::equal(entry.data, pattern(tensors[i].bytes(), static_cast<int>(i)))) << entry.name;
  }
}

// The original came from llama.cpp's tools: the same bytes mean the same types of numbers, order and padding.
TEST(GgufWriter, CopyOfARealModelIsTheSameFile) {
  const TemporaryFolder folder;
  const fs::path original = AUTOGLM_ORACLE_DIR "/smollm2-135m-q4_1.gguf";
  const auto source = open_model(original);
  std::vector<GgufTensor> tensors;
  for (const TensorEntry& entry : source->tensors()) tensors.push_back({entry.name, entry.type, entry.shape});
  GgufWriter writer(folder.path() / "copy.gguf", source->metadata(), tensors);
  for (const TensorEntry& entry : source->tensors()) writer.write(entry.data);
  writer.finish();
  const MappedFile left(original);
  const MappedFile right(folder.path() / "copy.gguf");
  EXPECT_TRUE(std::ranges::equal(left.bytes(), right.bytes()));
}

TEST(GgufWriter, NothingIsLeftOfAnUnfinishedFile) {
  const TemporaryFolder folder;
  folder.write("out.gguf", "before");
  {
    GgufWriter writer(folder.path() / "out.gguf", sample_metadata(), {{"a", Type::f32, {100}}});
    writer.write(pattern(8, 0));
    EXPECT_EQ(files_in(folder.path()), 2u);
  }
  EXPECT_EQ(files_in(folder.path()), 1u);
  EXPECT_EQ(fs::file_size(folder.path() / "out.gguf"), 6u);  // the older file is untouched
}

TEST(GgufWriter, SaysWhyItCannotWrite) {
  const TemporaryFolder folder;
  EXPECT_ERROR(GgufWriter(folder.path() / "gone" / "out.gguf", {}, {}), Code::bad_flag, "out.gguf");
  // More than any disk has: refused before a byte is written.
  EXPECT_ERROR(GgufWriter(folder.path() / "out.gguf", {}, {{"a", Type::f32, {int64_t{1} << 50}}}), Code::disk_full,
               "left");
  EXPECT_EQ(files_in(folder.path()), 0u);
}

}  // namespace
}  // namespace autoglm
