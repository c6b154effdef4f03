// Quantizing with scaled channels: better where channels are loud, the same function, the same file every time.
#include <gtest/gtest.h>

#include "compress/altered_model.h"
#include "compress/quality_tensors.h"
#include "compress/quantize.h"
#include "compress/random_windows.h"
#include "model/families/family.h"
#include "model/model_support.h"
#include "support/errors.h"
#include "support/temporary_folder.h"

namespace autoglm {
namespace {

using test::AlteredModel;
using test::random_windows;

/// A model some of whose channels are loud: their norms hand on thirty times as much.
std::shared_ptr<const ModelSource> loud_model(const ModelShape& shape) {
  return std::make_shared<AlteredModel>(
      *test::random_source(shape, Type::f32), Type::bf16, [](const TensorEntry& tensor, std::vector<float>& values) {
        if (!tensor.name.ends_with("attn_norm.weight") && !tensor.name.ends_with("ffn_norm.weight")) {
          return;
        }
        for (size_t i = 3; i < values.size(); i += 43) values[i] *= 30;
      });
}

QuantizeOptions options_for(QuantizeMethod method, Scaling scaling, const std::string& type, int64_t vocabulary) {
  QuantizeOptions options;
  options.recipe = recipe_of_name(type);
  options.method = method;
  options.scaling = scaling;
  options.windows = random_windows(vocabulary);
  return options;
}

std::string bytes_of(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

struct QuantizeScaling : ::testing::Test {
  test::TemporaryFolder folder;
  std::filesystem::path out = folder.path() / "out.gguf";
  WorkerPool pool{{.threads = 2}};

  QuantizeResult quantize(const ModelSource& source, const QuantizeOptions& options) {
    Runtime runtime = test::test_runtime("auto", 2);
    return quantize_model(source, runtime, out, options);
  }

  /// Mean divergence of the written file's answers from the source's, over all windows.
  double divergence(const std::shared_ptr<const ModelSource>& source, int64_t vocabulary) {
    const std::shared_ptr<const ModelSource> made = open_model(out);
    double sum = 0;
    for (const std::vector<int32_t>& tokens : random_windows(vocabulary)) {
      const auto expected = test::run_tokens(source, "auto", tokens);
      sum += test::mean_kld(test::run_tokens(made, "auto", tokens), expected, vocabulary);
    }
    return sum;
  }
};

TEST_F(QuantizeScaling, LoudChannelsCostLess) {
  for (const auto& shape : {test::tiny_llama(), test::tiny_gemma(), test::tiny_moe(), test::tiny_mla()}) {
    const auto source = loud_model(shape);
    std::vector<double> divergences;
    for (const Scaling scaling : {Scaling::none, Scaling::awq}) {
      const QuantizeResult result = quantize(*source, options_for(QuantizeMethod::rtn, scaling, "Q4_0", 256));
      divergences.push_back(divergence(source, 256));
      EXPECT_EQ(result.scaled > 0, scaling == Scaling::awq);
      EXPECT_EQ(open_model(out)->metadata().text(kScalingKey, "no"), scaling == Scaling::awq ? "awq" : "no");
    }
    EXPECT_LT(divergences[1], 0.85 * divergences[0]) << shape.name;
  }
}

// With the other methods there is less to gain; a tensor that missed its factor would lose far more than this.
TEST_F(QuantizeScaling, EveryMethodComputesTheSame) {
  for (const auto& shape : {test::tiny_llama(), test::tiny_moe(), test::tiny_mla()}) {
    const auto source = loud_model(shape);
    for (const QuantizeMethod method : {QuantizeMethod::importance, QuantizeMethod::gptq}) {
      std::vector<double> divergences;
      for (const Scaling scaling : {Scaling::none, Scaling::awq}) {
        const QuantizeResult result = quantize(*source, options_for(method, scaling, "INT8", 256));
        EXPECT_EQ(result.scaled > 0, scaling == Scaling::awq);
        divergences.push_back(divergence(source, 256));
      }
      EXPECT_LT(divergences[1], 2.5 * divergences[0]) << shape.name << " " << name(method);
    }
  }
}

// The file's tensors are what they were, but for scales that cancel: found and undone, nothing else is left than
// rounding; and a fault among them is still named.
TEST_F(QuantizeScaling, AFileIsComparedWithItsScalesUndone) {
  for (const auto& shape : {test::tiny_llama(), test::tiny_moe(), test::tiny_mla()}) {
    const auto source = loud_model(shape);
    for (const char* type : {"Q4_K", "INT8"}) {
      const QuantizeResult result = quantize(*source, options_for(QuantizeMethod::importance, Scaling::awq, type, 256));
      ASSERT_GT(result.scaled, 0);
      const auto file = open_model(out);
      for (const TensorFigures& t : compare_tensors(*source, *file, pool).tensors) {
        EXPECT_FALSE(t.fault) << shape.name << " " << type << " " << t.name << " error " << t.relative_error;
        EXPECT_LT(t.relative_error, type == std::string("INT8") ? 0.1 : 0.25) << shape.name << " " << t.name;
      }
      for (const std::string damaged : {"blk.1.attn_norm.weight", "blk.1.attn_output.weight"}) {
        const AlteredModel bad(*file, Type::f32, [&](const TensorEntry& tensor, std::vector<float>& values) {
          if (tensor.name != damaged) return;
          for (float& value : values) value *= 2;
        });
        for (const TensorFigures& t : compare_tensors(*source, bad, pool).tensors) {
          EXPECT_EQ(t.fault.has_value(), t.name == damaged) << shape.name << " " << t.name << " for " << damaged;
          if (t.fault) EXPECT_NEAR(t.fault->factor, 2, 0.2);
        }
      }
      const AlteredModel zeroed(*file, Type::f32, [&](const TensorEntry& tensor, std::vector<float>& values) {
        if (tensor.name == "blk.0.ffn_down.weight") std::fill(values.begin(), values.end(), 0.0f);
      });
      for (const TensorFigures& t : compare_tensors(*source, zeroed, pool).tensors) {
        EXPECT_EQ(t.fault.has_value(), t.name == "blk.0.ffn_down.weight") << shape.name << " " << t.name;
      }
    }
  }
}

TEST_F(QuantizeScaling, EveryFamilyComputesTheSame) {
  for (const std::string& name : test::golden_names()) {
    const auto source = test::open_golden(name, "config.json", folder.path());
    const int64_t vocabulary = test::read_golden(name).vocabulary;
    std::vector<double> divergences;
    for (const Scaling scaling : {Scaling::none, Scaling::awq}) {
      QuantizeOptions options = options_for(QuantizeMethod::gptq, scaling, "Q8_0", vocabulary);
      quantize(*source, options);
      divergences.push_back(divergence(source, vocabulary));
    }
    EXPECT_LT(divergences[1], 2 * divergences[0] + 1e-5) << name;
  }
}

TEST_F(QuantizeScaling, SameFileOnAnyNumberOfThreads) {
  const auto source = loud_model(test::tiny_llama());
  for (const QuantizeMethod method : {QuantizeMethod::rtn, QuantizeMethod::importance, QuantizeMethod::gptq}) {
    std::vector<std::string> files;
    for (const int threads : {1, 3}) {
      Runtime runtime = test::test_runtime("auto", threads);
      quantize_model(*source, runtime, out, options_for(method, Scaling::awq, "INT8", 256));
      files.push_back(bytes_of(out));
    }
    EXPECT_TRUE(files[0] == files[1]) << name(method);
  }
}

TEST_F(QuantizeScaling, AnInterruptedRunGoesOnToTheSameFile) {
  const auto source = loud_model(test::tiny_moe());
  for (const QuantizeMethod method : {QuantizeMethod::importance, QuantizeMethod::gptq}) {
    QuantizeOptions options = options_for(method, Scaling::awq, "Q4_0", 256);
    const QuantizeResult whole = quantize(*source, options);
    const std::string expected = bytes_of(out);
    for (const int64_t stop : {1, 6, 16}) {
      std::filesystem::remove(out);
      int64_t steps = 0;
      options.progress = [&](std::string_view stage, int64_t, int64_t) { steps += stage == "quantizing" ? 1 : 0; };
      options.check = [&] {
        if (steps >= stop) fail(Code::interrupted, "interrupted");
      };
      EXPECT_THROW(quantize(*source, options), Error);
      options.check = {};
      options.progress = {};
      const QuantizeResult rest = quantize(*source, options);
      EXPECT_GE(rest.resumed, stop) << name(method);
      EXPECT_EQ(rest.scaled, whole.scaled) << name(method);
      EXPECT_TRUE(bytes_of(out) == expected) << name(method) << " stopped after " << stop;
    }
    // Without scales nothing of that is taken.
    options.check = [&] { fail(Code::interrupted, "interrupted"); };
    EXPECT_THROW(quantize(*source, options), Error);
    options.check = {};
    options.scaling = Scaling::none;
    EXPECT_EQ(quantize(*source, options).resumed, 0);
    options.scaling = Scaling::awq;
  }
}

TEST_F(QuantizeScaling, WhatWouldHaveToBeRoundedTwiceIsLeftAlone) {
  const auto source = loud_model(test::tiny_llama());
  QuantizeOptions options = options_for(QuantizeMethod::importance, Scaling::awq, "Q4_0", 256);
  options.recipe.tensors = {{"blk.*.attn_v.weight", Type::bf16}, {"blk.*.ffn_up.weight", Type::bf16}};
  quantize(*source, options);
  for (const TensorFigures& t : compare_tensors(*source, *open_model(out), pool).tensors) {
    if (t.type_b == "BF16") EXPECT_EQ(t.relative_error, 0) << t.name;
  }
  EXPECT_THROW(
      [&] {
        options.method = QuantizeMethod::rtn;
        options.windows.clear();
        quantize(*source, options);
      }(),
      Error);
}

}  // namespace
}  // namespace autoglm
