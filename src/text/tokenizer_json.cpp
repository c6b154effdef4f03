// Hugging Face's tokenizer.json (https://huggingface.co/docs/tokenizers).
#include <algorithm>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/error.h"
#include "text/tokenizer_files.h"
#include "text/tokenizer_json_parts.h"
#include "text/tokenizer_settings.h"

namespace autoglm {
namespace {

using json_read::Element;

class Reader {
 public:
  Reader(Element root, SettingsRead settings)
      : root_(root), model_(json_read::need(root, "model")), settings_(std::move(settings)) {}

  std::unique_ptr<Tokenizer> read() {
    read_added();
    if (const auto value = json_read::find(root_, "normalizer")) read_normalizer(*value, parts_.normalizers);
    if (const auto value = json_read::find(root_, "pre_tokenizer")) read_pretokenizer(*value, parts_.pretokenizers);
    const std::string type = model_type();
    if (type == "BPE") {
      read_bpe();
    } else if (type == "Unigram") {
      read_unigram();
    } else {
      fail(Code::unsupported_model, "the tokenizer model '" + type + "' is not supported",
           "supported are BPE and Unigram");
    }
    parts_.added = AddedTokens(std::move(added_), parts_.normalizers);
    if (const auto value = json_read::find(root_, "post_processor")) read_postprocessor(*value, parts_);
    for (const auto* ids : {&parts_.prefix, &parts_.suffix}) {
      for (const int32_t id : *ids) {
        if (!parts_.vocab->has(id)) fail(Code::bad_model_file, "the tokenizer's post-processor adds an unknown token");
      }
    }
    if (const auto value = json_read::find(root_, "decoder")) {
      read_decoder(*value, parts_.decoders);
    } else {
      parts_.separator = " ";
    }
    apply_settings(settings_, parts_);
    return make_tokenizer(std::move(parts_));
  }

 private:
  // Old files do not name the model.
  std::string model_type() const {
    if (const auto type = json_read::find(model_, "type")) return std::string(json_read::text(*type, "type"));
    if (json_read::find(model_, "merges")) return "BPE";
    return json_read::need(model_, "vocab").is_array() ? "Unigram" : "WordPiece or WordLevel";
  }

  void read_added() {
    if (const auto list = json_read::find(root_, "added_tokens")) {
      for (const Element value : json_read::array(*list, "added_tokens")) {
        AddedToken token;
        token.id = json_read::token_id(json_read::need(value, "id"), "id");
        token.text = json_read::text_of(value, "content");
        token.control = json_read::flag(value, "special", false);
        token.single_word = json_read::flag(value, "single_word", false);
        token.lstrip = json_read::flag(value, "lstrip", false);
        token.rstrip = json_read::flag(value, "rstrip", false);
        token.normalized = json_read::flag(value, "normalized", !token.control);
        add(std::move(token));
      }
    }
    for (AddedToken& token : settings_.added) add(std::move(token));
  }

  void add(AddedToken token) {
    if (token.text.empty() || !added_index_.emplace(token.text, added_.size()).second) return;
    added_.push_back(std::move(token));
  }

  // An entry of the model's own vocabulary. An added token of the same text takes its id.
  void entry(std::string_view text, int32_t id, TokenKind kind) {
    const auto n = static_cast<size_t>(id);
    if (n >= entries_.size()) entries_.resize(n + 1);
    if (used(n)) fail(Code::bad_model_file, "two tokens of the tokenizer have the id " + std::to_string(id));
    if (const auto found = added_index_.find(std::string(text)); found != added_index_.end()) {
      added_[found->second].id = id;
      in_model_[found->second] = true;
      kind = added_[found->second].control ? TokenKind::control : TokenKind::user_defined;
    }
    entries_[n] = {text, kind};
  }

  bool used(size_t id) const { return entries_[id].text.data() != nullptr; }

  // Ids may have gaps, but not so many that the table is mostly empty.
  void check_largest(int64_t largest, size_t count) const {
    if (largest > static_cast<int64_t>(2 * count + 65536)) {
      fail(Code::bad_model_file,
           "the tokenizer has " + std::to_string(count) + " tokens but the id " + std::to_string(largest));
    }
  }

  void finish_vocab() {
    int64_t largest = 0;
    for (const AddedToken& token : added_) largest = std::max<int64_t>(largest, token.id);
    check_largest(largest, entries_.size() + added_.size());
    for (size_t i = 0; i < added_.size(); ++i) {
      if (in_model_[i]) continue;
      const auto n = static_cast<size_t>(added_[i].id);
      if (n >= entries_.size()) entries_.resize(n + 1);
      if (used(n)) fail(Code::bad_model_file, "two tokens of the tokenizer have the id " + std::to_string(n));
      entries_[n] = {added_[i].text, added_[i].control ? TokenKind::control : TokenKind::user_defined};
    }
    if (entries_.empty()) fail(Code::bad_model_file, "the tokenizer has no tokens");
    parts_.vocab = std::make_unique<Vocab>(entries_);
  }

  void refuse_unless_empty(std::string_view key) const {
    const auto value = json_read::find(model_, key);
    if (value && !json_read::text(*value, key).empty()) {
      fail(Code::unsupported_model, "the tokenizer's '" + std::string(key) + "' is not supported");
    }
  }

  void read_bpe() {
    refuse_unless_empty("continuing_subword_prefix");
    refuse_unless_empty("end_of_word_suffix");
    if (const auto dropout = json_read::find(model_, "dropout");
        dropout && json_read::number(*dropout, "dropout") != 0) {
      fail(Code::unsupported_model, "the tokenizer's 'dropout' is not supported");
    }
    const bool byte_fallback = json_read::flag(model_, "byte_fallback", false);
    in_model_.assign(added_.size(), false);
    const auto vocab = json_read::object(json_read::need(model_, "vocab"), "vocab");
    int64_t largest = 0;
    size_t count = 0;
    for (const auto [text, id] : vocab) {
      largest = std::max<int64_t>(largest, json_read::token_id(id, "vocab"));
      ++count;
    }
    check_largest(largest, count);
    entries_.reserve(static_cast<size_t>(largest) + 1);
    for (const auto [text, id] : vocab) {
      const bool byte = byte_fallback && byte_of(text).has_value();
      if (!text.empty()) entry(text, json_read::token_id(id, "vocab"), byte ? TokenKind::byte : TokenKind::normal);
    }
    finish_vocab();

    BpeOptions options;
    options.ignore_merges = json_read::flag(model_, "ignore_merges", false);
    options.fallback = {{}, byte_fallback, json_read::flag(model_, "fuse_unk", false)};
    if (const auto unknown = json_read::find(model_, "unk_token")) {
      options.fallback.unknown = parts_.vocab->find(json_read::text(*unknown, "unk_token"));
    }
    parts_.model = make_bpe(*parts_.vocab, merges(), options);
    parts_.description = "bpe tokenizer.json";
  }

  // "a b" or ["a", "b"].
  std::vector<std::pair<std::string_view, std::string_view>> merges() const {
    std::vector<std::pair<std::string_view, std::string_view>> out;
    const auto list = json_read::array(json_read::need(model_, "merges"), "merges");
    out.reserve(list.size());
    for (const Element value : list) {
      if (value.is_array()) {
        const auto pair = json_read::array(value, "merges");
        Element first;
        Element second;
        if (pair.size() != 2 || pair.at(0).get(first) != simdjson::SUCCESS ||
            pair.at(1).get(second) != simdjson::SUCCESS) {
          fail(Code::bad_model_file, "a merge of the tokenizer is not a pair");
        }
        out.emplace_back(json_read::text(first, "merges"), json_read::text(second, "merges"));
        continue;
      }
      const std::string_view text = json_read::text(value, "merges");
      const size_t space = text.find(' ');
      if (space == std::string_view::npos || text.find(' ', space + 1) != std::string_view::npos) {
        fail(Code::bad_model_file, "the tokenizer's merge '" + std::string(text) + "' is not two tokens");
      }
      out.emplace_back(text.substr(0, space), text.substr(space + 1));
    }
    return out;
  }

  void read_unigram() {
    in_model_.assign(added_.size(), false);
    const bool byte_fallback = json_read::flag(model_, "byte_fallback", false);
    const auto vocab = json_read::array(json_read::need(model_, "vocab"), "vocab");
    std::vector<double> scores;
    for (const Element value : vocab) {
      const auto pair = json_read::array(value, "vocab");
      Element text;
      Element score;
      if (pair.at(0).get(text) != simdjson::SUCCESS || pair.at(1).get(score) != simdjson::SUCCESS) {
        fail(Code::bad_model_file, "an entry of the tokenizer's vocabulary is not a pair");
      }
      const std::string_view piece = json_read::text(text, "vocab");
      const bool byte = byte_fallback && byte_of(piece).has_value();
      entry(piece, static_cast<int32_t>(scores.size()), byte ? TokenKind::byte : TokenKind::normal);
      scores.push_back(json_read::number(score, "vocab"));
    }
    finish_vocab();
    UnigramOptions options;
    options.fallback = {{}, byte_fallback, true};
    if (const auto unknown = json_read::find(model_, "unk_id")) {
      options.fallback.unknown = json_read::token_id(*unknown, "unk_id");
      if (*options.fallback.unknown >= static_cast<int32_t>(scores.size())) {
        fail(Code::bad_model_file, "the tokenizer's unk_id is outside its vocabulary");
      }
    }
    parts_.model = make_unigram(*parts_.vocab, std::move(scores), options);
    parts_.description = "unigram tokenizer.json";
  }

  Element root_;
  Element model_;
  SettingsRead settings_;
  std::vector<AddedToken> added_;
  std::unordered_map<std::string, size_t> added_index_;
  std::vector<bool> in_model_;  // by added token: its text is an entry of the model's
  std::vector<Vocab::Entry> entries_;
  TokenizerParts parts_;
};

}  // namespace

std::unique_ptr<Tokenizer> tokenizer_from_json(std::string_view json, const TokenizerSettings& settings) {
  simdjson::dom::parser parser;
  return Reader(json_read::parse(parser, json, "tokenizer.json"), read_settings(settings)).read();
}

}  // namespace autoglm
