// One split of the KV: scores, softmax and weighted sum of a tile's queries, and how splits are merged.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/split.h"
#include "kernels/quantize.h"

namespace autoglm::cpu {
namespace {

constexpr float kLog2E = 1.44269504088896341f;

/// Floats between two queries of a tile.
int64_t query_stride(const KvLayout& layout) { return round_up(layout.spec.key_dim, kScaleGroup); }

/// A latent block as float32 keys [dim][16], scale included.
void transpose_latent(const KvLayout& layout, const uint8_t* block, float* out) {
  const int dim = layout.rotated() ? layout.padded_key : layout.spec.key_dim;
  const uint8_t* scales = block + layout.scales_at;
  for (int j = 0; j < kBlockTokens; ++j) {
    const int64_t row = j * layout.row_stride;
    for (int d = 0; d < dim; ++d) {
      float value = 0.0f;
      switch (layout.spec.type) {
        case KvType::f32:
          value = reinterpret_cast<const float*>(block)[row + d];
          break;
        case KvType::f16:
          value = f16_to_f32(reinterpret_cast<const uint16_t*>(block)[row + d]);
          break;
        case KvType::bf16:
          value = bf16_to_f32(reinterpret_cast<const uint16_t*>(block)[row + d]);
          break;
        case KvType::q8:
          value = layout.scale(scales, d / kScaleGroup, j) *
                  static_cast<float>(reinterpret_cast<const int8_t*>(block)[row + d]);
          break;
        case KvType::q4: {
          const int at = d / kScaleGroup * kScaleGroup / 2 + d % 16, shift = d % kScaleGroup / 16 * 4;
          value =
              layout.scale(scales, d / kScaleGroup, j) * static_cast<float>(kKvBook[block[row / 2 + at] >> shift & 15]);
          break;
        }
      }
      out[d * kBlockTokens + j] = value;
    }
  }
  std::fill(out + dim * kBlockTokens, out + layout.padded_key * kBlockTokens, 0.0f);
}

/// Whether the values of a block's token are finite: then a weight of 0 makes them 0.
bool finite_values(const KvLayout& layout, const void* values, const void* scales, int slot) {
  const int dim = layout.rotated() ? layout.value_width : layout.spec.value_dim;
  const int64_t at = slot * layout.row_stride;
  switch (layout.spec.type) {
    case KvType::f32: {
      const float* row = static_cast<const float*>(values) + at;
      return std::all_of(row, row + dim, [](float v) { return std::isfinite(v); });
    }
    case KvType::f16:
    case KvType::bf16: {
      const uint16_t* row = static_cast<const uint16_t*>(values) + at;
      const uint16_t exponent = layout.spec.type == KvType::f16 ? 0x7c00u : 0x7f80u;
      return std::all_of(row, row + dim, [exponent](uint16_t v) { return (v & exponent) != exponent; });
    }
    case KvType::q8:  // what is not finite is stored with a scale of NaN
    case KvType::q4:
      for (int d = 0; d < dim; d += kScaleGroup) {
        if (!std::isfinite(layout.scale(scales, d / kScaleGroup, slot))) return false;
      }
      return true;
  }
  return true;
}

/// Queries of a tile go together over all positions, with a weight of 0 where one may not look. That hides a value only
/// if it is finite.
bool may_go_together(const KvLayout& layout, const SplitBlocks& blocks, const SplitView& view, int queries) {
  const int begin = view.begin_of(0), end = view.end_of(queries - 1);
  const int shared_begin = view.begin_of(queries - 1), shared_end = view.end_of(0);
  for (int j = begin; j < end; ++j) {
    if (j == shared_begin && shared_begin < shared_end) j = shared_end;
    const int b = j / kBlockTokens;
    if (j < end && !finite_values(layout, blocks.values[b], blocks.value_scales[b], j % kBlockTokens)) return false;
  }
  return true;
}

}  // namespace

bool CpuBackend::in_tiles(const KvLayout& layout) const {
  // Tiles round to bf16, which would take from f16 what it is chosen for.
  const bool rounded = layout.spec.type == KvType::bf16 || layout.spec.type == KvType::q8;
  return isa_.attend != nullptr && !layout.latent() && rounded;
}

void CpuBackend::load_queries(const AttentionTask& task, const AttentionTile& tile, Worker& worker) const {
  const KvSegment& segment = task.segments[static_cast<size_t>(tile.segment)];
  const KvLayout& layout = task.store->layout(task.layer);
  const int64_t padded = query_stride(layout), groups = padded / kScaleGroup, rotated = layout.rotated_keys();
  const bool tiles = in_tiles(layout);
  const int queries = tile.rows * task.group;
  for (int n = 0; n < queries; ++n) {
    const int64_t row = segment.row_begin + tile.first + n / task.group - tile.before;
    const float* from = task.q + row * task.q_stride + (tile.kv_head * task.group + n % task.group) * task.key_dim;
    float* to = worker.q + (tiles ? 0 : n * padded);
    if (rotated == task.key_dim) {
      isa_.hadamard(from, groups, to);
    } else {
      std::copy_n(from, task.key_dim, to);
      std::fill(to + task.key_dim, to + padded, 0.0f);
      isa_.hadamard(to, rotated / kScaleGroup, to);
    }
    if (!tiles) continue;
    for (int64_t i = 0; i < padded; ++i) to[i] *= task.scale * kLog2E;
    uint16_t* lines = worker.q_tiles + (n / 16 * groups * 16 + n % 16) * kScaleGroup;
    for (int64_t g = 0; g < groups; ++g) isa_.to_bf16(to + g * kScaleGroup, kScaleGroup, lines + g * 16 * kScaleGroup);
  }
  if (!tiles && layout.integer_keys()) isa_.quantize(worker.q, queries * groups, worker.q_codes, queries * groups, 0);
}

/// Scores of blocks [first, end) of a split.
void CpuBackend::score_blocks(const AttentionTask& task, const SplitBlocks& blocks, int first, int end, int queries,
                              Ahead& ahead, Worker& worker) const {
  const KvLayout& layout = task.store->layout(task.layer);
  ScoreArgs args;
  args.code = layout.code();
  args.keys = blocks.keys + first;
  args.key_scales = blocks.key_scales + first;
  args.blocks = end - first;
  args.dim = layout.padded_key;
  args.q = worker.q;
  args.q_stride = query_stride(layout);
  args.q_codes = worker.q_codes;
  args.nq = queries;
  args.scale = task.scale;
  args.ahead = &ahead;
  args.out = worker.scores + first * kBlockTokens;
  args.out_stride = kSplitTokens;
  if (!layout.latent()) return isa_.scores(args);
  const void* keys = worker.keys;
  args.code = KvCode::f32;
  args.keys = &keys;
  args.blocks = 1;
  for (int b = first; b < end; ++b, args.out += kBlockTokens) {
    transpose_latent(layout, static_cast<const uint8_t*>(blocks.keys[b]), worker.keys);
    isa_.scores(args);
  }
}

/// `after`: what comes next, whose keys and values are asked for meanwhile.
void CpuBackend::attend_split(const AttentionTask& task, const SplitUnit& unit, const SplitUnit& after,
                              Worker& worker) const {
  const KvLayout& layout = task.store->layout(task.layer);
  const AttentionTile& tile = *unit.tile;
  const int queries = tile.rows * task.group;
  const SplitView view(task, tile, unit.split);
  const int begin = view.begin_of(0), end = view.end_of(queries - 1);
  const SplitBlocks blocks(layout, task, tile, unit.split, begin, end, after);
  if (in_tiles(layout)) {
    attend_in_tiles(task, blocks, view, queries, worker);
  } else {
    attend_by_blocks(task, blocks, view, queries, worker);
  }
}

/// Scores and weighted sums block by block, in the types of the cache.
void CpuBackend::attend_by_blocks(const AttentionTask& task, const SplitBlocks& blocks, const SplitView& view,
                                  int queries, Worker& worker) const {
  const KvLayout& layout = task.store->layout(task.layer);
  const int begin = view.begin_of(0), end = view.end_of(queries - 1);
  const int first_block = begin / kBlockTokens, blocks_end = (end + kBlockTokens - 1) / kBlockTokens;
  Ahead ahead = blocks.next.ahead();
  if (layout.scale_bytes() == 0) ask_rest(ahead);
  score_blocks(task, blocks, first_block, blocks_end, queries, ahead, worker);
  int begins[kAttendQueries], ends[kAttendQueries];
  SoftmaxArgs softmax;
  softmax.begin = begins;
  softmax.end = ends;
  softmax.first = first_block * kBlockTokens;
  softmax.last = blocks_end * kBlockTokens;
  softmax.softcap = task.softcap;
  softmax.ahead = &ahead;
  for (int at = 0; at < queries; at += kAttendQueries) {
    softmax.nq = std::min(kAttendQueries, queries - at);
    for (int n = 0; n < softmax.nq; ++n) {
      begins[n] = view.begin_of(at + n);
      ends[n] = view.end_of(at + n);
    }
    softmax.scores = worker.scores + static_cast<int64_t>(at) * kSplitTokens;
    softmax.max = worker.part_max + at;
    softmax.sum = worker.part_sum + at;
    isa_.softmax(softmax);
  }
  WeightedSumArgs sum;
  sum.code = layout.code();
  sum.blocks = blocks.values;
  sum.scales = blocks.value_scales;
  sum.row_stride = layout.row_stride;
  sum.begin = begin;
  sum.end = end;
  sum.dim = layout.value_width;
  sum.p = worker.scores;
  sum.p_stride = kSplitTokens;
  sum.nq = queries;
  sum.ahead = &ahead;
  sum.o = worker.part;
  sum.o_stride = sum.dim;
  if (may_go_together(layout, blocks, view, queries)) {
    isa_.weighted_sum(sum);
    return ask_rest(ahead);
  }
  // Each query by itself over its own positions: the same bits.
  sum.nq = 1;
  for (int n = 0; n < queries; ++n, sum.p += sum.p_stride, sum.o += sum.o_stride) {
    sum.begin = view.begin_of(n);
    sum.end = view.end_of(n);
    if (sum.begin < sum.end) {
      isa_.weighted_sum(sum);
    } else {
      std::fill_n(sum.o, sum.dim, 0.0f);
    }
  }
}

/// Queries [first, first + n) of a tile, without the positions that they see.
AttendArgs CpuBackend::attend_args(const AttentionTask& task, int first, int n, Ahead& ahead, Worker& worker) const {
  const KvLayout& layout = task.store->layout(task.layer);
  const int64_t width = layout.value_width, padded = query_stride(layout);
  AttendArgs args;
  args.key_dim = static_cast<int>(padded);
  args.value_dim = static_cast<int>(width);
  args.queries = worker.q_tiles + first / 16 * 16 * padded + first % 16 * kScaleGroup;
  args.keys = worker.key_tiles;
  args.values = worker.value_tiles;
  args.nq = n;
  args.softcap = task.softcap;
  args.ahead = &ahead;
  args.max = worker.part_max + first;
  args.sum = worker.part_sum + first;
  args.o = worker.part + first * width;
  args.o_stride = width;
  return args;
}

/// The same, with their keys and values in the worker's tiles.
void CpuBackend::attend_queries(const AttentionTask& task, const SplitView& view, int first, int n, Ahead& ahead,
                                Worker& worker) const {
  int begins[kAttendQueries], ends[kAttendQueries];
  AttendArgs args = attend_args(task, first, n, ahead, worker);
  args.begin = begins;
  args.end = ends;
  for (int i = 0; i < n; ++i) {
    begins[i] = view.begin_of(first + i);
    ends[i] = view.end_of(first + i);
  }
  args.first_block = begins[0] / kBlockTokens;
  args.blocks = (ends[n - 1] + kBlockTokens - 1) / kBlockTokens;
  isa_.attend(args);
}

void CpuBackend::attend_in_tiles(const AttentionTask& task, const SplitBlocks& blocks, const SplitView& view,
                                 int queries, Worker& worker) const {
  const KvLayout& layout = task.store->layout(task.layer);
  KvTilesArgs tiles;
  tiles.code = layout.code();
  tiles.keys = blocks.keys;
  tiles.values = blocks.values;
  tiles.key_scales = blocks.key_scales;
  tiles.value_scales = blocks.value_scales;
  Ahead ahead = blocks.next.ahead();
  tiles.ahead = &ahead;
  tiles.row_stride = layout.row_stride;
  tiles.key_dim = layout.padded_key;
  tiles.value_dim = layout.value_width;
  tiles.begin = view.begin_of(0);
  tiles.end = view.end_of(queries - 1);
  tiles.key_tiles = worker.key_tiles;
  tiles.value_tiles = worker.value_tiles;
  const bool together = view.begin_of(queries - 1) == tiles.begin && view.end_of(0) == tiles.end;
  if (together && queries <= 16 && isa_.attend_few(tiles, attend_args(task, 0, queries, ahead, worker))) {
    return ask_rest(ahead);
  }
  isa_.kv_tiles(tiles);
  if (may_go_together(layout, blocks, view, queries)) {
    for (int first = 0; first < queries; first += kAttendQueries) {
      attend_queries(task, view, first, std::min(kAttendQueries, queries - first), ahead, worker);
    }
    return;
  }
  // Each query by itself, before values of 0 where it may not look: the same bits.
  tiles.key_tiles = nullptr;
  for (int n = 0; n < queries; ++n) {
    tiles.begin = view.begin_of(n);
    tiles.end = view.end_of(n);
    if (tiles.begin < tiles.end) isa_.kv_tiles(tiles);
    attend_queries(task, view, n, 1, ahead, worker);
  }
}

void CpuBackend::merge(const AttentionTask& task, const AttentionTile& tile, const float* part, const float* part_max,
                       const float* part_sum, bool first, Worker& worker) const {
  MergeArgs args;
  args.part = part;
  args.part_max = part_max;
  args.part_sum = part_sum;
  args.n = tile.rows * task.group;
  args.dim = task.store->layout(task.layer).value_width;
  args.first = first;
  args.max = worker.max;
  args.sum = worker.sum;
  args.o = worker.out;
  isa_.merge(args);
}

}  // namespace autoglm::cpu
