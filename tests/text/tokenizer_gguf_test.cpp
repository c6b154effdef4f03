// The vocabularies of llama.cpp's source with the ids that Hugging Face's tokenizers gave for them.
#include <algorithm>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <sstream>
#include <utility>

#include "base/error.h"
#include "format/model_source.h"
#include "text/tokenizer.h"
#include "text/tokenizer_files.h"

namespace autoglm {
namespace {

std::string read(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  EXPECT_TRUE(in.good()) << path;
  return {std::istreambuf_iterator<char>(in), {}};
}

std::string oracle(const std::string& name) { return std::string(AUTOGLM_ORACLE_DIR) + "/" + name; }

std::unique_ptr<Tokenizer> load(const std::string& name) { return load_tokenizer(*open_model(oracle(name), false)); }

// Texts are separated by this line.
std::vector<std::string> texts(const std::string& all) {
  const std::string separator = "\n__ggml_vocab_test__\n";
  std::vector<std::string> out;
  size_t at = 0;
  for (size_t end; (end = all.find(separator, at)) != std::string::npos; at = end + separator.size()) {
    out.push_back(all.substr(at, end - at));
  }
  return out;
}

std::vector<std::vector<int32_t>> ids(const std::string& all) {
  std::vector<std::vector<int32_t>> out;
  std::istringstream lines(all);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream numbers(line);
    out.emplace_back(std::istream_iterator<int32_t>(numbers), std::istream_iterator<int32_t>());
  }
  return out;
}

class VocabularyTest : public testing::TestWithParam<const char*> {};

TEST_P(VocabularyTest, IdsEqualTheExpectedOnes) {
  const std::string file = std::string("llama-cpp-models/ggml-vocab-") + GetParam() + ".gguf";
  const auto tokenizer = load(file);
  ASSERT_NE(tokenizer, nullptr);
  const auto input = texts(read(oracle(file + ".inp")));
  const auto expected = ids(read(oracle(file + ".out")));
  ASSERT_GT(input.size(), 30u);
  ASSERT_GE(expected.size(), input.size());
  for (size_t i = 0; i < input.size(); ++i) {
    EXPECT_EQ(tokenizer->encode(input[i]), expected[i]) << "text " << i << ": '" << input[i] << "'";
  }
}

INSTANTIATE_TEST_SUITE_P(LlamaCpp, VocabularyTest,
                         testing::Values("gpt-2", "llama-bpe", "llama-spm", "phi-3", "qwen2", "qwen35", "command-r",
                                         "falcon", "mpt", "refact", "starcoder", "deepseek-coder", "deepseek-llm"),
                         [](const auto& one) {
                           std::string name = one.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

// The two real models on hard texts, against llama.cpp (and for SmolLM2 Hugging Face with the same vocabulary).
class RealModelTest : public testing::TestWithParam<std::pair<const char*, const char*>> {};

TEST_P(RealModelTest, IdsEqualTheExpectedOnes) {
  const auto& [file, expected] = GetParam();
  const auto tokenizer = load(file);
  const auto cases = nlohmann::json::parse(read(std::string(AUTOGLM_TEST_DATA) + "/tokenizers/" + expected));
  ASSERT_GT(cases.size(), 100u);
  for (const auto& one : cases) {
    const std::string text = one["text"];
    const auto plain = tokenizer->encode(text);
    EXPECT_EQ(plain, one["plain"].get<std::vector<int32_t>>()) << text;
    const auto special = tokenizer->encode(text, {.special = true});
    EXPECT_EQ(special, one["special"].get<std::vector<int32_t>>()) << text;
    // SentencePiece writes a space as U+2581, so that one cannot be told from the other.
    if (text.find("\xE2\x96\x81") == std::string::npos) {
      EXPECT_EQ(tokenizer->decode(special, true), text);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Oracle, RealModelTest,
                         testing::Values(std::pair("smollm2-135m-q4_1.gguf", "real_smollm2.json"),
                                         std::pair("gemma3-270m-q4_k_m.gguf", "real_gemma3.json")));

// Vocabularies without expected ids.
TEST(OtherVocabularies, RoundTrip) {
  for (const char* name : {"aquila", "baichuan", "gpt-neox", "nomic-bert-moe"}) {
    const auto tokenizer = load(std::string("llama-cpp-models/ggml-vocab-") + name + ".gguf");
    const std::string text = "Hello, world! 你好，世界 123";
    const std::string wanted = std::string(name) == "nomic-bert-moe" ? "Hello, world! 你好,世界 123" : text;  // NFKC
    EXPECT_EQ(tokenizer->decode(tokenizer->encode(text)), wanted) << name;
  }
}

std::string refusal(const Metadata& metadata) {
  try {
    tokenizer_from_gguf(metadata);
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

TEST(GgufMetadata, WhatIsMissingOrUnknownIsNamed) {
  Metadata m;
  EXPECT_EQ(tokenizer_from_gguf(m), nullptr);
  m.set("tokenizer.ggml.model", std::string("bert"));
  EXPECT_THAT(refusal(m), testing::HasSubstr("no tokens"));
  m.set("tokenizer.ggml.tokens", MetaArray(std::vector<std::string>{"a", "b", "ab"}));
  EXPECT_THAT(refusal(m), testing::HasSubstr("'bert'"));

  Metadata bpe;
  bpe.set("tokenizer.ggml.model", std::string("gpt2"));
  bpe.set("tokenizer.ggml.pre", std::string("gpt-2"));
  bpe.set("tokenizer.ggml.tokens", MetaArray(std::vector<std::string>{"a", "b", "ab"}));
  EXPECT_THAT(refusal(bpe), testing::HasSubstr("no merges"));
  bpe.set("tokenizer.ggml.merges", MetaArray(std::vector<std::string>{"a b"}));
  bpe.set("tokenizer.ggml.eos_token_id", int64_t{99});
  bpe.set("tokenizer.ggml.eot_token_id", int64_t{1});
  bpe.set("tokenizer.ggml.eom_token_id", int64_t{2});
  const auto tokenizer = tokenizer_from_gguf(bpe);
  EXPECT_EQ(tokenizer->encode("abba"), (std::vector<int32_t>{2, 1, 0}));
  EXPECT_EQ(tokenizer->eos(), std::nullopt);  // there is no token 99
  EXPECT_EQ(tokenizer->ends(), (std::vector<int32_t>{1, 2}));

  Metadata spm;
  spm.set("tokenizer.ggml.model", std::string("llama"));
  spm.set("tokenizer.ggml.tokens", MetaArray(std::vector<std::string>{"a", "b"}));
  EXPECT_THAT(refusal(spm), testing::HasSubstr("no scores"));
  spm.set("tokenizer.ggml.scores", MetaArray(std::vector<double>{0.0}));
  EXPECT_THAT(refusal(spm), testing::HasSubstr("fewer scores"));

  Metadata broken = bpe;
  broken.set("tokenizer.ggml.tokens", MetaArray(std::vector<std::string>{"a", "\xFF", "ab"}));
  EXPECT_THAT(refusal(broken), testing::HasSubstr("not UTF-8"));
}

TEST(SmolLm2, EncodesAndDecodes) {
  const auto tokenizer = load("smollm2-135m-q4_1.gguf");
  ASSERT_NE(tokenizer, nullptr);
  EXPECT_EQ(tokenizer->size(), 49152);
  EXPECT_EQ(tokenizer->description(), "bpe smollm");
  EXPECT_EQ(tokenizer->eos(), 2);
  EXPECT_EQ(tokenizer->ends(), std::vector<int32_t>{2});
  EXPECT_FALSE(tokenizer->adds_bos());
  const std::string text = "<|im_start|>user\nHello, 世界 123<|im_end|>\n";
  const auto prompt = tokenizer->encode(text, {.special = true});
  EXPECT_EQ(prompt.front(), 1);
  EXPECT_EQ(tokenizer->decode(prompt, true), text);
  EXPECT_EQ(tokenizer->decode(prompt), "user\nHello, 世界 123\n");
}

}  // namespace
}  // namespace autoglm
