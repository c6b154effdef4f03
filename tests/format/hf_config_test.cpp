#include "format/hf_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "format/test_files.h"

namespace autoglm {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST(HfConfig, ReadsTypedValues) {
  HfConfig config(R"({"model_type": "llama", "hidden_size": 64, "whole": 128.0, "eps": 1e-5, "tie": true, "none": null,
                      "layer_types": ["full_attention", "sliding_attention"], "ids": [1, 2], "id": 7})");
  EXPECT_EQ(config.model_type(), "llama");
  EXPECT_EQ(config.integer("hidden_size"), 64);
  EXPECT_EQ(config.count("whole"), 128);
  EXPECT_EQ(config.number("eps"), 1e-5);
  EXPECT_EQ(config.number("hidden_size"), 64.0);
  EXPECT_TRUE(config.boolean("tie", false));
  EXPECT_FALSE(config.has("none"));
  EXPECT_EQ(config.integer("none", 5), 5);
  EXPECT_EQ(config.count("absent", 3), 3);
  EXPECT_EQ(config.text("absent", "x"), "x");
  EXPECT_THAT(config.texts("layer_types"), ElementsAre("full_attention", "sliding_attention"));
  EXPECT_THAT(config.integers("ids"), ElementsAre(1, 2));
  EXPECT_THAT(config.integers("id"), ElementsAre(7));
  EXPECT_THAT(config.integers("absent"), IsEmpty());
  config.finish();
}

TEST(HfConfig, WrongValuesNameTheKey) {
  HfConfig config(R"({"a": "x", "b": 1.5, "c": 0, "d": 18446744073709551615, "e": [1], "f": -1, "g": [1, "x"]})",
                  "dir/config.json");
  EXPECT_ERROR(config.integer("a"), Code::bad_model_file, "dir/config.json: 'a' is not an integer");
  EXPECT_ERROR(config.integer("b"), Code::bad_model_file, "'b' is not an integer");
  EXPECT_ERROR(config.count("c"), Code::bad_model_file, "'c' is 0");
  EXPECT_ERROR(config.count("f"), Code::bad_model_file, "'f' is -1");
  EXPECT_ERROR(config.integer("d"), Code::bad_model_file, "'d' is beyond");
  EXPECT_ERROR(config.number("a"), Code::bad_model_file, "'a' is not a number");
  EXPECT_ERROR(config.text("e"), Code::bad_model_file, "'e' is not a text");
  EXPECT_ERROR(config.boolean("c", false), Code::bad_model_file, "'c' is not true or false");
  EXPECT_ERROR(config.integers("g"), Code::bad_model_file, "'g' is not an integer");
  EXPECT_ERROR(config.integer("gone"), Code::bad_model_file, "'gone' is missing");
  EXPECT_ERROR(HfConfig("{"), Code::bad_model_file, "not valid JSON");
  EXPECT_ERROR(HfConfig("[1]"), Code::bad_model_file, "not a JSON object");
  EXPECT_ERROR(HfConfig(R"({"x": 1e999})"), Code::bad_model_file, "out of range");
  EXPECT_ERROR(HfConfig(std::string(1000000, '[')), Code::bad_model_file, "not valid JSON");
}

TEST(HfConfig, FinishRefusesWhatNobodyRead) {
  HfConfig config(R"({"hidden_size": 64, "transformers_version": "5", "initializer_range": 0.02, "use_cache": true,
                      "is_encoder_decoder": false, "unknown": null, "mup_scale": 2.0})");
  config.integer("hidden_size");
  EXPECT_ERROR(config.finish(), Code::unsupported_model, "'mup_scale' is not understood");
  config.accept("mup_scale");
  config.finish();

  HfConfig set(R"({"is_encoder_decoder": true})");
  EXPECT_ERROR(set.finish(), Code::unsupported_model, "'is_encoder_decoder' is set");
  HfConfig untouched(R"({"sliding_window": 4096})");
  EXPECT_FALSE(!untouched.has("sliding_window"));  // looking is not reading
  EXPECT_ERROR(untouched.finish(), Code::unsupported_model, "'sliding_window'");
}

TEST(HfConfig, RequireRefusesOtherValues) {
  HfConfig config(R"({"flag": true, "count": 2, "name": "relu", "scale": 0.5})");
  config.require("flag", true);
  config.require("count", 2);
  config.require("name", "relu");
  config.require("scale", 0.5);
  config.require("absent", 3);
  config.finish();
  EXPECT_ERROR(config.require("flag", false), Code::unsupported_model, "'flag' is true");
  EXPECT_ERROR(config.require("count", 1), Code::unsupported_model, "'count' is 2; only 1");
  EXPECT_ERROR(config.require("name", "silu"), Code::unsupported_model, "'name' is 'relu'; only 'silu'");
  EXPECT_ERROR(config.require("scale", 1.0), Code::unsupported_model, "'scale' is 0.5");
}

TEST(HfConfig, TextConfigIsTheConfiguration) {
  HfConfig config(R"({"model_type": "gemma3", "vision_config": {"x": 1}, "mm_tokens_per_image": 256,
                      "tie_word_embeddings": true,
                      "text_config": {"model_type": "gemma3_text", "hidden_size": 64}})");
  EXPECT_EQ(config.model_type(), "gemma3_text");
  EXPECT_EQ(config.integer("hidden_size"), 64);
  EXPECT_TRUE(config.boolean("tie_word_embeddings", false));  // from the outer one
  config.finish();

  HfConfig outer(R"({"text_config": {"hidden_size": 64}, "strange": 1})");
  outer.accept("hidden_size");
  EXPECT_ERROR(outer.finish(), Code::unsupported_model, "'strange'");
  HfConfig inner(R"({"text_config": {"vision_config": {}}})");  // harmless only outside
  EXPECT_ERROR(inner.finish(), Code::unsupported_model, "'vision_config'");
  EXPECT_ERROR(HfConfig(R"({"text_config": 3})"), Code::bad_model_file, "'text_config' is not an object");
}

TEST(HfConfig, QuantizedWeightsAreRefusedWithTheNearestForm) {
  for (const char* json : {R"({"quantization_config": {"quant_method": "fp8"}})",
                           R"({"text_config": {"quantization_config": {"quant_method": "fp8"}}})",
                           R"({"compression_config": {"quant_method": "fp8"}})"}) {
    const auto error = testing::error_of([&] { HfConfig config(json); });
    ASSERT_TRUE(error) << json;
    EXPECT_EQ(error->code(), Code::unsupported_model);
    EXPECT_THAT(error->what(), HasSubstr("'fp8'"));
    EXPECT_THAT(error->hint(), HasSubstr("Q8_0"));
  }
  HfConfig(R"({"quantization_config": null})").finish();
}

TEST(HfConfigRope, FlatAndNestedFormsAreTheSame) {
  const char* forms[] = {
      R"({"rope_theta": 5e5, "partial_rotary_factor": 0.5, "max_position_embeddings": 131072,
          "rope_scaling": {"rope_type": "llama3", "factor": 8, "low_freq_factor": 1, "high_freq_factor": 4,
                           "original_max_position_embeddings": 8192}})",
      R"({"rope_theta": 5e5, "partial_rotary_factor": 0.5,
          "rope_scaling": {"type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0},
          "original_max_position_embeddings": 8192})",
      R"({"rope_parameters": {"rope_type": "llama3", "rope_theta": 5e5, "partial_rotary_factor": 0.5, "factor": 8.0,
                              "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                              "original_max_position_embeddings": 8192}})",
      R"({"rope_parameters": {"full_attention": {"rope_type": "llama3", "rope_theta": 5e5,
                              "partial_rotary_factor": 0.5, "factor": 8.0, "low_freq_factor": 1.0,
                              "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}}})"};
  for (const char* form : forms) {
    HfConfig config(form);
    const RopeParameters rope = config.rope();
    EXPECT_EQ(rope.theta, 5e5) << form;
    EXPECT_EQ(rope.partial, 0.5) << form;
    EXPECT_EQ(rope.scaling, RopeScaling::llama3) << form;
    EXPECT_EQ(rope.factor, 8.0) << form;
    EXPECT_EQ(rope.low_freq_factor, 1.0) << form;
    EXPECT_EQ(rope.high_freq_factor, 4.0) << form;
    EXPECT_EQ(rope.original_context, 8192.0) << form;
    config.accept("max_position_embeddings");
    config.finish();
  }
}

TEST(HfConfigRope, ByLayerType) {
  const char* forms[] = {
      R"({"rope_theta": 1e6, "rope_local_base_freq": 2e4, "rope_scaling": {"rope_type": "linear", "factor": 8.0}})",
      R"({"rope_parameters": {"full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1e6},
                              "sliding_attention": {"rope_type": "default", "rope_theta": 2e4}}})"};
  for (const char* form : forms) {
    HfConfig config(form);
    const RopeParameters full = config.rope("full_attention", 1e6);
    EXPECT_EQ(full.theta, 1e6) << form;
    EXPECT_EQ(full.scaling, RopeScaling::linear) << form;
    EXPECT_EQ(full.factor, 8.0) << form;
    const RopeParameters sliding = config.rope("sliding_attention", 1e4);
    EXPECT_EQ(sliding.theta, 2e4) << form;
    EXPECT_EQ(sliding.scaling, RopeScaling::none) << form;
    config.finish();
  }
  EXPECT_ERROR(HfConfig(forms[1]).rope(), Code::unsupported_model, "by layer type");
  EXPECT_ERROR(HfConfig(R"({"rope_parameters": {"rope_type": "default"}})").rope("full_attention"),
               Code::bad_model_file, "layer types");
}

TEST(HfConfigRope, DefaultsAreTheFamilys) {
  HfConfig config(R"({"rope_scaling": null})");
  EXPECT_EQ(config.rope().theta, 10000.0);
  EXPECT_EQ(config.rope({}, 5e5, 0.5).theta, 5e5);
  EXPECT_EQ(config.rope({}, 5e5, 0.5).partial, 0.5);
  EXPECT_EQ(config.rope("sliding_attention", 1e4).theta, 1e4);
  config.finish();
}

TEST(HfConfigRope, RefusesWhatIsNotBuiltByName) {
  const auto refused = [](const char* json, Code code, const char* words) {
    EXPECT_ERROR(HfConfig(json).rope(), code, words);
  };
  refused(R"({"rope_scaling": {"type": "yarn", "factor": 4.0}})", Code::unsupported_model, "'yarn'");
  refused(R"({"rope_scaling": {"rope_type": "longrope", "short_factor": [1]}})", Code::unsupported_model, "'longrope'");
  refused(R"({"rope_scaling": {"type": "dynamic", "factor": 2}})", Code::unsupported_model, "'dynamic'");
  refused(R"({"rope_parameters": {"rope_type": "default", "mrope_section": [1, 2]}})", Code::unsupported_model,
          "'mrope_section'");
  refused(R"({"rope_scaling": {"type": "linear"}})", Code::bad_model_file, "'factor'");
  refused(R"({"rope_scaling": {"type": "linear", "factor": 0}})", Code::bad_model_file, "'factor'");
  refused(R"({"rope_scaling": {"type": "linear", "factor": "x"}})", Code::bad_model_file, "'factor'");
  refused(R"({"rope_theta": -1})", Code::bad_model_file, "'rope_theta'");
  refused(R"({"partial_rotary_factor": 1.5})", Code::bad_model_file, "'partial_rotary_factor'");
  refused(R"({"rope_scaling": 3})", Code::bad_model_file, "'rope_scaling'");
  refused(R"({"rope_parameters": [1]})", Code::bad_model_file, "'rope_parameters'");
  refused(R"({"rope_scaling": {"type": "llama3", "factor": 8}})", Code::bad_model_file, "original_max");
  refused(R"({"rope_scaling": {"type": "llama3", "factor": 8, "low_freq_factor": 4, "high_freq_factor": 4},
              "max_position_embeddings": 100})",
          Code::bad_model_file, "'high_freq_factor'");
}

}  // namespace
}  // namespace autoglm
