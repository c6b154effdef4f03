#include "text/grammar/token_trie.h"

#include <algorithm>

namespace autoglm {
namespace {

constexpr size_t kLongestToken = 4096;  // longer ones are never allowed by a grammar

bool prints(TokenKind kind) {
  return kind == TokenKind::normal || kind == TokenKind::byte || kind == TokenKind::user_defined;
}

}  // namespace

TokenTrie::TokenTrie(const Tokenizer& tokenizer, int64_t vocabulary,
                     std::span<const std::pair<int32_t, std::string>> printed)
    : vocabulary_(vocabulary) {
  const auto known = static_cast<int32_t>(std::min<int64_t>(vocabulary, tokenizer.size()));
  std::vector<uint32_t> ends(static_cast<size_t>(known));
  for (int32_t id = 0; id < known; ++id) {
    if (prints(tokenizer.kind(id))) texts_ += tokenizer.piece(id);
    for (const auto& [mark, text] : printed) {
      if (mark != id || prints(tokenizer.kind(id))) continue;
      texts_ += text;
      marks_.push_back(id);
    }
    ends[static_cast<size_t>(id)] = static_cast<uint32_t>(texts_.size());
  }
  texts_.shrink_to_fit();
  by_id_.resize(static_cast<size_t>(vocabulary));
  uint32_t begin = 0;
  for (int32_t id = 0; id < known; ++id) {
    const uint32_t end = ends[static_cast<size_t>(id)];
    const std::string_view text = std::string_view(texts_).substr(begin, end - begin);
    begin = end;
    by_id_[static_cast<size_t>(id)] = text;
    if (text.empty() || text.size() > kLongestToken) continue;
    longest_ = std::max(longest_, text.size());
    entries_.push_back({text, id});
  }
  std::sort(entries_.begin(), entries_.end(), [](const Entry& a, const Entry& b) {
    const int order = a.text.compare(b.text);
    return order < 0 || (order == 0 && a.id < b.id);
  });
  nodes_ = lay_out(entries_);
  if (tokenizer.hides_first_spaces()) find_hidden(tokenizer);
}

// The tokenizer is asked: some leave out one space, some all of them, some all of the first token's.
void TokenTrie::find_hidden(const Tokenizer& tokenizer) {
  const auto first = [](const Entry& one) { return static_cast<unsigned char>(one.text.front()); };
  const auto spaced = std::ranges::equal_range(entries_, static_cast<unsigned char>(' '), {}, first);
  spaced_ = static_cast<size_t>(spaced.begin() - entries_.begin());
  spaced_count_ = spaced.size();
  hidden_.resize(static_cast<size_t>(vocabulary_));
  const auto spaces = [](std::string_view text) { return std::min(text.find_first_not_of(' '), text.size()); };
  for (const Entry& one : spaced) {
    const std::string shown = tokenizer.decode(std::span(&one.id, 1));
    const size_t all = spaces(one.text);
    hidden_[static_cast<size_t>(one.id)] = static_cast<uint16_t>(all - std::min(spaces(shown), all));
  }
}

TokenTrie::Nodes TokenTrie::lay_out(std::span<const Entry> entries) {
  Nodes nodes;
  std::vector<uint32_t> path;  // nodes of the entry before
  std::string_view before;
  for (size_t i = 0; i < entries.size(); ++i) {
    const std::string_view text = entries[i].text;
    size_t common = 0;
    while (common < std::min(before.size(), text.size()) && before[common] == text[common]) ++common;
    for (; path.size() > common; path.pop_back()) nodes.skip[path.back()] = static_cast<uint32_t>(nodes.size());
    for (size_t depth = common; depth < text.size(); ++depth) {
      path.push_back(static_cast<uint32_t>(nodes.size()));
      nodes.byte.push_back(static_cast<uint8_t>(text[depth]));
      nodes.depth.push_back(static_cast<uint16_t>(depth));
      nodes.skip.push_back(0);
      nodes.first.push_back(static_cast<uint32_t>(i));
    }
    before = text;
  }
  for (const uint32_t node : path) nodes.skip[node] = static_cast<uint32_t>(nodes.size());
  // A node's entries begin with the first entry that has its bytes; they end where those of longer texts begin.
  nodes.first.push_back(static_cast<uint32_t>(entries.size()));
  return nodes;
}

size_t TokenTrie::Nodes::bytes() const {
  return byte.capacity() + depth.capacity() * sizeof(uint16_t) +
         (skip.capacity() + first.capacity()) * sizeof(uint32_t);
}

int64_t TokenTrie::bytes() const {
  return static_cast<int64_t>(texts_.capacity() + by_id_.capacity() * sizeof(std::string_view) +
                              entries_.capacity() * sizeof(Entry) + hidden_.capacity() * sizeof(uint16_t) +
                              nodes_.bytes());
}

}  // namespace autoglm
