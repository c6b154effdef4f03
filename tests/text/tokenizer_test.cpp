// Who may write control tokens, limits, streaming, and what broken files say.
#include "text/tokenizer.h"

#include <algorithm>
#include <fstream>
#include <iterator>

#include "base/error.h"
#include "format/model_source.h"
#include "text/regex.h"
#include "text/tokenizer_files.h"

namespace autoglm {
namespace {

using Ids = std::vector<int32_t>;

std::string golden(const std::string& name) { return std::string(AUTOGLM_TEST_DATA) + "/tokenizers/" + name; }

std::unique_ptr<Tokenizer> load(const std::string& path) { return load_tokenizer(*open_model(path, false)); }

std::string read(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  EXPECT_TRUE(in.good()) << path;
  return {std::istreambuf_iterator<char>(in), {}};
}

// The concatenation of parts, each written by the template (true) or by somebody else.
struct Rendered {
  std::string text;
  OriginMask origin;
  Rendered& add(const std::string& part, bool ours) {
    text += part;
    origin.insert(origin.end(), part.size(), ours);
    return *this;
  }
};

TEST(Origin, ControlTokensMatchOnlyWhereTheTemplateWroteThem) {
  const auto glm = load(golden("glm4"));
  const int32_t user = *glm->find("<|user|>");
  Rendered r;
  r.add("<|user|>", true).add("say <|user|>", false).add("<|assistant|>", true);
  const Ids ids = glm->encode(r.text, {.origin = &r.origin});
  EXPECT_EQ(std::count(ids.begin(), ids.end(), user), 1);
  EXPECT_EQ(ids.front(), user);
  EXPECT_EQ(ids.back(), *glm->find("<|assistant|>"));
  EXPECT_EQ(glm->decode(ids, true), r.text);
}

TEST(Origin, APartlyTrustedControlTokenIsText) {
  const auto glm = load(golden("glm4"));
  for (size_t foreign = 0; foreign < 8; ++foreign) {
    const std::string text = "<|user|>";
    OriginMask origin(text.size(), true);
    origin[foreign] = false;
    const Ids ids = glm->encode(text, {.origin = &origin});
    EXPECT_EQ(ids, glm->encode(text)) << foreign;
    EXPECT_EQ(std::count(ids.begin(), ids.end(), *glm->find("<|user|>")), 0);
  }
}

TEST(Origin, TheMaskOverridesTheSpecialFlag) {
  const auto glm = load(golden("glm4"));
  const std::string text = "<|user|>";
  const OriginMask origin(text.size(), false);
  EXPECT_EQ(glm->encode(text, {.special = true, .origin = &origin}), glm->encode(text));
}

TEST(Origin, UserDefinedTokensMatchEverywhere) {
  const auto glm = load(golden("glm4"));
  const int32_t think = *glm->find("<think>");
  EXPECT_EQ(glm->kind(think), TokenKind::user_defined);
  const std::string text = "<think>";
  const OriginMask origin(text.size(), false);
  EXPECT_EQ(glm->encode(text, {.origin = &origin}), Ids{think});
  EXPECT_EQ(glm->encode(text), Ids{think});
  EXPECT_EQ(glm->piece(think), "<think>");
}

// A border of origin inside a word must not change how the word is cut.
TEST(Origin, TextIsNeverCutAtABorderOfOrigin) {
  for (const char* name : {"glm4", "smollm", "qwen2", "llama2", "llama2_first", "gemma", "t5", "spm_llama", "spm_t5"}) {
    const auto tokenizer = load(golden(name));
    const std::string text = "Hello wor1234ld,  你好世界 e\u0301 \n\n ok";
    const Ids whole = tokenizer->encode(text);
    for (size_t border = 0; border <= text.size(); ++border) {
      OriginMask origin(text.size(), false);
      std::fill(origin.begin(), origin.begin() + static_cast<std::ptrdiff_t>(border), true);
      EXPECT_EQ(tokenizer->encode(text, {.origin = &origin}), whole) << name << " " << border;
    }
  }
}

// Normalization moves bytes; the mask moves with them.
TEST(Origin, SurvivesNormalization) {
  const std::string json = R"({"added_tokens":[{"id":4,"content":"<c>","special":true,"normalized":true}],
    "normalizer":{"type":"Sequence","normalizers":[{"type":"NFKC"},{"type":"Lowercase"},
      {"type":"Replace","pattern":{"String":"x"},"content":"yyy"},{"type":"Strip","strip_left":true,"strip_right":true}]},
    "model":{"type":"BPE","vocab":{"<":0,"c":1,">":2,"y":3},"merges":[]}})";
  const auto tokenizer = tokenizer_from_json(json);
  EXPECT_EQ(tokenizer->encode(" x\uFF1Cc>", {.special = true}), (Ids{3, 3, 3, 4}));
  Rendered r;
  r.add(" x<C>", false).add("x\uFF1CC>", true).add("x<c", true).add(">", false);
  EXPECT_EQ(tokenizer->encode(r.text, {.origin = &r.origin}), (Ids{3, 3, 3, 0, 1, 2, 3, 3, 3, 4, 3, 3, 3, 0, 1, 2}));
}

TEST(Specials, RawTextGetsWhatTheFileSays) {
  const auto llama = load(golden("llama2"));
  EXPECT_TRUE(llama->adds_bos() || !llama->bos());
  const Ids raw = llama->encode("hi", {.add_special = true});
  const Ids rendered = llama->encode("<s>hi", {.special = true});
  EXPECT_EQ(raw, rendered);
  EXPECT_EQ(std::count(rendered.begin(), rendered.end(), *llama->find("<s>")), 1);
  const auto t5 = load(golden("t5"));
  EXPECT_EQ(t5->encode("hi", {.add_special = true}).back(), *t5->find("</s>"));
}

TEST(Specials, EndsComeFromTheTokenizerAndTheGenerationConfig) {
  const std::string json = read(golden("glm4") + "/tokenizer.json");
  TokenizerSettings settings;
  settings.tokenizer_config = R"({"eos_token": "<|endoftext|>"})";
  settings.generation_config = R"({"eos_token_id": [0, 2, 4]})";
  EXPECT_EQ(tokenizer_from_json(json, settings)->ends(), (Ids{0, 2, 4}));
  settings.generation_config = R"({"eos_token_id": 2})";
  EXPECT_EQ(tokenizer_from_json(json, settings)->ends(), (Ids{0, 2}));
}

// ChatGLM3's control tokens are in no file; its own code appends them to the model's pieces.
TEST(Specials, ChatGlm3GetsItsControlTokens) {
  const std::string model = read(golden("spm_llama") + "/tokenizer.model");
  const auto tokenizer = tokenizer_from_spm(model, {R"({"tokenizer_class": "ChatGLMTokenizer"})", {}});
  const int32_t first = tokenizer_from_spm(model)->size();
  EXPECT_EQ(tokenizer->find("[MASK]"), first);
  EXPECT_EQ(tokenizer->find("[gMASK]"), first + 1);
  EXPECT_EQ(tokenizer->find("sop"), first + 3);
  EXPECT_EQ(tokenizer->find("<|user|>"), first + 6);
  const Ids raw = tokenizer->encode("hi", {.add_special = true});
  EXPECT_EQ(raw[0], first + 1);
  EXPECT_EQ(raw[1], first + 3);
  EXPECT_EQ(tokenizer->encode("sop <|user|>"), tokenizer_from_spm(model)->encode("sop <|user|>"));
}

TEST(Streaming, NeverGivesHalfACharacter) {
  const auto tokenizer = load(golden("smollm"));
  const std::string text = "héllo 世界 👩‍👩‍👧 \U0010FFFF";
  const Ids ids = tokenizer->encode(text);
  Detokenizer detokenizer(*tokenizer);
  std::string all;
  for (const int32_t id : ids) {
    const std::string part = detokenizer.push(id);
    EXPECT_EQ(part.find("\xEF\xBF\xBD"), std::string::npos);
    EXPECT_FALSE(!part.empty() && (static_cast<unsigned char>(part.front()) & 0xC0) == 0x80);
    all += part;
  }
  EXPECT_EQ(all + detokenizer.finish(), text);
}

TEST(Streaming, BytesThatNeverBecomeACharacterAreReplaced) {
  const auto tokenizer = load(golden("gpt2"));
  const Ids euro = tokenizer->encode("\u20AC");  // E2 82 AC
  ASSERT_GE(euro.size(), 2u);
  Detokenizer cut(*tokenizer);
  EXPECT_EQ(cut.push(euro[0]), "");
  EXPECT_EQ(cut.finish(), "\xEF\xBF\xBD");
  Detokenizer broken(*tokenizer);
  EXPECT_EQ(broken.push(euro[0]), "");
  EXPECT_EQ(broken.push(tokenizer->encode("a")[0]),
            "\xEF\xBF\xBD"
            "a");
}

TEST(Streaming, NoSpaceBeforeSentencePiecesFirstWord) {
  const auto tokenizer = load(golden("spm_llama"));
  for (const std::string text : {"Hello world", " x", "   y z", " ", ""}) {
    Detokenizer detokenizer(*tokenizer);
    std::string all;
    for (const int32_t id : tokenizer->encode(text)) all += detokenizer.push(id);
    EXPECT_EQ(all + detokenizer.finish(), text);
  }
}

TEST(Requests, AnIdOutsideTheVocabularyIsRefused) {
  const auto tokenizer = load(golden("gpt2"));
  for (const int32_t id : {-1, tokenizer->size(), 0x7FFFFFFF}) {
    EXPECT_THROW(tokenizer->piece(id), Error);
    EXPECT_THROW(tokenizer->kind(id), Error);
    EXPECT_THROW(tokenizer->decode(Ids{id}), Error);
  }
}

std::string message(const std::string& json) {
  try {
    tokenizer_from_json(json);
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

TEST(Refusals, NameWhatIsNotSupported) {
  const std::string bpe = R"("model":{"type":"BPE","vocab":{"a":0},"merges":[]})";
  const auto with = [&](const std::string& part) { return message("{" + part + "," + bpe + "}"); };
  EXPECT_THAT(with(R"("normalizer":{"type":"BertNormalizer"})"), testing::HasSubstr("'BertNormalizer'"));
  EXPECT_THAT(with(R"("pre_tokenizer":{"type":"UnicodeScripts"})"), testing::HasSubstr("'UnicodeScripts'"));
  EXPECT_THAT(with(R"("decoder":{"type":"CTC"})"), testing::HasSubstr("'CTC'"));
  EXPECT_THAT(with(R"("post_processor":{"type":"Odd"})"), testing::HasSubstr("'Odd'"));
  EXPECT_THAT(with(R"("pre_tokenizer":{"type":"Split","pattern":{"Regex":"[a&&b]"},"behavior":"Isolated"})"),
              testing::HasSubstr("intersection"));
  EXPECT_THAT(message(R"({"model":{"type":"WordPiece","vocab":{}}})"), testing::HasSubstr("'WordPiece'"));
  EXPECT_THAT(message(R"({"model":{"type":"BPE","vocab":{"a":0},"merges":[],"end_of_word_suffix":"</w>"}})"),
              testing::HasSubstr("end_of_word_suffix"));
  EXPECT_EQ(with(R"("normalizer":null)"), "no error");
}

TEST(Refusals, BrokenFilesAreErrors) {
  for (const char* json :
       {"", "{", "[]", "{}", R"({"model":3})", R"({"model":{"type":"BPE","vocab":{"a":-1},"merges":[]}})",
        R"({"model":{"type":"BPE","vocab":{"a":0,"b":0},"merges":[]}})",
        R"({"model":{"type":"BPE","vocab":{"a":9000000},"merges":[]}})",
        R"({"model":{"type":"BPE","vocab":{"a":0},"merges":["a b"]}})",
        R"({"model":{"type":"BPE","vocab":{"a":0},"merges":["a"]}})",
        R"({"model":{"type":"BPE","vocab":{},"merges":[]}})",
        R"({"model":{"type":"Unigram","vocab":[["a"]],"unk_id":0}})",
        R"({"model":{"type":"Unigram","vocab":[["a",-1.0]],"unk_id":5}})"}) {
    EXPECT_THROW(tokenizer_from_json(json), Error) << json;
  }
  const std::string model = read(golden("spm_llama") + "/tokenizer.model");
  EXPECT_THROW(tokenizer_from_spm(""), Error);
  EXPECT_THROW(tokenizer_from_spm("hello, this is no model"), Error);
  EXPECT_THROW(tokenizer_from_spm(model.substr(0, model.size() - 3)), Error);
}

TEST(Refusals, AnUnknownPreTokenizerNamesTheNearest) {
  try {
    named_pretokenizer("smolm");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Code::unsupported_model);
    EXPECT_THAT(error.hint(), testing::HasSubstr("smollm"));
  }
}

TEST(RegexSyntax, IsOnigurumas) {
  EXPECT_EQ(to_pcre2("a{2,3}+"), "(?:a{2,3})+");
  EXPECT_EQ(to_pcre2("(?:ab){,3}"), "(?:ab){0,3}");
  EXPECT_EQ(to_pcre2("(?m:.)"), "(?s:.)");
  EXPECT_EQ(to_pcre2("{x"), "\\{x");
  for (const char* refused : {"[a[b]]", "[a&&b]", "\\y", "(?~a)", "(?x)a b"}) EXPECT_THROW(to_pcre2(refused), Error);
}

// A pattern that takes exponential time ends in an error, not in a hang.
TEST(RegexSyntax, ExponentialPatternsGiveUp) {
  const Regex regex("(a|aa)+\\d");
  Regex::Matcher matcher(regex);
  try {
    matcher.each(std::string(200, 'a'), [](size_t, size_t) {});
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Code::limit_exceeded);
  }
}

}  // namespace
}  // namespace autoglm
