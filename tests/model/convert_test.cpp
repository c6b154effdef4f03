// What convert writes is the same model: read back from GGUF, it gives the logits of transformers.
#include "model/convert.h"

#include "model/families/family.h"
#include "model/model_support.h"

namespace autoglm::test {
namespace {

class ConvertTest : public testing::TestWithParam<std::string> {
 protected:
  fs::path convert(const ModelSource& source, Type type, const std::string& name) {
    const fs::path out = scratch_.path() / name;
    ConvertOptions options;
    options.type = type;
    const int64_t bytes = convert_model(source, out, options);
    EXPECT_EQ(bytes, static_cast<int64_t>(fs::file_size(out)));
    return out;
  }
  TemporaryFolder scratch_;
};

TEST_P(ConvertTest, KeepsTheLogits) {
  const Golden golden = read_golden(GetParam());
  const auto source = open_golden(GetParam(), "config.json", scratch_.path());
  const std::shared_ptr<const ModelSource> exact = open_model(convert(*source, Type::f32, "f32.gguf"));
  for (std::string_view isa : usable_isas()) {
    EXPECT_LT(max_error(run_tokens(exact, isa, golden.tokens), golden.logits), 1e-3) << isa;
  }
  for (Type type : {Type::f16, Type::bf16}) {
    const std::shared_ptr<const ModelSource> rounded = open_model(convert(*source, type, "rounded.gguf"));
    const auto logits = run_tokens(rounded, "ref", golden.tokens);
    EXPECT_LT(mean_kld(logits, golden.logits, golden.vocabulary), 0.005) << info(type).name;
  }
}

TEST_P(ConvertTest, KeepsTheSpecification) {
  const auto source = open_golden(GetParam(), "config.json", scratch_.path());
  const ArchSpec before = read_spec(*source);
  const ArchSpec after = read_spec(*open_model(convert(*source, Type::f32, "f32.gguf")));
  EXPECT_EQ(after.layers, before.layers);
  EXPECT_EQ(after.train_context, before.train_context);
  EXPECT_EQ(after.heads, before.heads);
  EXPECT_EQ(after.kv_heads, before.kv_heads);
  EXPECT_EQ(after.window, before.window);
  EXPECT_EQ(after.moe, before.moe);
  EXPECT_EQ(after.tied_head, before.tied_head);
  if (!before.qk_norm) {  // else folded into the norm
    EXPECT_FLOAT_EQ(after.attention_scale, before.attention_scale);
  }
  EXPECT_FLOAT_EQ(after.logit_softcap, before.logit_softcap);
  EXPECT_EQ(count_parameters(after), count_parameters(before));
}

TEST_P(ConvertTest, AConvertedFileConvertsToItself) {
  const auto source = open_golden(GetParam(), "config.json", scratch_.path());
  const auto first = open_model(convert(*source, Type::f32, "first.gguf"));
  const auto second = open_model(convert(*first, Type::f32, "second.gguf"));
  ASSERT_EQ(first->tensors().size(), second->tensors().size());
  for (const TensorEntry& tensor : first->tensors()) {
    const TensorEntry* other = second->find(tensor.name);
    ASSERT_NE(other, nullptr) << tensor.name;
    EXPECT_TRUE(std::equal(tensor.data.begin(), tensor.data.end(), other->data.begin(), other->data.end()))
        << tensor.name;
  }
}

INSTANTIATE_TEST_SUITE_P(Families, ConvertTest, testing::ValuesIn(golden_names()), test_name);

TEST(Convert, RefusesOtherTypes) {
  TemporaryFolder scratch;
  const auto source = open_golden("llama-a", "config.json", scratch.path());
  ConvertOptions options;
  options.type = Type::q4_0;
  try {
    convert_model(*source, scratch.path() / "out.gguf", options);
    FAIL() << "Q4_0 was accepted";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Code::bad_flag);
    EXPECT_THAT(error.what(), testing::HasSubstr("Q4_0"));
  }
  EXPECT_FALSE(fs::exists(scratch.path() / "out.gguf"));
}

}  // namespace
}  // namespace autoglm::test
