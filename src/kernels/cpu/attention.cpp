// Rope, append, and softmax attention over the paged cache.
//
// The KV is cut at absolute multiples of kKvSplit positions. A query's scores, maximum, sum and weighted values of one
// split depend on nothing but the query and that split; splits are merged in ascending order. So a result is the same
// whether splits are computed one after the other or by several workers, and whichever queries share a tile.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "base/error.h"
#include "kernels/cpu/cpu_backend.h"

namespace autoglm::cpu {
namespace {

int64_t first_position(const KvSegment& segment, const AttentionTile& tile) { return segment.past + tile.first; }

/// Splits that any query of the tile sees: [first, last].
struct Splits {
  int64_t first, last;
  int64_t count() const { return last - first + 1; }
};
Splits splits_of(const AttentionTask& task, const AttentionTile& tile) {
  const int64_t begin = first_position(task.segments[static_cast<size_t>(tile.segment)], tile);
  const int64_t seen = task.window > 0 ? std::max<int64_t>(0, begin - task.window + 1) : 0;
  return {seen / kKvSplit, (begin + tile.rows - 1) / kKvSplit};
}

void prefetch(const uint8_t* data, int64_t bytes) {
  for (int64_t at = 0; at < bytes; at += 64) __builtin_prefetch(data + at, 0, 2);
}

/// Floats between two queries of a tile.
int64_t query_stride(const KvLayout& layout) { return round_up(layout.spec.key_dim, kScaleGroup); }

/// A latent block as float32 keys [dim][16], scale included.
void transpose_latent(const KvLayout& layout, const uint8_t* block, float* out) {
  const int dim = layout.spec.key_dim;
  const auto* scales = reinterpret_cast<const float*>(block + layout.scales_at);
  for (int j = 0; j < kBlockTokens; ++j) {
    const int64_t row = j * layout.row_stride;
    for (int d = 0; d < dim; ++d) {
      float value = 0.0f;
      switch (layout.spec.type) {
        case KvType::f32:
          value = reinterpret_cast<const float*>(block)[row + d];
          break;
        case KvType::bf16:
          value = bf16_to_f32(reinterpret_cast<const uint16_t*>(block)[row + d]);
          break;
        case KvType::q8:
          value = scales[d / kScaleGroup * kBlockTokens + j] *
                  static_cast<float>(reinterpret_cast<const int8_t*>(block)[row + d]);
          break;
      }
      out[d * kBlockTokens + j] = value;
    }
  }
  std::fill(out + dim * kBlockTokens, out + layout.padded_key * kBlockTokens, 0.0f);
}

/// Whether the values of a block's token are finite: then a weight of 0 makes them 0.
bool finite_values(const KvLayout& layout, const void* values, const float* scales, int slot) {
  const int dim = layout.spec.value_dim;
  const int64_t at = slot * layout.row_stride;
  switch (layout.spec.type) {
    case KvType::f32: {
      const float* row = static_cast<const float*>(values) + at;
      return std::all_of(row, row + dim, [](float v) { return std::isfinite(v); });
    }
    case KvType::bf16: {
      const uint16_t* row = static_cast<const uint16_t*>(values) + at;
      return std::all_of(row, row + dim, [](uint16_t v) { return (v & 0x7f80u) != 0x7f80u; });
    }
    case KvType::q8:  // what is not finite is stored as codes 0 with a scale of NaN
      for (int d = 0; d < dim; d += kScaleGroup) {
        if (!std::isfinite(scales[d / kScaleGroup * kBlockTokens + slot])) return false;
      }
      return true;
  }
  return true;
}

/// Puts one split's result after those before it: (max, sum, out) += (part_max, part_sum, part).
void merge(const float* part, const float* part_max, const float* part_sum, int queries, int64_t width, bool first,
           Worker& worker) {
  for (int n = 0; n < queries; ++n) {
    float* out = worker.out + n * width;
    const float* from = part + n * width;
    const bool empty = part_sum[n] == 0.0f;  // sees nothing of this split
    if (first) worker.sum[n] = 0.0f;
    if (worker.sum[n] == 0.0f) {
      worker.max[n] = part_max[n];
      worker.sum[n] = part_sum[n];
      std::memcpy(out, from, static_cast<size_t>(width) * sizeof(float));
      continue;
    }
    if (empty) continue;
    const float max = std::max(worker.max[n], part_max[n]);
    const float old_factor = std::exp(worker.max[n] - max), new_factor = std::exp(part_max[n] - max);
    for (int64_t d = 0; d < width; ++d) out[d] = out[d] * old_factor + from[d] * new_factor;
    worker.sum[n] = worker.sum[n] * old_factor + part_sum[n] * new_factor;
    worker.max[n] = max;
  }
}

}  // namespace

void CpuBackend::norm_head(const Norm* norm, float* values, int64_t n) const {
  if (norm == nullptr || !norm->weight) return;
  AUTOGLM_CHECK(norm->weight.cols == n, "norm of the wrong width");
  isa_.rms_norm(values, row_of(norm->weight, 0), norm->eps, n, values);
}

void CpuBackend::rotate(int rope, int64_t row, float* values) const {
  if (rope < 0) return;
  const Rope& r = ropes_[static_cast<size_t>(rope)];
  const int pairs = r.spec.dims / 2;
  const float* cosines = reinterpret_cast<const float*>(r.table.data()) + row * r.spec.dims;
  const float* sines = cosines + pairs;
  if (r.spec.interleaved) {
    for (int i = 0; i < pairs; ++i) {
      const float a = values[2 * i], b = values[2 * i + 1];
      values[2 * i] = a * cosines[i] - b * sines[i];
      values[2 * i + 1] = a * sines[i] + b * cosines[i];
    }
  } else {
    for (int i = 0; i < pairs; ++i) {
      const float a = values[i], b = values[i + pairs];
      values[i] = a * cosines[i] - b * sines[i];
      values[i + pairs] = a * sines[i] + b * cosines[i];
    }
  }
}

void CpuBackend::load_queries(const AttentionTask& task, const AttentionTile& tile, Worker& worker) const {
  const KvSegment& segment = task.segments[static_cast<size_t>(tile.segment)];
  const KvLayout& layout = task.store->layout(task.layer);
  const int64_t padded = query_stride(layout), groups = padded / kScaleGroup;
  float* to = worker.q;
  ActGroup* codes = worker.q_codes;
  for (int r = 0; r < tile.rows; ++r) {
    const int64_t row = segment.row_begin + tile.first + r - task.q_first_row;
    for (int h = 0; h < task.group; ++h, to += padded, codes += 2 * groups) {
      const float* from = task.q + row * task.q_stride + (tile.kv_head * task.group + h) * task.key_dim;
      std::copy_n(from, task.key_dim, to);
      std::fill(to + task.key_dim, to + padded, 0.0f);
      if (layout.integer_keys()) isa_.quantize_twice(to, groups, codes, codes + groups);
    }
  }
}

void CpuBackend::score_block(const AttentionTask& task, const uint8_t* block, int queries, int column,
                             Worker& worker) const {
  const KvLayout& layout = task.store->layout(task.layer);
  ScoreArgs args;
  args.code = layout.code();
  args.keys = block;
  args.key_scales = reinterpret_cast<const float*>(block + layout.scales_at);
  if (layout.latent()) {
    transpose_latent(layout, block, worker.keys);
    args.code = KvCode::f32;
    args.keys = worker.keys;
  }
  args.dim = layout.padded_key;
  args.q = worker.q;
  args.q_stride = query_stride(layout);
  args.q_codes = worker.q_codes;
  args.nq = queries;
  args.scale = task.scale;
  args.out = worker.scores + column;
  args.out_stride = kSplitTokens;
  isa_.scores(args);
}

void CpuBackend::attend_split(const AttentionTask& task, const AttentionTile& tile, int64_t split,
                              Worker& worker) const {
  const KvSegment& segment = task.segments[static_cast<size_t>(tile.segment)];
  const KvLayout& layout = task.store->layout(task.layer);
  const int queries = tile.rows * task.group;
  const int64_t base = split * kKvSplit, position = first_position(segment, tile);
  const auto within = [&](int64_t p) { return static_cast<int>(std::clamp<int64_t>(p - base, 0, kKvSplit)); };
  const auto window_begin = [&](int64_t p) { return task.window > 0 ? within(p - task.window + 1) : 0; };
  const int begin = window_begin(position), end = within(position + tile.rows);
  const int first_block = begin / kBlockTokens, blocks = (end + kBlockTokens - 1) / kBlockTokens;

  const void* values[kSplitTokens / kBlockTokens] = {};
  const float* scales[kSplitTokens / kBlockTokens] = {};
  const auto head_of = [&](int b) {
    return task.store->head(task.layer, segment.blocks[static_cast<size_t>(base / kKvBlock + b)], tile.kv_head);
  };
  if (first_block < blocks) prefetch(head_of(first_block), layout.head_bytes);
  for (int b = first_block; b < blocks; ++b) {
    // Blocks lie far apart, where the hardware does not look ahead.
    if (b + 1 < blocks) prefetch(head_of(b + 1), layout.head_bytes);
    const uint8_t* head = head_of(b);
    values[b] = head + layout.value_at;
    scales[b] = layout.value_scales(head);
    score_block(task, head, queries, b * kBlockTokens, worker);
  }
  const int offset = first_block * kBlockTokens, count = blocks * kBlockTokens - offset;
  for (int n = 0; n < queries; ++n) {
    const int64_t p = position + n / task.group;
    float* scores = worker.scores + n * kSplitTokens + offset;
    SoftmaxArgs args;
    args.scores = scores;
    args.begin = std::max(0, window_begin(p) - offset);
    args.end = within(p + 1) - offset;
    args.count = count;
    args.softcap = task.softcap;
    if (args.begin < args.end) {
      isa_.softmax(args);
    } else {
      std::fill_n(scores, std::max(0, count), 0.0f);
      args.max = -std::numeric_limits<float>::infinity();
    }
    worker.part_max[n] = args.max;
    worker.part_sum[n] = args.sum;
  }
  WeightedSumArgs sum;
  sum.code = layout.code();
  sum.blocks = values;
  sum.scales = scales;
  sum.row_stride = layout.row_stride;
  sum.begin = begin;
  sum.end = end;
  sum.dim = static_cast<int>(round_up(task.value_dim, 16));
  sum.p = worker.scores;
  sum.p_stride = kSplitTokens;
  sum.nq = queries;
  sum.o = worker.part;
  sum.o_stride = sum.dim;
  // All queries go together over all positions, with a weight of 0 where one may not look. That hides a value only if
  // it is finite; otherwise each query goes by itself over its own positions, which gives the same bits.
  const int shared_begin = window_begin(position + tile.rows - 1), shared_end = within(position + 1);
  bool together = true;
  for (int j = begin; j < end && together; ++j) {
    if (j == shared_begin && shared_begin < shared_end) j = shared_end;
    if (j < end) together = finite_values(layout, values[j / kBlockTokens], scales[j / kBlockTokens], j % kBlockTokens);
  }
  if (together) return isa_.weighted_sum(sum);
  sum.nq = 1;
  for (int n = 0; n < queries; ++n, sum.p += sum.p_stride, sum.o += sum.o_stride) {
    const int64_t p = position + n / task.group;
    sum.begin = window_begin(p);
    sum.end = within(p + 1);
    if (sum.begin < sum.end) {
      isa_.weighted_sum(sum);
    } else {
      std::fill_n(sum.o, sum.dim, 0.0f);
    }
  }
}

void CpuBackend::finish_tile(const AttentionTask& task, const AttentionTile& tile, Worker& worker) const {
  const KvSegment& segment = task.segments[static_cast<size_t>(tile.segment)];
  const int64_t width = round_up(task.value_dim, 16);
  for (int n = 0; n < tile.rows * task.group; ++n) {
    const int64_t row = segment.row_begin + tile.first + n / task.group - task.q_first_row;
    float* to = task.out + row * task.out_stride + (tile.kv_head * task.group + n % task.group) * task.value_dim;
    const float* from = worker.out + n * width;
    // + 0: a sum that was flushed to -0 becomes +0 when tokens of weight 0 follow it, which depends on the tile.
    for (int d = 0; d < task.value_dim; ++d) to[d] = from[d] / worker.sum[n] + 0.0f;
  }
}

void CpuBackend::attend_tile(const AttentionTask& task, const AttentionTile& tile, Worker& worker) const {
  load_queries(task, tile, worker);
  const Splits splits = splits_of(task, tile);
  for (int64_t split = splits.first; split <= splits.last; ++split) {
    attend_split(task, tile, split, worker);
    merge(worker.part, worker.part_max, worker.part_sum, tile.rows * task.group, round_up(task.value_dim, 16),
          split == splits.first, worker);
  }
  finish_tile(task, tile, worker);
}

int64_t CpuBackend::list_tiles(const AttentionTask& task, int64_t first_row, int64_t rows) {
  auto* tiles = reinterpret_cast<AttentionTile*>(tile_pages_.data());
  const int64_t capacity = tile_pages_.size() / static_cast<int64_t>(sizeof(AttentionTile));
  const int tile_rows = std::max(1, kTileQueries / task.group);
  int64_t count = 0;
  for (size_t s = 0; s < task.segments.size(); ++s) {
    const KvSegment& segment = task.segments[s];
    const int64_t begin = std::max<int64_t>(0, first_row - segment.row_begin);
    const int64_t end = std::min(segment.rows, first_row + rows - segment.row_begin);
    for (int64_t tail = end; tail > begin;) {  // long ones first, so that workers finish together
      const int64_t head = std::max(begin, tail - tile_rows);
      for (int h = 0; h < task.heads / task.group; ++h) {
        AUTOGLM_CHECK(count < capacity, "more attention tiles than reserve() foresaw");
        tiles[count++] = {static_cast<int32_t>(s), h, static_cast<int32_t>(head), static_cast<int32_t>(tail - head)};
      }
      tail = head;
    }
  }
  return count;
}

/// Few tiles with a long past (decode): the splits of a tile are shared out too.
bool CpuBackend::by_splits(const AttentionTask& task, int64_t tiles) const {
  if (pool_size() == 1 || tiles >= 4 * pool_size()) return false;
  const auto* list = reinterpret_cast<const AttentionTile*>(tile_pages_.data());
  int64_t floats = 0, most = 0;
  for (int64_t t = 0; t < tiles; ++t) {
    const int64_t splits = splits_of(task, list[t]).count();
    floats += splits * list[t].rows * task.group * (round_up(task.value_dim, 16) + 2);
    most = std::max(most, splits);
  }
  return most > 1 && floats * 4 <= partial_pages_.size();
}

void CpuBackend::attend_by_splits(const AttentionTask& task, int64_t tiles, int loop, Worker& worker) {
  const auto* list = reinterpret_cast<const AttentionTile*>(tile_pages_.data());
  const int64_t width = round_up(task.value_dim, 16);
  auto* partials = reinterpret_cast<float*>(partial_pages_.data());
  // A split of a tile takes queries x (width + 2) floats: values, then maxima, then sums.
  const auto part_size = [&](int64_t tile) { return list[tile].rows * task.group * (width + 2); };
  int64_t units = 0;
  for (int64_t t = 0; t < tiles; ++t) units += splits_of(task, list[t]).count();
  share(worker, loop, units, 1, [&](int64_t unit) {
    float* place = partials;
    int64_t tile = 0;
    for (; unit >= splits_of(task, list[tile]).count(); ++tile) {
      const int64_t count = splits_of(task, list[tile]).count();
      unit -= count;
      place += count * part_size(tile);
    }
    place += unit * part_size(tile);
    const int queries = list[tile].rows * task.group;
    load_queries(task, list[tile], worker);
    attend_split(task, list[tile], splits_of(task, list[tile]).first + unit, worker);
    std::copy_n(worker.part, queries * width, place);
    std::copy_n(worker.part_max, queries, place + queries * width);
    std::copy_n(worker.part_sum, queries, place + queries * width + queries);
  });
  barrier();
  share(worker, loop + 1, tiles, 1, [&](int64_t t) {
    const float* place = partials;
    for (int64_t before = 0; before < t; ++before) place += splits_of(task, list[before]).count() * part_size(before);
    const int queries = list[t].rows * task.group;
    for (int64_t s = 0; s < splits_of(task, list[t]).count(); ++s, place += part_size(t)) {
      merge(place, place + queries * width, place + queries * width + queries, queries, width, s == 0, worker);
    }
    finish_tile(task, list[t], worker);
  });
}

/// Inside parallel(), with list_tiles() done: the rows' keys and values are stored. Takes loops `loop` and the next.
void CpuBackend::attend(const AttentionTask& task, int64_t tiles, bool splits, int loop, Worker& worker) {
  if (splits) return attend_by_splits(task, tiles, loop, worker);
  const auto* list = reinterpret_cast<const AttentionTile*>(tile_pages_.data());
  share(worker, loop, tiles, 1, [&](int64_t tile) { attend_tile(task, list[tile], worker); });
}

void CpuBackend::attention(const AttentionArgs& args) {
  const auto& store = static_cast<const CpuKvStore&>(*args.kv.store);
  const KvLayerSpec& spec = store.layout(args.kv.layer).spec;
  AUTOGLM_CHECK(spec.heads == args.kv_heads && spec.key_dim == args.key_dim && spec.value_dim == args.value_dim &&
                    args.heads % args.kv_heads == 0,
                "attention of another shape than its cache");
  AttentionTask task;
  task.store = &store;
  task.layer = args.kv.layer;
  task.segments = args.kv.segments;
  task.q = row_of(*args.q, 0);
  task.q_stride = args.q->cols;
  task.out = row_of(*args.out, 0);
  task.out_stride = args.out->cols;
  task.heads = args.heads;
  task.group = args.heads / args.kv_heads;
  task.key_dim = args.key_dim;
  task.value_dim = args.value_dim;
  task.scale = args.scale;
  task.softcap = args.softcap;
  task.window = args.window;
  const int64_t tiles = list_tiles(task, 0, args.rows);
  const bool splits = by_splits(task, tiles);
  const int64_t units = args.kv_heads + args.heads;
  parallel([&](Worker& worker) {
    share(worker, 0, args.rows * units, args.rows < 4 ? 1 : units, [&](int64_t unit) {
      const int64_t row = unit / units;
      const auto head = static_cast<int>(unit % units);
      if (head >= args.kv_heads) {
        float* query = row_of(*args.q, row) + (head - args.kv_heads) * args.key_dim;
        norm_head(args.q_norm, query, args.key_dim);
        rotate(args.rope, row, query);
        return;
      }
      const KvSegment* segment = segment_of(args.kv, row);
      if (segment == nullptr) return;
      float* key = row_of(*args.k, row) + head * args.key_dim;
      norm_head(args.k_norm, key, args.key_dim);
      rotate(args.rope, row, key);
      const int64_t position = segment->past + row - segment->row_begin;
      store.append(args.kv.layer, segment->blocks[static_cast<size_t>(position / kKvBlock)],
                   static_cast<int>(position % kKvBlock), head, key, row_of(*args.v, row) + head * args.value_dim,
                   worker.row);
    });
    barrier();
    attend(task, tiles, splits, 1, worker);
  });
}

}  // namespace autoglm::cpu
