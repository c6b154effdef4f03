// GGUF names a pre-tokenizer where a tokenizer.json spells it out. The patterns are those of the models'
// tokenizer.json.
#include <algorithm>
#include <array>
#include <string>
#include <vector>

#include "base/error.h"
#include "text/tokenizer_files.h"
#include "text/utf8.h"

namespace autoglm {
namespace {

constexpr std::string_view kGpt2 = R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
constexpr std::string_view kLlama3 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*)"
    R"(|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kQwen2 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*)"
    R"(|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kQwen35 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*)"
    R"(|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kGlm4 =
    R"((?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3})"
    R"(| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kDeepSeekLetters =
    R"(\s?[A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ-ᶚḀ-ἕἘ-Ἕ)"
    R"(ἠ-ὅὈ-Ὅὐ-ὗὙὛὝὟ-ώᾀ-ᾴᾶ-ᾼιῂ-ῄῆ-ῌῐ-ΐῖ-Ίῠ-Ῥῲ-ῴῶ-ῼℂℇℊ-ℓℕℙ-ℝℤΩℨK-ℭℯ-ℴℹℼ-ℿⅅ-ⅉⅎↃↄⰀ-ⱻⱾ-ⳤⳫ-ⳮⳲⳳꙀ-ꙭꚀ-ꚛ)"
    R"(Ꜣ-ꝯꝱ-ꞇꞋ-ꞎꭰ-ꮿﬀ-ﬆﬓ-ﬗＡ-Ｚａ-ｚ𐐀-𐑏𐒰-𐓓𐓘-𐓻𐲀-𐲲𐳀-𐳲𑢠-𑣟𞤀-𞥃]+)";
constexpr std::string_view kDeepSeekCjk = "[一-龥ࠀ-一가-퟿]+";
constexpr std::string_view kOneNumber = R"(\p{N})";

// The steps of a name, in order: each isolates the matches of its pattern.
struct Row {
  std::string_view name;
  std::array<std::string_view, 6> steps;
  bool ignore_merges = false;
  bool add_bos = false;
  bool nfc = false;  // the models' tokenizer.json composes the text first
};

constexpr std::array kRows = {
    Row{"default", {R"([\p{P}\$\+<=>\^~\|]+)", kGpt2, R"(\p{N}+)", "[0-9][0-9][0-9]"}},
    Row{"gpt-2", {kGpt2}},
    Row{"smollm", {kOneNumber, kGpt2}},
    Row{"starcoder", {kOneNumber, kGpt2}},
    Row{"refact", {kOneNumber, kGpt2}},
    Row{"command-r", {kOneNumber, kGpt2}},
    Row{"codeshell", {kOneNumber, kGpt2}},
    Row{"mpt", {kGpt2}, false, false, true},
    Row{"olmo", {kGpt2}, false, false, true},
    Row{"phi-2", {kGpt2}},
    Row{"falcon", {R"([\p{P}\$\+<=>\^~\|`]+)", kGpt2, "[0-9][0-9][0-9]"}},
    Row{"deepseek-coder", {"[\r\n]", R"(\s?\p{L}+)", R"(\s?\p{P}+)", kDeepSeekCjk, kOneNumber}},
    Row{"deepseek-llm",
        {"[\r\n]", kDeepSeekLetters, R"(\s?[!-/:-~！-／：-～‘-‟　-。]+)", R"(\s+$)", kDeepSeekCjk, R"(\p{N}+)"}},
    Row{"llama3", {kLlama3}, true, true},
    Row{"llama-v3", {kLlama3}, true, true},
    Row{"llama-bpe", {kLlama3}, true, true},
    Row{"qwen2", {kQwen2}, false, false, true},
    Row{"deepseek-r1-qwen", {kQwen2}, false, false, true},
    Row{"qwen35", {kQwen35}},
    Row{"chatglm-bpe", {kGlm4}},
    Row{"glm4", {kGlm4}, true},
    Row{"glm5", {kGlm4}, true},
};

}  // namespace

NamedPreTokenizer named_pretokenizer(std::string_view name) {
  const auto* row = std::find_if(kRows.begin(), kRows.end(), [&](const Row& r) { return r.name == name; });
  if (row == kRows.end()) {
    std::vector<std::string_view> names;
    for (const Row& r : kRows) names.push_back(r.name);
    const std::string near = nearest(name, names.data(), names.size());
    fail(Code::unsupported_model, "the pre-tokenizer '" + std::string(name) + "' is not supported",
         near.empty() ? "supported are smollm, gpt-2, llama-bpe, qwen2, chatglm-bpe, glm4 and some others"
                      : "the nearest supported one is '" + near + "'");
  }
  NamedPreTokenizer out;
  out.ignore_merges = row->ignore_merges;
  out.add_bos = row->add_bos;
  if (row->nfc) out.normalizers.push_back(make_unicode_normalizer(UnicodeForm::nfc));
  for (const std::string_view pattern : row->steps) {
    if (!pattern.empty()) out.steps.push_back(make_split(Regex(pattern), SplitBehavior::isolated, false));
  }
  out.steps.push_back(make_byte_level(false, false));
  return out;
}

}  // namespace autoglm
