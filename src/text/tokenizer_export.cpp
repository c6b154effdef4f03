#include "text/tokenizer_export.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/error.h"
#include "text/tokenizer.h"
#include "text/tokenizer_files.h"
#include "text/utf8.h"

namespace autoglm {
namespace {

using nlohmann::json;

// Of names that mean the same, the one that llama.cpp's own converter writes comes first.
constexpr std::array kNames = {"smollm",      "gpt-2",  "llama-bpe", "qwen2",  "glm4",
                               "chatglm-bpe", "qwen35", "falcon",    "default"};

// Texts on which different pre-tokenizers differ: numbers, contractions, spaces, line breaks, marks, other scripts.
constexpr std::array kTexts = {
    "Hello, world! It's 12:30 and WE'LL see.",
    "1 12 123 1234 12345 1234567890 3,141.59",
    "  two leading, three   inside, trailing  ",
    "line\nbreaks\n\n\nand\r\n windows\t\ttabs \n next",
    "你好，世界！１２３ 这是测试。 日本語 한국어 ไทย हिन्दी العربية",
    "e\u0301 n\u0303 \u0928\u093f 👩‍👩‍👧 🇨🇳 ﬁ Å Ω",
    "def f(x):\n    return x**2  # 3.14\n\n\nfor(;;){}",
    "!!!???...,,,;;;---___=== <b>a&amp;b</b> $5 100% a_b c-d",
    "nocamelCase ALLCAPS MiXeD l'été d'accord 'S 'T",
};

[[noreturn]] void unsupported(const std::string& why) {
  fail(Code::unsupported_model, "GGUF has no words for this tokenizer: " + why,
       "keep using the folder, which needs no conversion");
}

/// The parts of a tokenizer.json that a GGUF takes.
class Exporter {
 public:
  Exporter(const json& file, const Tokenizer& tokenizer) : file_(file), tokenizer_(tokenizer) {}

  Metadata byte_level(std::string_view name) const {
    Metadata out = common("gpt2");
    out.set("tokenizer.ggml.pre", std::string(name));
    std::vector<std::string> merges;
    for (const json& merge : file_["model"]["merges"]) {
      // Either "a b" or ["a", "b"], by the age of the file.
      merges.push_back(merge.is_string() ? merge.get<std::string>()
                                         : merge.at(0).get<std::string>() + " " + merge.at(1).get<std::string>());
    }
    out.set("tokenizer.ggml.merges", MetaArray(std::move(merges)));
    return out;
  }

  // SentencePiece's BPE merges the pair whose result has the best score: the order of the merges, as numbers.
  Metadata sentencepiece(bool space_prefix) const {
    Metadata out = common("llama");
    std::unordered_map<std::string, double> scores;
    double next = -1;
    for (const json& merge : file_["model"]["merges"]) {
      std::string left;
      std::string right;
      if (merge.is_string()) {
        const std::string both = merge.get<std::string>();
        const size_t space = both.find(' ', 1);
        if (space == std::string::npos) unsupported("a merge without a space");
        left = both.substr(0, space);
        right = both.substr(space + 1);
      } else {
        left = merge.at(0).get<std::string>();
        right = merge.at(1).get<std::string>();
      }
      scores.emplace(left + right, next);
      next -= 1;
    }
    std::vector<double> list;
    for (const std::string& text : texts()) {
      const auto it = scores.find(text);
      list.push_back(it == scores.end() ? next : it->second);
    }
    out.set("tokenizer.ggml.scores", MetaArray(std::move(list)));
    out.set("tokenizer.ggml.add_space_prefix", space_prefix);
    return out;
  }

 private:
  // Every id's text; ids that the file leaves out get a text that nobody types.
  std::vector<std::string> texts() const {
    std::vector<std::string> all(static_cast<size_t>(tokenizer_.size()));
    for (size_t i = 0; i < all.size(); ++i) all[i] = "[PAD" + std::to_string(i) + "]";
    const auto put = [&all](const json& id, const std::string& text) {
      const auto at = id.get<int64_t>();
      if (at >= 0 && at < static_cast<int64_t>(all.size())) all[static_cast<size_t>(at)] = text;
    };
    for (const auto& [text, id] : file_["model"]["vocab"].items()) put(id, text);
    if (file_.contains("added_tokens")) {
      for (const json& token : file_["added_tokens"]) put(token.at("id"), token.at("content").get<std::string>());
    }
    return all;
  }

  Metadata common(const std::string& model) const {
    Metadata out;
    out.set("tokenizer.ggml.model", model);
    std::vector<int64_t> types;
    for (int32_t id = 0; id < tokenizer_.size(); ++id) types.push_back(number_of(tokenizer_.kind(id)));
    out.set("tokenizer.ggml.tokens", MetaArray(texts()));
    out.set("tokenizer.ggml.token_type", MetaArray(std::move(types)));
    if (tokenizer_.bos()) out.set("tokenizer.ggml.bos_token_id", int64_t{*tokenizer_.bos()});
    if (tokenizer_.eos()) out.set("tokenizer.ggml.eos_token_id", int64_t{*tokenizer_.eos()});
    // GGUF has two more places for the ends that generation_config.json lists.
    constexpr std::array kPlaces = {"tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id"};
    size_t place = 0;
    for (const int32_t end : tokenizer_.ends()) {
      if (tokenizer_.eos() == end || place == kPlaces.size()) continue;
      out.set(kPlaces[place++], int64_t{end});
    }
    out.set("tokenizer.ggml.add_bos_token", tokenizer_.adds_bos());
    return out;
  }

  static int64_t number_of(TokenKind kind) {
    switch (kind) {
      case TokenKind::normal:
        return 1;
      case TokenKind::unknown:
        return 2;
      case TokenKind::control:
        return 3;
      case TokenKind::user_defined:
        return 4;
      case TokenKind::unused:
        return 5;
      case TokenKind::byte:
        return 6;
    }
    return 1;
  }

  const json& file_;
  const Tokenizer& tokenizer_;
};

// Texts made of the vocabulary's own entries, eight at a time: what a pre-tokenizer or a merge rule can change shows
// where the vocabulary has the words for it. At most some 20,000 entries.
std::vector<std::string> probes(const Tokenizer& tokenizer) {
  std::vector<std::string> all(kTexts.begin(), kTexts.end());
  const int32_t stride = std::max(1, tokenizer.size() / 20000);
  std::string text;
  int32_t pieces = 0;
  for (int32_t id = 0; id < tokenizer.size(); id += stride) {
    if (tokenizer.kind(id) != TokenKind::normal) continue;
    const std::string piece = tokenizer.piece(id);
    if (!utf8::valid(piece)) continue;
    text += piece;
    if (++pieces % 8 == 0) all.push_back(std::exchange(text, {}));
    all.push_back(piece);
  }
  all.push_back(text);
  return all;
}

/// The folder's ids of the probes, and which candidate gives them too.
class Judge {
 public:
  explicit Judge(const Tokenizer& ours) : texts_(probes(ours)) {
    for (const std::string& text : texts_) ids_.push_back(ours.encode(text));
  }
  bool accepts(const Metadata& keys) {
    const std::unique_ptr<Tokenizer> theirs = tokenizer_from_gguf(keys);
    for (size_t i = 0; i < texts_.size(); ++i) {
      if (theirs->encode(texts_[i]) == ids_[i]) continue;
      if (i >= furthest_) difference_ = texts_[furthest_ = i];
      return false;
    }
    return true;
  }
  /// Where the best candidate failed.
  const std::string& difference() const { return difference_; }

 private:
  std::vector<std::string> texts_;
  std::vector<std::vector<int32_t>> ids_;
  size_t furthest_ = 0;
  std::string difference_;
};

void add_template(const ModelSource& folder, Metadata& out) {
  if (const auto text = folder.file("chat_template.jinja")) {
    out.set("tokenizer.chat_template", *text);
    return;
  }
  const auto config = folder.file("tokenizer_config.json");
  if (!config) return;
  const json object = json::parse(*config, nullptr, false);
  if (!object.is_object() || !object.contains("chat_template")) return;
  const json& value = object["chat_template"];
  if (value.is_string()) out.set("tokenizer.chat_template", value.get<std::string>());
  if (!value.is_array()) return;
  for (const json& named : value) {
    if (named.is_object() && named.value("name", "") == "default" && named.contains("template") &&
        named["template"].is_string()) {
      out.set("tokenizer.chat_template", named["template"].get<std::string>());
    }
  }
}

}  // namespace

Metadata tokenizer_metadata(const ModelSource& folder) {
  const std::unique_ptr<Tokenizer> tokenizer = load_tokenizer(folder);
  if (!tokenizer) return {};
  const std::optional<std::string> text = folder.file("tokenizer.json");
  if (!text) unsupported("it is a tokenizer.model without a tokenizer.json");
  const json file = json::parse(*text, nullptr, false);
  if (!file.is_object() || !file.contains("model") || !file["model"].is_object()) {
    fail(Code::bad_model_file, "tokenizer.json has no model");
  }
  const json& model = file["model"];
  if (!model.contains("vocab") || !model["vocab"].is_object() || !model.contains("merges") ||
      !model["merges"].is_array()) {
    unsupported("it is no BPE");
  }
  const Exporter exporter(file, *tokenizer);
  std::optional<Metadata> found;
  Judge judge(*tokenizer);
  const auto consider = [&](Metadata keys) {
    if (!found && judge.accepts(keys)) found = std::move(keys);
  };
  try {
    if (model.value("byte_fallback", false)) {
      for (const bool prefix : {true, false}) consider(exporter.sentencepiece(prefix));
    } else {
      const bool ignore_merges = model.value("ignore_merges", false);
      for (const char* name : kNames) {
        if (named_pretokenizer(name).ignore_merges == ignore_merges) consider(exporter.byte_level(name));
      }
    }
  } catch (const json::exception& error) {
    fail(Code::bad_model_file, std::string("tokenizer.json: ") + error.what());
  }
  if (!found) {
    unsupported("no pre-tokenizer that GGUF names gives its ids (they differ on '" + judge.difference().substr(0, 60) +
                "')");
  }
  add_template(folder, *found);
  return *found;
}

}  // namespace autoglm
