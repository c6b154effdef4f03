// SentencePiece's tokenizer.model
// (https://github.com/google/sentencepiece/blob/master/src/sentencepiece_model.proto).
#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "text/families/chatglm_tokenizer.h"
#include "text/protobuf.h"
#include "text/tokenizer_files.h"
#include "text/tokenizer_settings.h"

namespace autoglm {
namespace {

constexpr std::string_view kEscapedSpace = "\xE2\x96\x81";  // U+2581

struct Piece {
  std::string_view text;
  float score = 0;
  TokenKind kind = TokenKind::normal;
};

// What the model file says, with the defaults of the format.
struct Model {
  std::vector<Piece> pieces;
  uint64_t model_type = 1;  // 1 unigram, 2 BPE, 3 word, 4 character
  bool byte_fallback = false;
  bool whitespace_suffix = false;
  int64_t unknown = 0;
  int64_t bos = 1;
  int64_t eos = 2;
  std::string_view charsmap;
  std::string_view denormalizer;
  bool add_dummy_prefix = true;
  bool remove_extra_whitespaces = true;
  bool escape_whitespaces = true;
};

Piece read_piece(std::string_view message) {
  Piece piece;
  for (ProtobufReader r(message); r.next();) {
    switch (r.field()) {
      case 1:
        piece.text = r.bytes();
        break;
      case 2:
        piece.score = r.number();
        break;
      case 3:
        piece.kind = sentencepiece_kind(static_cast<int64_t>(r.varint()));
        break;
      default:
        break;
    }
  }
  return piece;
}

void read_trainer(std::string_view message, Model& out) {
  for (ProtobufReader r(message); r.next();) {
    switch (r.field()) {
      case 3:
        out.model_type = r.varint();
        break;
      case 24:
        out.whitespace_suffix = r.varint() != 0;
        break;
      case 35:
        out.byte_fallback = r.varint() != 0;
        break;
      case 40:
        out.unknown = static_cast<int64_t>(r.varint());
        break;
      case 41:
        out.bos = static_cast<int64_t>(r.varint());
        break;
      case 42:
        out.eos = static_cast<int64_t>(r.varint());
        break;
      default:
        break;
    }
  }
}

void read_normalizer_spec(std::string_view message, Model& out) {
  for (ProtobufReader r(message); r.next();) {
    switch (r.field()) {
      case 2:
        out.charsmap = r.bytes();
        break;
      case 3:
        out.add_dummy_prefix = r.varint() != 0;
        break;
      case 4:
        out.remove_extra_whitespaces = r.varint() != 0;
        break;
      case 5:
        out.escape_whitespaces = r.varint() != 0;
        break;
      default:
        break;
    }
  }
}

Model read_model(std::string_view message) {
  Model model;
  for (ProtobufReader r(message); r.next();) {
    switch (r.field()) {
      case 1:
        model.pieces.push_back(read_piece(r.bytes()));
        break;
      case 2:
        read_trainer(r.bytes(), model);
        break;
      case 3:
        read_normalizer_spec(r.bytes(), model);
        break;
      case 5:
        for (ProtobufReader d(r.bytes()); d.next();) {
          if (d.field() == 2) model.denormalizer = d.bytes();
        }
        break;
      default:
        break;
    }
  }
  return model;
}

class Builder {
 public:
  Builder(Model model, SettingsRead settings) : m_(std::move(model)), settings_(std::move(settings)) {}

  std::unique_ptr<Tokenizer> build() {
    refuse_unknown();
    build_vocab();
    build_steps();
    parts_.bos = piece_id(m_.bos);
    parts_.eos = piece_id(m_.eos);
    apply_settings(settings_, parts_);
    surround();
    return make_tokenizer(std::move(parts_));
  }

 private:
  // Nothing if the file has none (-1).
  std::optional<int32_t> piece_id(int64_t id) const {
    if (id < 0 || id >= static_cast<int64_t>(m_.pieces.size())) return std::nullopt;
    return static_cast<int32_t>(id);
  }

  void refuse_unknown() const {
    if (m_.pieces.empty()) fail(Code::bad_model_file, "tokenizer.model has no pieces");
    if (m_.model_type != 1 && m_.model_type != 2) {
      fail(Code::unsupported_model, "tokenizer.model's type " + std::to_string(m_.model_type) + " is not supported",
           "supported are unigram (1) and BPE (2)");
    }
    if (m_.whitespace_suffix) {
      fail(Code::unsupported_model, "tokenizer.model's treat_whitespace_as_suffix is not supported");
    }
    if (!m_.denormalizer.empty()) fail(Code::unsupported_model, "tokenizer.model's denormalizer is not supported");
  }

  void build_vocab() {
    std::vector<Vocab::Entry> entries;
    for (const Piece& piece : m_.pieces) entries.push_back({piece.text, piece.kind});
    for (int32_t id = 0; id < static_cast<int32_t>(entries.size()); ++id) {
      const auto& entry = entries[static_cast<size_t>(id)];
      if (entry.kind != TokenKind::control && entry.kind != TokenKind::unknown) continue;
      added_.push_back({std::string(entry.text), id, true, false, false, false, false});
    }
    add_configured(entries);
    const ExtraTokens extra = extra_tokens(settings_.tokenizer_class);
    for (const std::string_view text : extra.control) {
      const bool there = std::any_of(added_.begin(), added_.end(), [&](const AddedToken& a) { return a.text == text; });
      if (there) continue;
      added_.push_back({std::string(text), static_cast<int32_t>(entries.size()), true, false, false, false, false});
      entries.push_back({text, TokenKind::control});
    }
    parts_.vocab = std::make_unique<Vocab>(entries);
    for (const std::string_view text : extra.prefix) extra_prefix_.push_back(*parts_.vocab->find(text));
  }

  // tokenizer_config.json's tokens: new ones, and the flags of those that are pieces.
  void add_configured(std::vector<Vocab::Entry>& entries) {
    const size_t limit = 2 * entries.size() + 65536;
    for (const AddedToken& token : settings_.added) {
      const auto id = static_cast<size_t>(token.id);
      if (id > limit) fail(Code::bad_model_file, "tokenizer_config.json adds a token far behind the vocabulary");
      if (id >= entries.size()) entries.resize(id + 1);
      if (!entries[id].text.empty() && entries[id].text != token.text) continue;
      entries[id] = {token.text, token.control ? TokenKind::control : TokenKind::user_defined};
      std::erase_if(added_, [&](const AddedToken& a) { return a.text == token.text; });
      added_.push_back(token);
    }
  }

  void build_steps() {
    Trie whole;
    for (size_t i = 0; i < m_.pieces.size(); ++i) {
      if (m_.pieces[i].kind == TokenKind::user_defined) whole.insert(m_.pieces[i].text, 0);
    }
    SpmNormalizerOptions normalizer;
    normalizer.charsmap = Charsmap(m_.charsmap);
    normalizer.user_defined = whole;
    normalizer.add_dummy_prefix = settings_.add_prefix_space.value_or(m_.add_dummy_prefix);
    normalizer.prefix_first_only = !settings_.legacy.value_or(true);
    normalizer.remove_extra_whitespaces = m_.remove_extra_whitespaces;
    normalizer.escape_whitespaces = m_.escape_whitespaces;
    // As many spaces as it adds or removes at the beginning.
    const size_t strip = m_.remove_extra_whitespaces ? SIZE_MAX : normalizer.add_dummy_prefix ? 1 : 0;
    parts_.normalizers.push_back(make_spm_normalizer(std::move(normalizer)));

    const Fallback fallback{piece_id(m_.unknown), m_.byte_fallback, true};
    if (m_.model_type == 2) {
      std::vector<float> scores(static_cast<size_t>(parts_.vocab->size()));
      for (size_t i = 0; i < m_.pieces.size(); ++i) scores[i] = m_.pieces[i].score;
      parts_.model = make_spm_bpe(*parts_.vocab, std::move(scores), std::move(whole), fallback);
    } else {
      std::vector<double> scores;
      for (const Piece& piece : m_.pieces) scores.push_back(static_cast<double>(piece.score));
      parts_.model = make_unigram(*parts_.vocab, std::move(scores), {fallback, true});
    }
    parts_.description = std::string(parts_.model->name()) + " tokenizer.model";
    parts_.added = AddedTokens(std::move(added_), parts_.normalizers);
    parts_.decoders.push_back(make_replace_decoder(std::string(kEscapedSpace), " "));
    parts_.decoders.push_back(make_byte_fallback_decoder());
    parts_.decoders.push_back(make_fuse_decoder());
    if (strip > 0) parts_.decoders.push_back(make_strip_decoder(" ", strip, 0));
  }

  // Models with a BOS (Llama, Gemma) begin with it; those without (T5) end with EOS.
  void surround() {
    parts_.prefix = extra_prefix_;
    if (!parts_.prefix.empty()) return;
    if (parts_.bos && settings_.add_bos.value_or(m_.bos >= 0)) parts_.prefix.push_back(*parts_.bos);
    if (parts_.eos && settings_.add_eos.value_or(m_.bos < 0)) parts_.suffix.push_back(*parts_.eos);
  }

  Model m_;
  SettingsRead settings_;
  std::vector<AddedToken> added_;
  std::vector<int32_t> extra_prefix_;
  TokenizerParts parts_;
};

}  // namespace

std::unique_ptr<Tokenizer> tokenizer_from_spm(std::string_view model, const TokenizerSettings& settings) {
  return Builder(read_model(model), read_settings(settings)).build();
}

}  // namespace autoglm
