#include "text/vocab.h"

#include <algorithm>
#include <array>
#include <bit>
#include <functional>

#include "base/error.h"
#include "text/utf8.h"

namespace autoglm {
namespace {

constexpr size_t kMaxText = size_t{1} << 30;

constexpr size_t kAhead = 32;  // look-ups that are waited for together

size_t hash(std::string_view text) { return std::hash<std::string_view>{}(text); }

}  // namespace

Vocab::Vocab(std::span<const Entry> entries) {
  size_t total = 0;
  for (const Entry& entry : entries) total += entry.text.size();
  if (total > kMaxText || entries.size() > kMaxText)
    fail(Code::bad_model_file, "the tokenizer's vocabulary is over 1 GiB");
  texts_.reserve(total);
  ends_.reserve(entries.size());
  kinds_.reserve(entries.size());
  index_.assign(std::bit_ceil(entries.size() * 3 / 2 + 2), 0);
  const size_t mask = index_.size() - 1;
  std::vector<size_t> hashes;
  hashes.reserve(entries.size());
  for (const Entry& entry : entries) hashes.push_back(hash(entry.text));
  for (size_t i = 0; i < entries.size(); ++i) {
    const Entry& entry = entries[i];
    if (i + kAhead < hashes.size()) __builtin_prefetch(&index_[hashes[i + kAhead] & mask], 1);
    if (!utf8::valid(entry.text)) {
      fail(Code::bad_model_file, "token " + std::to_string(kinds_.size()) + " of the tokenizer is not UTF-8");
    }
    texts_ += entry.text;
    ends_.push_back(static_cast<uint32_t>(texts_.size()));
    kinds_.push_back(entry.kind);
    longest_ = std::max(longest_, entry.text.size());
    if (entry.text.empty()) continue;
    size_t slot = hashes[i];
    while (index_[slot & mask] != 0 && text(static_cast<int32_t>(index_[slot & mask] - 1)) != entry.text) ++slot;
    index_[slot & mask] = static_cast<uint32_t>(kinds_.size());
  }
}

std::string_view Vocab::text(int32_t id) const {
  const auto i = static_cast<size_t>(id);
  const uint32_t begin = i == 0 ? 0 : ends_[i - 1];
  return std::string_view(texts_).substr(begin, ends_[i] - begin);
}

std::optional<int32_t> Vocab::find(std::string_view wanted) const {
  return wanted.empty() || wanted.size() > longest_ ? std::nullopt : find_from(hash(wanted), wanted);
}

void Vocab::find_all(std::span<const std::string_view> texts, std::span<int32_t> ids) const {
  if (index_.empty()) {
    std::ranges::fill(ids, -1);
    return;
  }
  const size_t mask = index_.size() - 1;
  std::array<size_t, kAhead> slots{};
  for (size_t begin = 0; begin < texts.size(); begin += kAhead) {
    const auto some = texts.subspan(begin, std::min(kAhead, texts.size() - begin));
    for (size_t i = 0; i < some.size(); ++i) {
      slots[i] = hash(some[i]);
      __builtin_prefetch(&index_[slots[i] & mask]);
    }
    const auto first = [&](size_t i) { return index_[slots[i] & mask]; };  // the entry that is likely it, + 1
    for (size_t i = 0; i < some.size(); ++i) {
      if (first(i) > 0) __builtin_prefetch(&ends_[first(i) - 1]);
    }
    for (size_t i = 0; i < some.size(); ++i) {
      if (first(i) > 0) __builtin_prefetch(text(static_cast<int32_t>(first(i) - 1)).data());
    }
    for (size_t i = 0; i < some.size(); ++i) {
      ids[begin + i] = some[i].empty() ? -1 : find_from(slots[i], some[i]).value_or(-1);
    }
  }
}

std::optional<int32_t> Vocab::find_from(size_t slot, std::string_view wanted) const {
  const size_t mask = index_.size() - 1;
  for (;; ++slot) {
    const uint32_t entry = index_[slot & mask];
    if (entry == 0) return std::nullopt;
    if (text(static_cast<int32_t>(entry - 1)) == wanted) return static_cast<int32_t>(entry - 1);
  }
}

std::optional<int32_t> Vocab::find_plain(std::string_view wanted) const {
  const auto id = find(wanted);
  if (id && (kind(*id) == TokenKind::control || kind(*id) == TokenKind::unknown)) return std::nullopt;
  return id;
}

size_t Vocab::bytes() const {
  return texts_.capacity() + ends_.capacity() * sizeof(uint32_t) + kinds_.capacity() * sizeof(TokenKind) +
         index_.capacity() * sizeof(uint32_t);
}

std::optional<uint8_t> byte_of(std::string_view text) {
  if (text.size() != 6 || !text.starts_with("<0x") || text[5] != '>') return std::nullopt;
  unsigned value = 0;
  for (const char c : text.substr(3, 2)) {
    value *= 16;
    if (c >= '0' && c <= '9') {
      value += static_cast<unsigned>(c - '0');
    } else if (c >= 'A' && c <= 'F') {
      value += static_cast<unsigned>(c - 'A' + 10);
    } else if (c >= 'a' && c <= 'f') {
      value += static_cast<unsigned>(c - 'a' + 10);
    } else {
      return std::nullopt;
    }
  }
  return static_cast<uint8_t>(value);
}

std::string byte_name(uint8_t byte) {
  constexpr std::string_view kHex = "0123456789ABCDEF";
  return std::string("<0x") + kHex[byte >> 4] + kHex[byte & 15] + '>';
}

TokenKind sentencepiece_kind(int64_t type) {
  switch (type) {
    case 2:
      return TokenKind::unknown;
    case 3:
      return TokenKind::control;
    case 4:
      return TokenKind::user_defined;
    case 5:
      return TokenKind::unused;
    case 6:
      return TokenKind::byte;
    default:
      return TokenKind::normal;
  }
}

}  // namespace autoglm
