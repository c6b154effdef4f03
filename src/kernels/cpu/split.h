// What a tile of queries sees of one split of the KV: kKvSplit positions that begin at a multiple of it.
#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/cpu/cpu_backend.h"

namespace autoglm::cpu {

/// Position of a tile's first row.
inline int64_t first_position(const AttentionTask& task, const AttentionTile& tile) {
  return task.segments[static_cast<size_t>(tile.segment)].past + tile.first;
}

/// How the positions of a split look to the queries of a tile. A query's row of the segment follows from its number.
class SplitView {
 public:
  SplitView(const AttentionTask& task, const AttentionTile& tile, int64_t split)
      : group_(task.group), window_(task.window), base_(split * kKvSplit), position_(first_position(task, tile)) {}

  /// Positions that query `n` sees: [begin_of(n), end_of(n)) of the split; none if that is empty.
  int begin_of(int n) const { return window_ > 0 ? within(position_ + n / group_ - window_ + 1) : 0; }
  int end_of(int n) const { return within(position_ + n / group_ + 1); }

 private:
  int within(int64_t p) const { return static_cast<int>(std::clamp<int64_t>(p - base_, 0, kKvSplit)); }

  int group_, window_;
  int64_t base_, position_;
};

/// The memory that a unit will read, to be asked for before it does.
struct UnitPieces {
  const void* at[kSplitTokens / kBlockTokens] = {};
  int count = 0;
  int64_t bytes = 0;  // of each

  UnitPieces(const AttentionTask& task, const SplitUnit& unit) : bytes(task.store->layout(task.layer).head_bytes) {
    if (unit.tile == nullptr) return;
    const auto& blocks = task.segments[static_cast<size_t>(unit.tile->segment)].blocks;
    const int64_t first = unit.split * std::ssize(at);
    for (int64_t b = first; b < std::min(std::ssize(blocks), first + std::ssize(at)); ++b) {
      const int32_t block = blocks[static_cast<size_t>(b)];
      if (block >= 0) at[count++] = task.store->head(task.layer, block, unit.tile->kv_head);  // else it was dropped
    }
  }
  Ahead ahead() const { return {at, count, bytes}; }
};

/// Asks for all that is left.
inline void ask_rest(Ahead& ahead) {
  for (; ahead.count > 0; --ahead.count, ++ahead.pieces, ahead.at = 0) {
    const auto* data = static_cast<const uint8_t*>(*ahead.pieces);
    for (int64_t at = ahead.at; at < ahead.bytes; at += 64) __builtin_prefetch(data + at, 0, 2);
  }
}

/// The KV blocks of one head in one split.
struct SplitBlocks {
  static constexpr int kMost = kSplitTokens / kBlockTokens;
  const void* keys[kMost] = {};
  const void* values[kMost] = {};
  const void* key_scales[kMost] = {};
  const void* value_scales[kMost] = {};
  UnitPieces next;  // of what is attended to after it

  SplitBlocks(const KvLayout& layout, const AttentionTask& task, const AttentionTile& tile, int64_t split, int begin,
              int end, const SplitUnit& after)
      : next(task, after) {
    const KvSegment& segment = task.segments[static_cast<size_t>(tile.segment)];
    for (int b = begin / kBlockTokens; b * kBlockTokens < end; ++b) {
      const int32_t block = segment.blocks[static_cast<size_t>(split * kMost + b)];
      const uint8_t* head = task.store->head(task.layer, block, tile.kv_head);
      keys[b] = head;
      values[b] = head + layout.value_at;
      key_scales[b] = head + layout.scales_at;
      value_scales[b] = layout.value_scales(head);
    }
  }
};

}  // namespace autoglm::cpu
