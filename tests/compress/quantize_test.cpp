#include "compress/quantize.h"

#include <gtest/gtest.h>

#include "compress/random_windows.h"
#include "model/model_support.h"
#include "support/temporary_folder.h"

namespace autoglm {
namespace {

using test::Golden;
using test::random_windows;

std::string bytes_of(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

struct Fixture : ::testing::Test {
  test::TemporaryFolder folder;
  std::filesystem::path out = folder.path() / "out.gguf";

  std::shared_ptr<const ModelSource> open(const std::string& name) {
    return test::open_golden(name, "config.json", folder.path());
  }

  /// Mean squared difference of logits between a file and its source, over the golden's tokens.
  double difference(const std::shared_ptr<const ModelSource>& source, const std::filesystem::path& file,
                    const std::string& name) {
    const Golden golden = test::read_golden(name);
    const auto tokens = std::span(golden.tokens).first(static_cast<size_t>(golden.lengths[0]));
    std::vector<std::vector<float>> logits;
    for (const auto& model_source : {source, std::shared_ptr<const ModelSource>(open_model(file))}) {
      Runtime runtime = test::test_runtime("auto");
      const auto model = Model::load(model_source, runtime, test::load_options({}, std::ssize(tokens)));
      const auto kv = model->make_kv_cache();
      logits.push_back(test::all_logits(*model, *kv, tokens));
    }
    double sum = 0;
    for (size_t i = 0; i < logits[0].size(); ++i) {
      const double d = static_cast<double>(logits[0][i]) - static_cast<double>(logits[1][i]);
      sum += d * d;
    }
    return sum / static_cast<double>(logits[0].size());
  }
};

QuantizeOptions options_for(QuantizeMethod method, Type type, int64_t vocabulary) {
  QuantizeOptions options;
  options.recipe = {.matrix = type, .tensors = {}};
  options.method = method;
  if (method != QuantizeMethod::rtn) options.windows = random_windows(vocabulary);
  return options;
}

// Some of the tiny checkpoints have no row that fills a block: all of them stays F16.
bool has_blocks(const ModelSource& source) {
  const QuantizeResult plan = plan_quantize(source, options_for(QuantizeMethod::rtn, Type::q4_0, 0));
  return std::ranges::any_of(plan.tensors, [](const QuantizedTensor& t) { return t.type == Type::q4_0; });
}

using Quantize = Fixture;

TEST_F(Quantize, FinerTypesComeNearerForEveryFamily) {
  for (const std::string& name : test::golden_names()) {
    const auto source = open(name);
    if (name.starts_with("chatglm")) continue;  // has no GGUF of its own
    Runtime runtime = test::test_runtime("auto", 2);
    double before = 1e30;
    for (const Type type : {Type::q4_0, Type::q8_0, Type::f32}) {
      quantize_model(*source, runtime, out, options_for(QuantizeMethod::rtn, type, 0));
      const double now = difference(source, out, name);
      EXPECT_TRUE(now < 0.3 * before || !has_blocks(*source))
          << name << " " << info(type).name << " " << now << " after " << before;
      before = now;
    }
    EXPECT_LT(before, 1e-9) << name;
  }
}

TEST_F(Quantize, GptqRunsThroughEveryFamily) {
  for (const std::string& name : test::golden_names()) {
    const auto source = open(name);
    if (name.starts_with("chatglm")) continue;
    Runtime runtime = test::test_runtime("auto", 2);
    const QuantizeOptions options = options_for(QuantizeMethod::gptq, Type::q8_0, test::read_golden(name).vocabulary);
    const QuantizeResult result = quantize_model(*source, runtime, out, options);
    EXPECT_EQ(result.bytes, static_cast<int64_t>(std::filesystem::file_size(out))) << name;
    QuantizeOptions plain = options_for(QuantizeMethod::rtn, Type::q4_0, 0);
    const double fine = difference(source, out, name);
    quantize_model(*source, runtime, out, plain);
    const double coarse = difference(source, out, name);
    EXPECT_LT(fine, has_blocks(*source) ? 0.3 * coarse : 1.01 * coarse) << name;
    EXPECT_FALSE(std::filesystem::exists(out.string() + ".work")) << name;
  }
}

TEST_F(Quantize, SameFileOnAnyNumberOfThreads) {
  const auto source = open("llama-b");
  for (const QuantizeMethod method : {QuantizeMethod::rtn, QuantizeMethod::importance, QuantizeMethod::gptq}) {
    std::vector<std::string> files;
    for (const int threads : {1, 3}) {
      Runtime runtime = test::test_runtime("auto", threads);
      quantize_model(*source, runtime, out, options_for(method, Type::iq4_nl, 192));
      files.push_back(bytes_of(out));
    }
    EXPECT_TRUE(files[0] == files[1]) << name(method);
  }
}

TEST_F(Quantize, MethodsDiffer) {
  const auto source = open("llama-b");
  std::vector<std::string> files;
  for (const QuantizeMethod method : {QuantizeMethod::rtn, QuantizeMethod::importance, QuantizeMethod::gptq}) {
    Runtime runtime = test::test_runtime("auto");
    const QuantizeResult result = quantize_model(*source, runtime, out, options_for(method, Type::q4_0, 192));
    files.push_back(bytes_of(out));
    // Only the table that is looked up has no inputs.
    for (const QuantizedTensor& row : result.tensors) {
      if (row.name != "token_embd.weight") EXPECT_EQ(row.method, method) << row.name;
    }
  }
  EXPECT_NE(files[0], files[1]);
  EXPECT_NE(files[1], files[2]);
}

TEST_F(Quantize, AnInterruptedRunGoesOnToTheSameFile) {
  const auto source = open("llama-b");
  Runtime runtime = test::test_runtime("auto");
  QuantizeOptions options = options_for(QuantizeMethod::gptq, Type::q4_0, 192);
  const QuantizeResult whole = quantize_model(*source, runtime, out, options);
  EXPECT_EQ(whole.resumed, 0);
  const std::string expected = bytes_of(out);
  std::filesystem::remove(out);

  int64_t tensors = 0;
  options.progress = [&](std::string_view, int64_t, int64_t) { ++tensors; };
  options.check = [&] {
    if (tensors == 9) fail(Code::interrupted, "interrupted");
  };
  EXPECT_THROW(quantize_model(*source, runtime, out, options), Error);
  EXPECT_FALSE(std::filesystem::exists(out));
  options.check = {};
  const QuantizeResult rest = quantize_model(*source, runtime, out, options);
  EXPECT_EQ(rest.resumed, 9);
  EXPECT_LT(rest.resumed, std::ssize(rest.tensors));
  EXPECT_TRUE(bytes_of(out) == expected);

  // Another recipe finds nothing of it.
  options.check = [&] {
    if (tensors == 9) fail(Code::interrupted, "interrupted");
  };
  tensors = 0;
  EXPECT_THROW(quantize_model(*source, runtime, out, options), Error);
  options.check = {};
  options.recipe.tensors = {{"blk.1.ffn_down.weight", Type::q8_0}};
  EXPECT_EQ(quantize_model(*source, runtime, out, options).resumed, 0);
}

TEST_F(Quantize, EveryMethodGoesOnAfterAnInterruption) {
  const auto source = open("llama-b");
  Runtime runtime = test::test_runtime("auto");
  for (const QuantizeMethod method : {QuantizeMethod::rtn, QuantizeMethod::importance}) {
    QuantizeOptions options = options_for(method, Type::q4_0, 192);
    quantize_model(*source, runtime, out, options);
    const std::string expected = bytes_of(out);
    std::filesystem::remove(out);
    int64_t done = 0;
    int64_t total = 0;
    options.progress = [&](std::string_view stage, int64_t now, int64_t all) {
      if (stage == "quantizing") ++done;
      EXPECT_LE(now, all);
      total = all;
      if (done == 4) fail(Code::interrupted, "interrupted");
    };
    EXPECT_THROW(quantize_model(*source, runtime, out, options), Error);
    EXPECT_FALSE(std::filesystem::exists(out));
    const int64_t before = total;
    done = 5;
    const QuantizeResult rest = quantize_model(*source, runtime, out, options);
    EXPECT_EQ(rest.resumed, 4) << name(method);
    EXPECT_LT(total, before) << name(method);  // what is done already takes no time
    EXPECT_TRUE(bytes_of(out) == expected) << name(method);
    EXPECT_FALSE(std::filesystem::exists(out.string() + ".work"));
  }
}

TEST_F(Quantize, AQuantizedSourceIsTakenOnlyWhenAsked) {
  const auto source = open("llama-b");
  Runtime runtime = test::test_runtime("auto");
  quantize_model(*source, runtime, out, options_for(QuantizeMethod::rtn, Type::q8_0, 0));
  const auto quantized = open_model(out);
  QuantizeOptions options = options_for(QuantizeMethod::rtn, Type::q4_0, 0);
  try {
    quantize_model(*quantized, runtime, folder.path() / "again.gguf", options);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Code::bad_flag);
    EXPECT_NE(std::string(error.what()).find("Q8_0"), std::string::npos);
  }
  options.requantize = true;
  quantize_model(*quantized, runtime, folder.path() / "again.gguf", options);
  EXPECT_LT(std::filesystem::file_size(folder.path() / "again.gguf"), std::filesystem::file_size(out));
}

TEST_F(Quantize, FallbacksAreNamedAndCounted) {
  const auto source = open("llama-d");  // 72 columns
  const QuantizeOptions options = options_for(QuantizeMethod::rtn, Type::q4_k, 0);
  const QuantizeResult plan = plan_quantize(*source, options);
  Runtime runtime = test::test_runtime("auto");
  const QuantizeResult result = quantize_model(*source, runtime, out, options);
  const auto file = open_model(out);
  int64_t bytes = 0;
  for (const QuantizedTensor& row : result.tensors) {
    EXPECT_EQ(row.wanted, Type::q4_k);
    EXPECT_TRUE(row.type == Type::f16 || row.type == Type::iq4_nl) << row.name;
    const TensorEntry* written = file->find(row.name);
    ASSERT_NE(written, nullptr) << row.name;
    EXPECT_EQ(written->type, row.type);
    EXPECT_EQ(std::ssize(written->data), row.bytes);
    bytes += row.bytes;
  }
  EXPECT_EQ(plan.bytes, bytes);
}

// INT8 by channel is Q8_0 (or, with an offset, Q8_A) whose blocks all have their row's scale, and better than 4 bits by
// far.
TEST_F(Quantize, Int8HasOneScaleAlongEachRow) {
  const auto source = open("llama-b");
  Runtime runtime = test::test_runtime("auto");
  quantize_model(*source, runtime, out, options_for(QuantizeMethod::rtn, Type::q4_0, 0));
  const double coarse = difference(source, out, "llama-b");
  for (const auto& [name, type] : {std::pair{"INT8", Type::q8_0}, std::pair{"int8_asym", Type::q8_a}}) {
    const auto block = static_cast<size_t>(info(type).block_bytes);
    for (const QuantizeMethod method : {QuantizeMethod::rtn, QuantizeMethod::gptq}) {
      QuantizeOptions options = options_for(method, type, 192);
      options.recipe = parse_recipe(recipe_of_name(name).yaml());
      ASSERT_TRUE(options.recipe.row_scales);
      quantize_model(*source, runtime, out, options);
      const auto written = open_model(out);
      int64_t rows = 0;
      for (const TensorEntry& tensor : written->tensors()) {
        if (tensor.type != type || !options.recipe.row_scaled(tensor.name)) continue;
        const auto stride = static_cast<size_t>(row_bytes(type, tensor.columns()));
        for (size_t at = 0; at < tensor.data.size(); at += block) {
          const size_t first = at / stride * stride;
          for (size_t byte = 0; byte < block - 32; ++byte) {
            ASSERT_EQ(tensor.data[at + byte], tensor.data[first + byte]) << tensor.name;
          }
        }
        rows += tensor.rows();
      }
      EXPECT_GT(rows, 100) << name;
      EXPECT_LT(difference(source, out, "llama-b"), 0.05 * coarse) << name;
    }
  }
  EXPECT_THROW(recipe_of_name("INT9"), Error);
}

TEST_F(Quantize, GptqWithoutTextIsRefused) {
  const auto source = open("llama-b");
  Runtime runtime = test::test_runtime("auto");
  QuantizeOptions options = options_for(QuantizeMethod::gptq, Type::q4_0, 192);
  options.windows.clear();
  EXPECT_THROW(quantize_model(*source, runtime, out, options), Error);
}

TEST(Recipe, RoundTripsAndMatchesInOrder) {
  const Recipe recipe = parse_recipe(
      "version: 1\ndefault: q4_0\ntensors:\n  blk.0.*: Q8_0\n  \"*.ffn_down.weight\": Q6_K\n  output.weight: BF16\n");
  EXPECT_EQ(recipe.type_of("blk.0.ffn_down.weight"), Type::q8_0);
  EXPECT_EQ(recipe.type_of("blk.1.ffn_down.weight"), Type::q6_k);
  EXPECT_EQ(recipe.type_of("blk.1.ffn_up.weight"), Type::q4_0);
  EXPECT_EQ(recipe.type_of("output.weight"), Type::bf16);
  EXPECT_EQ(parse_recipe(recipe.yaml()).yaml(), recipe.yaml());
}

TEST(Recipe, WhatIsWrongIsNamed) {
  const std::pair<const char*, const char*> cases[] = {
      {"default: Q4_9", "Q4_9"},
      {"default: I32", "I32"},
      {"defualt: Q4_0", "defualt"},
      {"version: 2\ndefault: F16", "version"},
      {"tensors: {}", "default"},
      {"- a", "map"},
      {"default: Q4_0\ntensors: [a]", "tensors"},
      {"a: [", "YAML"},
      {"default: [Q4_0]", "word"},
      {"default: Q8_0\nscales: column", "scales"},
      {"default: Q8_0\nscaling: some", "scaling"},
  };
  for (const auto& [text, word] : cases) {
    try {
      parse_recipe(text);
      ADD_FAILURE() << text;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), Code::bad_config) << text;
      EXPECT_NE(std::string(error.what()).find(word), std::string::npos) << error.what();
    }
  }
}

TEST(Recipe, Stars) {
  EXPECT_TRUE(matches("*", ""));
  EXPECT_TRUE(matches("a*b*c", "axxbyyc"));
  EXPECT_TRUE(matches("*.weight", "blk.0.weight"));
  EXPECT_FALSE(matches("a*b", "axbx"));
  EXPECT_FALSE(matches("ab", "abc"));
  EXPECT_TRUE(matches("a**", "a"));
  EXPECT_TRUE(matches("*aab", "aaaab"));
}

}  // namespace
}  // namespace autoglm
