#include "compress/imatrix.h"

#include <gtest/gtest.h>

#include <fstream>

#include "base/error.h"
#include "format/gguf_writer.h"
#include "support/temporary_folder.h"

namespace autoglm {
namespace {

std::filesystem::path write(const std::filesystem::path& folder, const std::string& type,
                            const std::vector<float>& sums, const std::vector<float>& counts) {
  const std::filesystem::path path = folder / "imatrix.gguf";
  Metadata metadata;
  metadata.set("general.type", type);
  const auto matrices = std::ssize(counts);
  GgufWriter writer(path, metadata,
                    {{"blk.0.ffn_down_exps.weight.in_sum2", Type::f32, {matrices, std::ssize(sums) / matrices}},
                     {"blk.0.ffn_down_exps.weight.counts", Type::f32, {matrices, 1}}});
  writer.write(std::as_bytes(std::span(sums)));
  writer.write(std::as_bytes(std::span(counts)));
  writer.finish();
  return path;
}

TEST(Imatrix, MeansOfSquares) {
  test::TemporaryFolder folder;
  const Importance read = read_imatrix(write(folder.path(), "imatrix", {8, 16, 24, 3, 6, 9, 0, 0, 0}, {4, 1, 0}));
  const std::vector<float> expected = {2, 4, 6, 3, 6, 9, 11.0f / 5, 22.0f / 5, 33.0f / 5};
  EXPECT_EQ(read.at("blk.0.ffn_down_exps.weight"), expected);
}

TEST(Imatrix, WhatIsNoneIsRefused) {
  test::TemporaryFolder folder;
  EXPECT_THROW(read_imatrix(write(folder.path(), "model", {1}, {1})), Error);
  EXPECT_THROW(read_imatrix(write(folder.path(), "imatrix", {-1}, {1})), Error);
  EXPECT_THROW(read_imatrix(write(folder.path(), "imatrix", {std::nanf("")}, {1})), Error);
  std::ofstream(folder.path() / "old.dat") << "not GGUF";
  EXPECT_THROW(read_imatrix(folder.path() / "old.dat"), Error);
}

}  // namespace
}  // namespace autoglm
