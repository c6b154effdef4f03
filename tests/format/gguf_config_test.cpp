#include "format/gguf_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <utility>

#include "format/test_files.h"

namespace autoglm {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

Metadata metadata(std::initializer_list<std::pair<const char*, MetaValue>> items) {
  Metadata result;
  result.set("general.architecture", std::string("llama"));
  result.set("tokenizer.ggml.model", std::string("gpt2"));  // not of the architecture: others read it
  for (const auto& [key, value] : items) result.set(std::string("llama.") + key, value);
  return result;
}

TEST(GgufConfig, ReadsTypedValues) {
  const Metadata meta = metadata({{"block_count", int64_t{3}},
                                  {"eps", 1e-5},
                                  {"flag", true},
                                  {"heads", MetaArray(std::vector<int64_t>{4, 8, 4, 9})},
                                  {"pattern", MetaArray(std::vector<bool>{true, false, true})}});
  GgufConfig config(meta);
  EXPECT_EQ(config.architecture(), "llama");
  EXPECT_EQ(config.count("block_count"), 3);
  EXPECT_EQ(config.number("eps"), 1e-5);
  EXPECT_TRUE(config.boolean("flag", false));
  EXPECT_THAT(config.per_layer("heads", 3), ElementsAre(4, 8, 4));
  EXPECT_THAT(config.per_layer("block_count", 2), ElementsAre(3, 3));
  EXPECT_THAT(config.per_layer("absent", 2, 9), ElementsAre(9, 9));
  EXPECT_THAT(config.flags("pattern", 3), ElementsAre(true, false, true));
  EXPECT_THAT(config.flags("absent", 3), IsEmpty());
  EXPECT_EQ(config.integer("absent", -1), -1);
  config.finish();
  EXPECT_ERROR(config.per_layer("heads", 5), Code::bad_model_file, "4 values for 5 layers");
  EXPECT_ERROR(config.per_layer("gone", 5), Code::bad_model_file, "'llama.gone' is missing");
  EXPECT_ERROR(config.count("gone"), Code::bad_model_file, "'llama.gone' is missing");
}

// How embeddings are pooled changes nothing in the layers.
TEST(GgufConfig, FinishRefusesWhatNobodyRead) {
  const Metadata meta = metadata({{"block_count", int64_t{3}}, {"pooling_type", int64_t{1}}, {"strange.scale", 2.0}});
  GgufConfig config(meta);
  config.count("block_count");
  EXPECT_TRUE(config.has("strange.scale"));
  EXPECT_ERROR(config.finish(), Code::unsupported_model, "'llama.strange.scale' is not understood");
  config.accept("strange.scale");
  config.finish();
}

TEST(GgufConfig, ChecksRanges) {
  const Metadata meta = metadata({{"zero", int64_t{0}},
                                  {"wide", int64_t{1} << 40},
                                  {"nan", std::numeric_limits<double>::quiet_NaN()},
                                  {"two", int64_t{2}}});
  GgufConfig config(meta);
  EXPECT_ERROR(config.count("zero"), Code::bad_model_file, "'llama.zero' is 0");
  EXPECT_ERROR(config.count("wide"), Code::bad_model_file, "'llama.wide'");
  EXPECT_ERROR(config.number("nan"), Code::bad_model_file, "'llama.nan'");
  EXPECT_ERROR(config.require("two", 1), Code::unsupported_model, "'llama.two' is 2; only 1");
  EXPECT_ERROR(GgufConfig(Metadata()), Code::bad_model_file, "general.architecture");
}

TEST(GgufConfig, Rope) {
  const Metadata plain = metadata({{"rope.freq_base", 1e6}, {"rope.dimension_count", int64_t{64}}});
  GgufConfig config(plain);
  const RopeParameters rope = config.rope();
  EXPECT_EQ(rope.theta, 1e6);
  EXPECT_EQ(rope.dims, 64);
  EXPECT_EQ(rope.scaling, RopeScaling::none);
  config.finish();

  const Metadata linear = metadata({{"rope.scaling.type", std::string("linear")}, {"rope.scaling.factor", 8.0}});
  GgufConfig scaled(linear);
  EXPECT_EQ(scaled.rope().scaling, RopeScaling::linear);
  EXPECT_EQ(scaled.rope().factor, 8.0);
  scaled.finish();

  const Metadata old = metadata({{"rope.scale_linear", 0.25}});
  EXPECT_EQ(GgufConfig(old).rope().scaling, RopeScaling::linear);

  const Metadata yarn = metadata({{"rope.scaling.type", std::string("yarn")}});
  EXPECT_ERROR(GgufConfig(yarn).rope(), Code::unsupported_model, "'yarn'");
  const Metadata bad = metadata({{"rope.freq_base", 0.0}});
  EXPECT_ERROR(GgufConfig(bad).rope(), Code::bad_model_file, "rope.freq_base");
}

}  // namespace
}  // namespace autoglm
