// The best path through a unigram language model: Viterbi over the trie of entries
// (Kudo 2018, "Subword Regularization"; SentencePiece's EncodeOptimized).
#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include "base/error.h"
#include "text/token_model.h"
#include "text/utf8.h"

namespace autoglm {
namespace {

constexpr double kUnknownPenalty = 10.0;

class Unigram final : public TokenModel {
 public:
  Unigram(const Vocab& vocab, std::vector<double> scores, const UnigramOptions& options)
      : vocab_(vocab), scores_(std::move(scores)), options_(options), bytes_(byte_ids(vocab)) {
    if (scores_.size() > static_cast<size_t>(vocab.size())) {
      fail(Code::bad_model_file, "the tokenizer's scores do not match its tokens in number");
    }
    double lowest = std::numeric_limits<double>::infinity();
    double highest = -lowest;
    for (size_t i = 0; i < scores_.size(); ++i) {
      if (!std::isfinite(scores_[i])) fail(Code::bad_model_file, "a score of the tokenizer is not a number");
      const TokenKind kind = vocab.kind(static_cast<int32_t>(i));
      if (options_.sentencepiece && kind != TokenKind::normal) continue;
      lowest = std::min(lowest, scores_[i]);
      highest = std::max(highest, scores_[i]);
    }
    if (lowest > highest) lowest = highest = 0;
    unknown_score_ = lowest - kUnknownPenalty;
    highest_ = highest;
    for (size_t i = 0; i < scores_.size(); ++i) {
      if (may_match(vocab.kind(static_cast<int32_t>(i)))) {
        trie_.insert(vocab.text(static_cast<int32_t>(i)), static_cast<uint32_t>(i));
      }
    }
  }

  void encode(std::string_view text, std::span<const Range> pieces, std::vector<int32_t>& out) const override {
    std::vector<Node> best;
    for (const Range& piece : pieces) {
      const std::string_view word = text.substr(piece.begin, piece.end - piece.begin);
      search(word, best);
      trace(word, best, out);
    }
  }

  std::string_view name() const override { return "unigram"; }
  size_t bytes() const override { return sizeof *this + scores_.capacity() * sizeof(double) + trie_.bytes(); }

 private:
  static constexpr uint32_t kStart = 0xFFFFFFFF;
  // The best way to reach a byte offset: with entry `id` (-1: unknown) from offset `from`.
  struct Node {
    double score = 0;
    uint32_t from = kStart;
    int32_t id = -1;
  };

  bool may_match(TokenKind kind) const {
    if (kind == TokenKind::control || kind == TokenKind::unknown) return false;
    return !options_.sentencepiece || (kind != TokenKind::unused && kind != TokenKind::byte);
  }

  double sum(double a, double b) const {
    return options_.sentencepiece ? static_cast<double>(static_cast<float>(a + b)) : a + b;
  }

  double score(uint32_t id, size_t length) const {
    if (options_.sentencepiece && vocab_.kind(static_cast<int32_t>(id)) == TokenKind::user_defined) {
      return static_cast<double>(static_cast<float>(static_cast<double>(length) * highest_ - 0.1));
    }
    return scores_[id];
  }

  void search(std::string_view word, std::vector<Node>& best) const {
    best.assign(word.size() + 1, Node{});
    for (size_t at = 0; at < word.size();) {
      const size_t one = utf8::length(word[at]);
      const double here = best[at].score;
      const auto reach = [&](size_t length, double value, int32_t id) {
        Node& node = best[at + length];
        if (node.from == kStart || value > node.score) node = {value, static_cast<uint32_t>(at), id};
      };
      bool covered = false;
      trie_.prefixes(word, at, [&](size_t length, uint32_t id) {
        reach(length, sum(here, score(id, length)), static_cast<int32_t>(id));
        covered |= length == one;
      });
      if (!covered) reach(one, sum(here, unknown_score_), -1);
      at += one;
    }
  }

  void trace(std::string_view word, const std::vector<Node>& best, std::vector<int32_t>& out) const {
    const size_t first = out.size();
    size_t unknown_end = 0;  // end of a run of unknown characters, 0 outside
    const auto flush = [&](size_t begin) {
      if (unknown_end > 0) unknown(word.substr(begin, unknown_end - begin), out);
      unknown_end = 0;
    };
    for (size_t end = word.size(); end > 0; end = best[end].from) {
      if (best[end].id < 0) {
        if (unknown_end == 0) unknown_end = end;
      } else {
        flush(end);
        out.push_back(best[end].id);
      }
    }
    flush(0);
    std::reverse(out.begin() + static_cast<std::ptrdiff_t>(first), out.end());
  }

  // Appends in reverse, as trace() goes.
  void unknown(std::string_view text, std::vector<int32_t>& out) const {
    const auto id_of = [&](char c) { return bytes_[static_cast<unsigned char>(c)]; };
    if (options_.fallback.bytes && std::all_of(text.begin(), text.end(), [&](char c) { return id_of(c) >= 0; })) {
      for (size_t i = text.size(); i-- > 0;) out.push_back(id_of(text[i]));
    } else if (options_.fallback.unknown) {
      out.push_back(*options_.fallback.unknown);
    }
  }

  const Vocab& vocab_;
  std::vector<double> scores_;
  UnigramOptions options_;
  std::array<int32_t, 256> bytes_;
  Trie trie_;
  double unknown_score_ = 0;
  double highest_ = 0;
};

}  // namespace

std::unique_ptr<TokenModel> make_unigram(const Vocab& vocab, std::vector<double> scores,
                                         const UnigramOptions& options) {
  return std::make_unique<Unigram>(vocab, std::move(scores), options);
}

}  // namespace autoglm
