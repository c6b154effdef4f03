#include <algorithm>
#include <cmath>
#include <unordered_map>

#include "base/error.h"
#include "text/token_model.h"
#include "text/utf8.h"

namespace autoglm {
namespace {

struct Symbol {
  uint32_t begin;
  uint32_t size;  // 0: merged into its left neighbour
  int32_t previous;
  int32_t next;
  bool whole;  // a user-defined entry: never merged
};

struct Candidate {
  float score;
  int32_t left;
  int32_t right;
  uint32_t size;  // of both, to know a stale candidate
  // A heap's top is its largest: the highest score, then the leftmost.
  bool operator<(const Candidate& other) const {
    return score != other.score ? score < other.score : left > other.left;
  }
};

class SpmBpe final : public TokenModel {
 public:
  SpmBpe(const Vocab& vocab, std::vector<float> scores, Trie user_defined, const Fallback& fallback)
      : vocab_(vocab),
        scores_(std::move(scores)),
        user_defined_(std::move(user_defined)),
        fallback_(fallback),
        bytes_(byte_ids(vocab)) {
    if (scores_.size() != static_cast<size_t>(vocab.size())) {
      fail(Code::bad_model_file, "the tokenizer's scores do not match its tokens in number");
    }
    for (float& score : scores_) {
      if (std::isnan(score)) fail(Code::bad_model_file, "a score of the tokenizer is not a number");
    }
  }

  void encode(std::string_view text, std::span<const Range> pieces, std::vector<int32_t>& out) const override {
    Run run(*this, out);
    for (const Range& piece : pieces) run.encode(text.substr(piece.begin, piece.end - piece.begin));
  }

  std::string_view name() const override { return "spm"; }
  size_t bytes() const override { return sizeof *this + scores_.capacity() * sizeof(float) + user_defined_.bytes(); }

 private:
  // One call's working memory.
  struct Run {
    Run(const SpmBpe& m, std::vector<int32_t>& ids) : model(m), out(ids) {}
    const SpmBpe& model;
    std::vector<int32_t>& out;
    std::string_view text;
    std::vector<Symbol> symbols;
    std::vector<Candidate> heap;
    std::unordered_map<std::string_view, size_t> parts;  // unused entry -> length of the left half that made it
    bool after_unknown = false;

    std::string_view view(const Symbol& s) const { return text.substr(s.begin, s.size); }

    void encode(std::string_view piece) {
      text = piece;
      after_unknown = false;
      split();
      for (int32_t i = 1; i < static_cast<int32_t>(symbols.size()); ++i) consider(i - 1, i);
      while (!heap.empty()) step();
      for (const Symbol& s : symbols) {
        if (s.size > 0) emit(view(s));
      }
    }

    void split() {
      symbols.clear();
      heap.clear();
      parts.clear();
      for (size_t at = 0; at < text.size();) {
        size_t size = 0;
        model.user_defined_.prefixes(text, at, [&](size_t length, uint32_t) { size = length; });
        const bool whole = size > 0;
        if (!whole) size = utf8::length(text[at]);
        const auto n = static_cast<int32_t>(symbols.size());
        symbols.push_back({static_cast<uint32_t>(at), static_cast<uint32_t>(size), n - 1, n + 1, whole});
        at += size;
      }
      if (!symbols.empty()) symbols.back().next = -1;
    }

    void consider(int32_t left, int32_t right) {
      if (left < 0 || right < 0) return;
      const Symbol& a = symbols[static_cast<size_t>(left)];
      const Symbol& b = symbols[static_cast<size_t>(right)];
      if (a.whole || b.whole) return;
      const std::string_view joined = text.substr(a.begin, a.size + b.size);
      const auto id = model.piece(joined);
      if (!id) return;
      heap.push_back({model.scores_[static_cast<size_t>(*id)], left, right, a.size + b.size});
      std::push_heap(heap.begin(), heap.end());
      if (model.vocab_.kind(*id) == TokenKind::unused) parts[joined] = a.size;
    }

    void step() {
      const Candidate top = heap.front();
      std::pop_heap(heap.begin(), heap.end());
      heap.pop_back();
      Symbol& left = symbols[static_cast<size_t>(top.left)];
      Symbol& right = symbols[static_cast<size_t>(top.right)];
      if (left.size == 0 || right.size == 0 || left.size + right.size != top.size) return;
      left.size += right.size;
      right.size = 0;
      left.next = right.next;
      if (left.next >= 0) symbols[static_cast<size_t>(left.next)].previous = top.left;
      consider(left.previous, top.left);
      consider(top.left, left.next);
    }

    // Unused entries fall apart into what they were made of; the stack stands for recursion.
    void emit(std::string_view whole) {
      std::vector<std::string_view> stack{whole};
      while (!stack.empty()) {
        const std::string_view part = stack.back();
        stack.pop_back();
        const auto id = model.piece(part);
        if (id && model.vocab_.kind(*id) == TokenKind::unused) {
          if (const auto halves = parts.find(part); halves != parts.end()) {
            stack.push_back(part.substr(halves->second));
            stack.push_back(part.substr(0, halves->second));
            continue;
          }
        }
        emit_id(id, part);
      }
    }

    void emit_id(std::optional<int32_t> id, std::string_view part) {
      if (id) {
        out.push_back(*id);
        after_unknown = false;
        return;
      }
      const auto byte = [&](char c) { return model.bytes_[static_cast<unsigned char>(c)]; };
      if (model.fallback_.bytes && std::all_of(part.begin(), part.end(), [&](char c) { return byte(c) >= 0; })) {
        for (const char c : part) out.push_back(byte(c));
        after_unknown = false;
        return;
      }
      if (model.fallback_.unknown && !(after_unknown && model.fallback_.fuse)) out.push_back(*model.fallback_.unknown);
      after_unknown = true;
    }
  };

  // The entry that text may become: SentencePiece keeps control, unknown and byte entries apart.
  std::optional<int32_t> piece(std::string_view text) const {
    const auto id = vocab_.find_plain(text);
    if (id && vocab_.kind(*id) == TokenKind::byte) return std::nullopt;
    return id;
  }

  const Vocab& vocab_;
  std::vector<float> scores_;
  Trie user_defined_;
  Fallback fallback_;
  std::array<int32_t, 256> bytes_;
};

}  // namespace

std::unique_ptr<TokenModel> make_spm_bpe(const Vocab& vocab, std::vector<float> scores, Trie user_defined,
                                         const Fallback& fallback) {
  return std::make_unique<SpmBpe>(vocab, std::move(scores), std::move(user_defined), fallback);
}

}  // namespace autoglm
