#include "engine/ngram_index.h"

#include <algorithm>
#include <bit>

#include "base/error.h"

namespace autoglm {

int64_t NgramIndex::slots_for(int64_t tokens) {
  const int64_t wanted = std::clamp(2 * tokens, int64_t{1} << 10, int64_t{1} << 16);
  return static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(wanted)));
}

int64_t NgramIndex::bytes_for(int64_t tokens) {
  return std::ssize(kOrders) * slots_for(tokens) * static_cast<int64_t>(sizeof(int32_t));
}

NgramIndex::NgramIndex(int64_t tokens)
    : size_(slots_for(tokens)), table_(kOrders.size() * static_cast<size_t>(size_)) {}

// Of the kOrders[order] tokens before position `end`.
size_t NgramIndex::slot(size_t order, std::span<const int32_t> tokens, int64_t end) const {
  uint64_t hash = 0x9E3779B97F4A7C15ULL;
  for (int64_t i = end - kOrders[order]; i < end; ++i) {
    hash = (hash ^ static_cast<uint32_t>(tokens[static_cast<size_t>(i)])) * 0xD6E8FEB86659FD93ULL;
    hash ^= hash >> 32;
  }
  return order * static_cast<size_t>(size_) + static_cast<size_t>(hash & static_cast<uint64_t>(size_ - 1));
}

void NgramIndex::extend(std::span<const int32_t> tokens) {
  AUTOGLM_CHECK(std::ssize(tokens) >= indexed_, "a sequence only grows");
  // The newest token's own n-gram has no successor yet: it is entered with the next one.
  for (; indexed_ < std::ssize(tokens); ++indexed_) {
    for (size_t order = 0; order < kOrders.size(); ++order) {
      if (indexed_ >= kOrders[order]) table_[slot(order, tokens, indexed_)] = static_cast<int32_t>(indexed_);
    }
  }
}

NgramIndex::Match NgramIndex::find(std::span<const int32_t> tokens) const {
  const int64_t end = std::ssize(tokens);
  const auto same = [&](int64_t next, int64_t back) {
    return tokens[static_cast<size_t>(next - back)] == tokens[static_cast<size_t>(end - back)];
  };
  for (size_t order = 0; order < kOrders.size(); ++order) {
    if (end < kOrders[order]) continue;
    const int64_t next = table_[slot(order, tokens, end)];
    if (next == 0) continue;
    int64_t length = 0;
    while (length < std::min(kLongest, next) && same(next, length + 1)) ++length;
    if (length >= kOrders[order]) return {.next = next, .length = length};
  }
  return {};
}

void copy_after(std::span<const int32_t> tokens, const NgramIndex::Match& match, std::span<int32_t> out) {
  for (size_t i = 0; i < out.size(); ++i) {
    const size_t from = static_cast<size_t>(match.next) + i;
    out[i] = from < tokens.size() ? tokens[from] : out[from - tokens.size()];
  }
}

}  // namespace autoglm
