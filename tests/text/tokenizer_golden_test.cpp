// Small vocabularies trained with Hugging Face's tokenizers and SentencePiece, and what those make of hard texts
// (tools/make_tokenizer_goldens.py).
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>

#include "format/model_source.h"
#include "text/tokenizer.h"

namespace autoglm {
namespace {

using Json = nlohmann::json;
using Ids = std::vector<int32_t>;

std::filesystem::path folder(const std::string& name) {
  return std::filesystem::path(AUTOGLM_TEST_DATA) / "tokenizers" / name;
}

std::unique_ptr<Tokenizer> load(const std::filesystem::path& path) {
  const auto source = open_model(path, false);
  return load_tokenizer(*source);
}

Json expected(const std::string& name) {
  std::ifstream in(folder(name) / "expected.json");
  return Json::parse(in);
}

std::string text_of(const Json& one) {
  if (one.contains("text")) return one["text"];
  const std::string hex = one["hex"];
  std::string out;
  for (size_t i = 0; i < hex.size(); i += 2) out += static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16));
  return out;
}

std::string streamed(const Tokenizer& tokenizer, const Ids& ids) {
  Detokenizer detokenizer(tokenizer);
  std::string out;
  for (const int32_t id : ids) out += detokenizer.push(id);
  return out + detokenizer.finish();
}

void compare_ids(const Tokenizer& tokenizer, const Json& cases, size_t longest = 1000) {
  size_t compared = 0;
  for (const Json& one : cases) {
    if (!one.contains("plain")) continue;
    const std::string text = text_of(one);
    if (text.size() > longest) continue;
    const Ids ours = tokenizer.encode(text);
    ++compared;
    if (const auto whole = tokenizer.find(text); whole && tokenizer.kind(*whole) == TokenKind::control) {
      // Hugging Face's unigram model takes control entries for words. Here plain text never becomes one.
      EXPECT_EQ(std::find(ours.begin(), ours.end(), *whole), ours.end()) << text;
    } else {
      EXPECT_EQ(ours, one["plain"].get<Ids>()) << one.dump().substr(0, 80);
    }
    if (!one.contains("special")) continue;
    EXPECT_EQ(tokenizer.encode(text, {.special = true}), one["special"].get<Ids>()) << one.dump().substr(0, 80);
  }
  EXPECT_GT(compared, 100u);
}

// FNV-1a over the ids as 32-bit little-endian numbers.
uint64_t hash(const Ids& ids) {
  uint64_t h = 0xCBF29CE484222325;
  for (const int32_t id : ids) {
    for (int shift = 0; shift < 32; shift += 8) h = (h ^ (static_cast<uint32_t>(id) >> shift & 0xFF)) * 0x100000001B3;
  }
  return h;
}

// 1 MB of one character (or of a few) in one piece: quadratic time would not end, and no stack may run out.
class LongGolden : public testing::TestWithParam<std::string> {};

TEST_P(LongGolden, OneMegabyteOfOneCharacter) {
  const auto tokenizer = load(folder(GetParam()));
  std::ifstream in(folder(GetParam()) / "long.json");
  const Json cases = Json::parse(in);
  ASSERT_GT(cases.size(), 10u);
  for (const Json& one : cases) {
    const std::string unit = one["unit"];
    std::string text;
    for (int i = 0; i < one["times"]; ++i) text += unit;
    const Ids ids = tokenizer->encode(text);
    EXPECT_EQ(ids.size(), one["count"].get<size_t>()) << unit;
    EXPECT_EQ(hash(ids), one["fnv1a"].get<uint64_t>()) << unit;
  }
}

INSTANTIATE_TEST_SUITE_P(Small, LongGolden, testing::Values("smollm", "gpt4o", "llama2", "t5", "spm_llama"),
                         [](const auto& one) { return one.param; });

class JsonGolden : public testing::TestWithParam<std::string> {};

TEST_P(JsonGolden, IdsAndTextEqualHuggingFace) {
  const auto tokenizer = load(folder(GetParam()));
  ASSERT_NE(tokenizer, nullptr);
  const Json cases = expected(GetParam());
  compare_ids(*tokenizer, cases);
  for (const Json& one : cases) {
    if (one.contains("added")) {
      const Ids added = tokenizer->encode(text_of(one), {.special = true, .add_special = true});
      EXPECT_EQ(added, one["added"].get<Ids>()) << one.dump().substr(0, 80);
    }
    if (!one.contains("decoded")) continue;
    const Ids ids = one[one.contains("ids") ? "ids" : "special"];
    const std::string decoded = one["decoded"];
    EXPECT_EQ(tokenizer->decode(ids), decoded) << Json(ids).dump();
    EXPECT_EQ(tokenizer->decode(ids, true), one["decoded_special"].get<std::string>()) << Json(ids).dump();
    if (decoded.find("\xEF\xBF\xBD") == std::string::npos) {
      EXPECT_EQ(streamed(*tokenizer, ids), decoded) << Json(ids).dump();
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Small, JsonGolden,
                         testing::Values("gpt2", "smollm", "llama3", "qwen2", "glm4", "default", "falcon", "gpt4o",
                                         "cl100k", "deepseek", "torture", "behaviors", "flags", "llama2",
                                         "llama2_first", "gemma", "t5", "xlmr", "unigram_bytes"),
                         [](const auto& one) { return one.param; });

class SpmGolden : public testing::TestWithParam<std::string> {};

TEST_P(SpmGolden, IdsAndTextEqualSentencePiece) {
  const auto tokenizer = load(folder(GetParam()));
  ASSERT_NE(tokenizer, nullptr);
  const Json cases = expected(GetParam());
  compare_ids(*tokenizer, cases);
  for (const Json& one : cases) {
    const Ids ids = one["plain"];
    const bool unknown = std::any_of(ids.begin(), ids.end(), [&](int32_t id) {
      return tokenizer->kind(id) == TokenKind::unknown;  // SentencePiece shows U+2047, others nothing
    });
    if (unknown) continue;
    EXPECT_EQ(tokenizer->decode(ids), one["decoded"].get<std::string>()) << one.dump().substr(0, 80);
    EXPECT_EQ(streamed(*tokenizer, ids), one["decoded"].get<std::string>()) << one.dump().substr(0, 80);
  }
}

INSTANTIATE_TEST_SUITE_P(Small, SpmGolden,
                         testing::Values("spm_llama", "spm_glm3", "spm_bpe_symbols", "spm_unused", "spm_t5",
                                         "spm_unigram_bytes", "spm_suffix"),
                         [](const auto& one) { return one.param; });

// The same vocabulary as GGUF metadata.
class GgufGolden : public testing::TestWithParam<std::string> {};

TEST_P(GgufGolden, IdsEqualThoseOfTheFolder) {
  const auto tokenizer = load(folder(GetParam()) / "vocab.gguf");
  ASSERT_NE(tokenizer, nullptr);
  // Hugging Face and llama.cpp add scores in double, SentencePiece in float: over 300 times "a" ties fall differently.
  compare_ids(*tokenizer, expected(GetParam()), GetParam() == "spm_t5" ? 299 : 1000);
}

INSTANTIATE_TEST_SUITE_P(Small, GgufGolden,
                         testing::Values("gpt2", "smollm", "llama3", "qwen2", "glm4", "default", "spm_llama", "spm_t5"),
                         [](const auto& one) { return one.param; });

}  // namespace
}  // namespace autoglm
