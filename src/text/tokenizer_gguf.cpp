// https://github.com/ggml-org/ggml/blob/master/docs/gguf.md: the tokenizer.ggml.* keys.
#include <algorithm>
#include <array>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "text/tokenizer_files.h"

namespace autoglm {
namespace {

constexpr std::string_view kEscapedSpace = "\xE2\x96\x81";  // U+2581

std::string key(std::string_view name) { return "tokenizer.ggml." + std::string(name); }

[[noreturn]] void bad(const std::string& what) { fail(Code::bad_model_file, "the GGUF tokenizer " + what); }

// Converters have left some ends of turns as ordinary entries. Such a text is never an ordinary word.
bool looks_like_control(std::string_view text) {
  constexpr std::array kTexts = {"<|eot_id|>",    "<|eom_id|>",      "<|im_start|>",   "<|im_end|>",      "<|end|>",
                                 "<end_of_turn>", "<start_of_turn>", "<|endoftext|>",  "<|end_of_text|>", "<|user|>",
                                 "<|assistant|>", "<|system|>",      "<|observation|>"};
  return std::find(kTexts.begin(), kTexts.end(), text) != kTexts.end();
}

class Reader {
 public:
  explicit Reader(const Metadata& metadata) : m_(metadata) {}

  std::unique_ptr<Tokenizer> read() {
    read_vocab();
    const std::string model = m_.text(key("model"));
    if (model == "gpt2") {
      read_bpe();
    } else if (model == "llama") {
      read_spm();
    } else if (model == "t5") {
      read_unigram();
    } else {
      fail(Code::unsupported_model, "the tokenizer model '" + model + "' is not supported",
           "supported are gpt2 (byte-level BPE), llama (SentencePiece BPE) and t5 (SentencePiece unigram)");
    }
    add_tokens();
    return make_tokenizer(std::move(parts_));
  }

 private:
  void read_vocab() {
    const auto* tokens = m_.strings(key("tokens"));
    if (tokens == nullptr) bad("has no tokens");
    if (tokens->empty() || tokens->size() > 0x7FFFFFFF) bad("has no tokens or too many");
    const auto* types = m_.integers(key("token_type"));
    if (types != nullptr && types->size() < tokens->size()) bad("has fewer token types than tokens");
    std::vector<Vocab::Entry> entries(tokens->size());
    for (size_t i = 0; i < entries.size(); ++i) {
      entries[i] = {(*tokens)[i], types == nullptr ? TokenKind::normal : sentencepiece_kind((*types)[i])};
      auto& kind = entries[i].kind;
      const bool ordinary = kind == TokenKind::normal || kind == TokenKind::user_defined;
      if (ordinary && looks_like_control(entries[i].text)) kind = TokenKind::control;
    }
    parts_.vocab = std::make_unique<Vocab>(entries);
  }

  // A special token's id, or nothing if the file names none or one that does not exist.
  std::optional<int32_t> special(std::string_view name, int64_t fallback = -1) const {
    const int64_t id = m_.integer(key(name), fallback);
    if (id < 0 || id >= parts_.vocab->size()) return std::nullopt;
    return static_cast<int32_t>(id);
  }

  void surround(bool add_bos, bool add_eos) {
    add_bos = m_.boolean(key("add_bos_token"), add_bos);
    add_eos = m_.boolean(key("add_eos_token"), add_eos);
    if (add_bos && parts_.bos) parts_.prefix.push_back(*parts_.bos);
    if (add_eos && parts_.eos) parts_.suffix.push_back(*parts_.eos);
  }

  void read_specials(int64_t bos, int64_t eos) {
    parts_.bos = special("bos_token_id", bos);
    parts_.eos = special("eos_token_id", eos);
    for (const auto& id : {parts_.eos, special("eot_token_id"), special("eom_token_id")}) {
      if (id && std::find(parts_.ends.begin(), parts_.ends.end(), *id) == parts_.ends.end()) parts_.ends.push_back(*id);
    }
  }

  void read_bpe() {
    const std::string pre = m_.text(key("pre"), "default");
    NamedPreTokenizer named = named_pretokenizer(pre);
    const auto* list = m_.strings(key("merges"));
    if (list == nullptr) bad("has no merges");
    std::vector<std::pair<std::string_view, std::string_view>> merges;
    merges.reserve(list->size());
    for (const std::string_view merge : *list) {
      const size_t space = merge.find(' ', 1);
      if (space == std::string_view::npos) bad("has a merge without a space: '" + std::string(merge) + "'");
      merges.emplace_back(merge.substr(0, space), merge.substr(space + 1));
    }
    BpeOptions options;
    options.ignore_merges = named.ignore_merges;
    parts_.model = make_bpe(*parts_.vocab, merges, options);
    parts_.normalizers = std::move(named.normalizers);
    parts_.pretokenizers = std::move(named.steps);
    parts_.decoders.push_back(make_byte_level_decoder());
    read_specials(-1, -1);
    surround(named.add_bos, false);
    parts_.description = "bpe " + pre;
  }

  std::vector<double> scores() const {
    const auto* numbers = m_.numbers(key("scores"));
    if (numbers == nullptr) bad("has no scores");
    if (numbers->size() < static_cast<size_t>(parts_.vocab->size())) bad("has fewer scores than tokens");
    return {numbers->begin(), numbers->begin() + parts_.vocab->size()};
  }

  void read_spm() {
    const bool prefix = m_.boolean(key("add_space_prefix"), true);
    const std::vector<double> wide = scores();
    const Fallback fallback{special("unknown_token_id", 0), true, true};
    parts_.model = make_spm_bpe(*parts_.vocab, {wide.begin(), wide.end()}, Trie(), fallback);
    if (prefix) parts_.normalizers.push_back(make_prepend(" "));
    parts_.normalizers.push_back(make_replace(" ", std::string(kEscapedSpace)));
    spm_decoders(prefix);
    read_specials(1, 2);
    surround(true, false);
    parts_.description = "spm";
  }

  void read_unigram() {
    SpmNormalizerOptions options;
    if (const auto* bytes = m_.integers(key("precompiled_charsmap"))) {
      std::string blob;
      for (const int64_t b : *bytes) blob += static_cast<char>(static_cast<uint8_t>(b));
      options.charsmap = Charsmap(blob);
    }
    options.add_dummy_prefix = m_.boolean(key("add_space_prefix"), true);
    options.remove_extra_whitespaces = m_.boolean(key("remove_extra_whitespaces"), false);
    const bool prefix = options.add_dummy_prefix;
    parts_.normalizers.push_back(make_spm_normalizer(std::move(options)));
    UnigramOptions unigram;
    unigram.fallback = {special("unknown_token_id", 2), true, true};
    parts_.model = make_unigram(*parts_.vocab, scores(), unigram);
    spm_decoders(prefix);
    read_specials(-1, 1);
    surround(false, true);
    parts_.description = "unigram";
  }

  void spm_decoders(bool prefix) {
    parts_.decoders.push_back(make_replace_decoder(std::string(kEscapedSpace), " "));
    parts_.decoders.push_back(make_byte_fallback_decoder());
    parts_.decoders.push_back(make_fuse_decoder());
    if (prefix) parts_.decoders.push_back(make_strip_decoder(" ", 1, 0));
  }

  void add_tokens() {
    std::vector<AddedToken> tokens;
    for (int32_t id = 0; id < parts_.vocab->size(); ++id) {
      const TokenKind kind = parts_.vocab->kind(id);
      const bool control = kind == TokenKind::control || kind == TokenKind::unknown;
      if (!control && kind != TokenKind::user_defined) continue;
      AddedToken token;
      token.text = parts_.vocab->text(id);
      token.id = id;
      token.control = control;
      tokens.push_back(std::move(token));
    }
    parts_.added = AddedTokens(std::move(tokens), parts_.normalizers);
  }

  const Metadata& m_;
  TokenizerParts parts_;
};

}  // namespace

std::unique_ptr<Tokenizer> tokenizer_from_gguf(const Metadata& metadata) {
  if (!metadata.has(key("model"))) return nullptr;
  const std::string model = metadata.text(key("model"));
  if (model == "no_vocab" || model == "none") return nullptr;
  return Reader(metadata).read();
}

}  // namespace autoglm
