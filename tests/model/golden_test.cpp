// Every family against the logits that transformers gave (tests/data/models, tools/make_goldens.py), from safetensors
// with both forms of the configuration, on every ISA that this CPU has.
#include "model/model_support.h"

namespace autoglm::test {
namespace {

class GoldenTest : public testing::TestWithParam<std::string> {
 protected:
  TemporaryFolder scratch_;
};

// Every prompt length that the golden names: a row's logits must not depend on what follows it.
void expect_golden(const std::shared_ptr<const ModelSource>& source, const Golden& golden, const std::string& what) {
  for (std::string_view isa : usable_isas()) {
    for (int64_t length : golden.lengths) {
      const std::span<const int32_t> tokens(golden.tokens.data(), static_cast<size_t>(length));
      const auto expected = std::span(golden.logits).first(static_cast<size_t>(length * golden.vocabulary));
      const auto exact = run_tokens(source, isa, tokens);
      ASSERT_EQ(exact.size(), expected.size());
      EXPECT_LT(max_error(exact, expected), 1e-3) << what << " on " << isa << ", " << length << " tokens, f32";
      const auto automatic =
          run_tokens(source, isa, tokens, {.precision = Precision::automatic, .kv_type = KvType::q8});
      EXPECT_LT(mean_kld(automatic, expected, golden.vocabulary), 0.005)
          << what << " on " << isa << ", " << length << " tokens, auto";
    }
  }
}

TEST_P(GoldenTest, FromNestedConfiguration) {
  expect_golden(open_golden(GetParam(), "config.json", scratch_.path()), read_golden(GetParam()), "config.json");
}

TEST_P(GoldenTest, FromFlatConfiguration) {
  if (!fs::exists(models_folder() / GetParam() / "config.flat.json")) return;  // chatglm has one form only
  expect_golden(open_golden(GetParam(), "config.flat.json", scratch_.path()), read_golden(GetParam()), "flat");
}

INSTANTIATE_TEST_SUITE_P(Families, GoldenTest, testing::ValuesIn(golden_names()), test_name);

TEST(Golden, EveryFamilyHasOne) {
  const auto names = golden_names();
  for (const char* family :
       {"llama", "qwen2", "qwen3", "qwen3_moe", "gemma3", "chatglm", "glm", "glm4", "glm4_moe", "glm4_moe_lite"}) {
    const auto shapes = std::count_if(
        names.begin(), names.end(), [&](const std::string& name) { return name.substr(0, name.rfind('-')) == family; });
    EXPECT_GE(shapes, 2) << family;
  }
}

}  // namespace
}  // namespace autoglm::test
