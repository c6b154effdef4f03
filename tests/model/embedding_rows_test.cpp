// Rows of an embedding that are read from the file are the file's, whatever was in their slot before.
#include "model/embedding_rows.h"

#include <gtest/gtest.h>

#include <random>

#include "format/type.h"
#include "model/families/family.h"
#include "model/model_support.h"
#include "model/random_weights.h"

namespace autoglm {
namespace {

// 1 KiB a row: 4,096 rows have a slot, the other tokens share them.
constexpr int64_t kVocabulary = 20000, kHidden = 512, kSlots = 4096;
constexpr const char* kConfig =
    R"({"model_type":"llama","vocab_size":20000,"hidden_size":512,"intermediate_size":64,"num_hidden_layers":1,
"num_attention_heads":4,"num_key_value_heads":2,"max_position_embeddings":64,"rms_norm_eps":1e-5,"rope_theta":10000.0,
"tie_word_embeddings":false})";

class EmbeddingRowsOfAFile : public testing::Test {
 protected:
  void SetUp() override {
    WorkerPool pool({.threads = 2});
    const auto made = random_model({"wide", kConfig}, ShapeTable::built_in().recipe("BF16"), 1, pool);
    write_random_model(*made, file_, {});
    source_ = open_model(file_);
    spec_ = read_spec(*source_);
    for (const LocatedTensor& tensor : locate_tensors(spec_, *source_)) {
      if (tensor.row->role == Role::token_embedding) embedding_ = tensor;
    }
    begin_ = embedding_.view().data();
  }

  /// A step of these tokens gives the file's rows.
  void expect_rows(EmbeddingRows& rows, const std::vector<int32_t>& tokens) {
    const auto places = rows.find(tokens);
    ASSERT_EQ(places.size(), tokens.size());
    const auto count = std::ssize(tokens);
    Buffer out = runtime_.backend->make_buffer(count, kHidden);
    runtime_.backend->begin_step(count, places);
    runtime_.backend->embed({.table = &rows.table(), .tokens = places, .scale = 1, .out = &out});
    std::vector<float> got(static_cast<size_t>(count * kHidden)), want(static_cast<size_t>(kHidden));
    runtime_.backend->read(out, 0, got);
    for (size_t i = 0; i < tokens.size(); ++i) {
      info(embedding_.type).decode(begin_ + tokens[i] * row_bytes(embedding_.type, kHidden), want.data(), kHidden);
      EXPECT_TRUE(std::equal(want.begin(), want.end(), got.begin() + static_cast<int64_t>(i) * kHidden))
          << "row " << i << ", token " << tokens[i];
    }
  }

  test::TemporaryFolder folder_;
  std::string file_ = folder_ / "wide.gguf";
  Runtime runtime_ = test::test_runtime("ref");
  std::shared_ptr<const ModelSource> source_;
  ArchSpec spec_;
  LocatedTensor embedding_;
  const std::byte* begin_ = nullptr;
};

TEST_F(EmbeddingRowsOfAFile, AreTheFilesWhateverWasThereBefore) {
  EmbeddingRows rows(*source_, embedding_, *runtime_.backend, 6);
  ASSERT_TRUE(rows.active());
  // Tokens of one slot in one step, the same token twice on either side of that, and then the others first.
  expect_rows(rows, {7, 7 + kSlots, 7, 7 + 2 * kSlots, 7 + kSlots, 8});
  expect_rows(rows, {7 + kSlots, 7, 8});
  expect_rows(rows, {7, kVocabulary - 1, 0, 7 + kSlots});
  std::mt19937 random(1);
  for (int step = 0; step < 200; ++step) {
    std::vector<int32_t> tokens(1 + random() % 6);
    for (int32_t& token : tokens) token = static_cast<int32_t>(random() % 5 * kSlots % kVocabulary + random() % 3);
    expect_rows(rows, tokens);
  }
}

TEST_F(EmbeddingRowsOfAFile, OfACutFileAreAnErrorAndNotWhatWasThere) {
  EmbeddingRows rows(*source_, embedding_, *runtime_.backend, 2);
  expect_rows(rows, {9});
  std::filesystem::resize_file(file_, 64);
  const std::vector<int32_t> other = {9 + kSlots};
  for (int i = 0; i < 2; ++i) {
    try {
      rows.find(other);
      ADD_FAILURE() << "time " << i;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), Code::bad_model_file);
    }
  }
}

}  // namespace
}  // namespace autoglm
