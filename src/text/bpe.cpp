#include <algorithm>
#include <bit>
#include <string>

#include "base/error.h"
#include "text/token_model.h"
#include "text/utf8.h"

namespace autoglm {
namespace {

// (left id, right id) -> rank and product.
class MergeTable {
 public:
  struct Merge {
    uint32_t rank = 0;
    int32_t product = -1;
  };

  explicit MergeTable(size_t count) : slots_(std::bit_ceil(count * 3 / 2 + 2)) {}

  void prefetch(int32_t left, int32_t right) const { __builtin_prefetch(&slots_[hash(key(left, right)) & mask()], 1); }

  void insert(int32_t left, int32_t right, Merge merge) {
    const uint64_t k = key(left, right);
    size_t slot = hash(k);
    while (slots_[slot & mask()].merge.product >= 0 && slots_[slot & mask()].key != k) ++slot;
    slots_[slot & mask()] = {k, merge};
  }

  const Merge* find(int32_t left, int32_t right) const {
    const uint64_t k = key(left, right);
    for (size_t slot = hash(k);; ++slot) {
      const Slot& at = slots_[slot & mask()];
      if (at.merge.product < 0) return nullptr;
      if (at.key == k) return &at.merge;
    }
  }

  size_t bytes() const { return slots_.capacity() * sizeof(Slot); }

 private:
  struct Slot {
    uint64_t key = 0;
    Merge merge;
  };
  static uint64_t key(int32_t left, int32_t right) {
    return static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
  }
  static size_t hash(uint64_t k) {
    k *= 0x9E3779B97F4A7C15ull;
    return static_cast<size_t>(k ^ k >> 32);
  }
  size_t mask() const { return slots_.size() - 1; }
  std::vector<Slot> slots_;
};

// A word as a linked list of entries. `next` and `previous` are indices, -1 at the ends.
struct Symbol {
  int32_t id;
  int32_t previous;
  int32_t next;
  bool gone;
};

struct Candidate {
  uint32_t rank;
  int32_t at;
  int32_t product;
  // A heap's top is its largest: the lowest rank, then the leftmost.
  bool operator<(const Candidate& other) const { return rank != other.rank ? rank > other.rank : at > other.at; }
};

struct Scratch {
  std::vector<Symbol> symbols;
  std::vector<Candidate> heap;
};

class Bpe final : public TokenModel {
 public:
  Bpe(const Vocab& vocab, std::span<const std::pair<std::string_view, std::string_view>> merges,
      const BpeOptions& options)
      : vocab_(vocab), options_(options), merges_(merges.size()), bytes_(byte_ids(vocab)) {
    if (merges.size() > 0x7FFFFFFF) fail(Code::bad_model_file, "the tokenizer has too many merges");
    for (size_t begin = 0; begin < merges.size(); begin += kRound) {
      add_merges(merges.subspan(begin, std::min(kRound, merges.size() - begin)), begin);
    }
    std::string one;
    for (char32_t c = 0; c < characters_.size(); ++c) {
      one.clear();
      utf8::append(one, c);
      characters_[c] = vocab_.find_plain(one).value_or(-1);
    }
  }

  void encode(std::string_view text, std::span<const Range> pieces, std::vector<int32_t>& out) const override {
    Scratch scratch;
    for (const Range& piece : pieces) {
      const std::string_view word = text.substr(piece.begin, piece.end - piece.begin);
      if (options_.ignore_merges) {
        if (const auto id = vocab_.find_plain(word)) {
          out.push_back(*id);
          continue;
        }
      }
      spell(word, scratch.symbols);
      merge(scratch);
      if (scratch.symbols.empty()) continue;
      for (int32_t i = 0; i >= 0; i = scratch.symbols[static_cast<size_t>(i)].next) {
        out.push_back(scratch.symbols[static_cast<size_t>(i)].id);
      }
    }
  }

  std::string_view name() const override { return "bpe"; }
  size_t bytes() const override { return merges_.bytes() + sizeof *this; }

 private:
  static constexpr size_t kRound = 256;

  // Merges of rank `rank` and on. Together, because each is a few places in memory that no cache holds.
  void add_merges(std::span<const std::pair<std::string_view, std::string_view>> merges, size_t rank) {
    std::string joined;
    for (const auto& [left, right] : merges) joined.append(left).append(right);
    std::vector<std::string_view> texts;
    texts.reserve(3 * merges.size());
    size_t at = 0;
    for (const auto& [left, right] : merges) {
      const size_t size = left.size() + right.size();
      texts.insert(texts.end(), {left, right, std::string_view(joined).substr(at, size)});
      at += size;
    }
    std::vector<int32_t> ids(texts.size());
    vocab_.find_all(texts, ids);
    for (size_t i = 0; i < ids.size(); ++i) {
      if (ids[i] >= 0) continue;
      fail(Code::bad_model_file, "a merge names the token '" + std::string(texts[i]) + "', which the vocabulary lacks");
    }
    for (size_t i = 0; i < ids.size(); i += 3) merges_.prefetch(ids[i], ids[i + 1]);
    for (size_t i = 0; i < ids.size(); i += 3) {
      const TokenKind kind = vocab_.kind(ids[i + 2]);  // what find_plain() asks, without a second look-up
      if (kind == TokenKind::control || kind == TokenKind::unknown) continue;
      merges_.insert(ids[i], ids[i + 1], {static_cast<uint32_t>(rank + i / 3), ids[i + 2]});
    }
  }

  int32_t character(std::string_view text, char32_t code) const {
    return code < characters_.size() ? characters_[code] : vocab_.find_plain(text).value_or(-1);
  }

  // The word's characters as entries, bytes or the unknown entry. The order of the unknown entry and of bytes behind it
  // is Hugging Face's.
  void spell(std::string_view word, std::vector<Symbol>& symbols) const {
    symbols.clear();
    const auto add = [&](int32_t id) {
      const auto n = static_cast<int32_t>(symbols.size());
      if (n > 0) symbols.back().next = n;
      symbols.push_back({id, n - 1, -1, false});
    };
    bool pending = false;
    const auto flush = [&] {
      if (pending) add(*options_.fallback.unknown);
      pending = false;
    };
    for (size_t at = 0; at < word.size();) {
      const size_t begin = at;
      const char32_t code = utf8::next(word, at);
      const std::string_view text = word.substr(begin, at - begin);
      const int32_t id = character(text, code);
      if (id >= 0) {
        flush();
        add(id);
      } else if (options_.fallback.bytes && has_bytes(text)) {
        for (const char c : text) add(bytes_[static_cast<unsigned char>(c)]);
      } else if (options_.fallback.unknown) {
        if (!options_.fallback.fuse) flush();
        pending = true;
      }
    }
    flush();
  }

  bool has_bytes(std::string_view text) const {
    return std::all_of(text.begin(), text.end(), [&](char c) { return bytes_[static_cast<unsigned char>(c)] >= 0; });
  }

  void push(Scratch& s, int32_t left, int32_t right) const {
    if (left < 0 || right < 0) return;
    const auto* found = merges_.find(s.symbols[static_cast<size_t>(left)].id, s.symbols[static_cast<size_t>(right)].id);
    if (found == nullptr) return;
    s.heap.push_back({found->rank, left, found->product});
    std::push_heap(s.heap.begin(), s.heap.end());
  }

  void merge(Scratch& s) const {
    s.heap.clear();
    for (int32_t i = 1; i < static_cast<int32_t>(s.symbols.size()); ++i) push(s, i - 1, i);
    while (!s.heap.empty()) {
      const Candidate top = s.heap.front();
      std::pop_heap(s.heap.begin(), s.heap.end());
      s.heap.pop_back();
      Symbol& left = s.symbols[static_cast<size_t>(top.at)];
      if (left.gone || left.next < 0) continue;
      Symbol& right = s.symbols[static_cast<size_t>(left.next)];
      // A candidate is stale when its neighbours changed. Comparing the product, not the pair, is what others do, too.
      const auto* now = merges_.find(left.id, right.id);
      if (now == nullptr || now->product != top.product) continue;
      left.id = top.product;
      left.next = right.next;
      right.gone = true;
      if (left.next >= 0) s.symbols[static_cast<size_t>(left.next)].previous = top.at;
      push(s, left.previous, top.at);
      push(s, top.at, left.next);
    }
  }

  const Vocab& vocab_;
  BpeOptions options_;
  MergeTable merges_;
  std::array<int32_t, 256> bytes_;
  std::array<int32_t, 1024> characters_{};  // ids of the first characters, among them all that stand for bytes
};

}  // namespace

std::array<int32_t, 256> byte_ids(const Vocab& vocab) {
  std::array<int32_t, 256> ids{};
  for (size_t b = 0; b < 256; ++b) ids[b] = vocab.find(byte_name(static_cast<uint8_t>(b))).value_or(-1);
  return ids;
}

std::unique_ptr<TokenModel> make_bpe(const Vocab& vocab,
                                     std::span<const std::pair<std::string_view, std::string_view>> merges,
                                     const BpeOptions& options) {
  return std::make_unique<Bpe>(vocab, merges, options);
}

}  // namespace autoglm
