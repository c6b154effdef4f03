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
#include "kernels/cpu/split.h"
#include "kernels/quantize.h"

namespace autoglm::cpu {
namespace {

constexpr int kGroup = 32;  // columns of an ActGroup

/// Splits that any query of the tile sees: [first, last].
struct Splits {
  int64_t first, last;
  int64_t count() const { return last - first + 1; }
};
Splits splits_of(const AttentionTask& task, const AttentionTile& tile) {
  const int64_t begin = first_position(task, tile);
  const int64_t seen = task.window > 0 ? std::max<int64_t>(0, begin - task.window + 1) : 0;
  return {seen / kKvSplit, (begin + tile.rows - 1) / kKvSplit};
}

/// Where the output of a tile goes as codes: `groups` of the tile's first row from `first` on, rows `stride` apart.
struct CodePlaces {
  ActGroup* first;
  int64_t groups, stride;
};
constexpr int64_t kFloats = sizeof(ActGroup) / sizeof(float);
CodePlaces places_of(const AttentionTask& task, const AttentionTile& tile) {
  const KvSegment& segment = task.segments[static_cast<size_t>(tile.segment)];
  const int64_t row = segment.row_begin + tile.first - tile.before, stride = task.codes.code_stride();
  const int64_t groups = task.group * task.value_dim / kGroup;  // of the query heads that share a KV head
  return {task.codes.codes + row * stride + tile.kv_head * groups, groups, stride};
}

/// Another core may have turned the queries last.
void ask_queries(const AttentionTask& task, const AttentionTile& tile) {
  const KvSegment& segment = task.segments[static_cast<size_t>(tile.segment)];
  const int64_t width = int64_t{task.group} * task.key_dim;
  const float* from = task.q + (segment.row_begin + tile.first - tile.before) * task.q_stride + tile.kv_head * width;
  for (int r = 0; r < tile.rows; ++r, from += task.q_stride) {
    for (int64_t i = 0; i < width; i += 16) __builtin_prefetch(from + i, 0, 2);
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
  isa_.rotate(values, cosines, cosines + pairs, pairs, r.spec.interleaved);
}

void CpuBackend::finish_tile(const AttentionTask& task, const AttentionTile& tile, Worker& worker) const {
  const KvSegment& segment = task.segments[static_cast<size_t>(tile.segment)];
  const KvLayout& layout = task.store->layout(task.layer);
  const int64_t width = layout.value_width, first_row = segment.row_begin + tile.first - tile.before;
  const bool codes = task.codes.codes != nullptr;
  for (int n = 0; n < tile.rows * task.group; ++n) {
    const int64_t column = (tile.kv_head * task.group + n % task.group) * task.value_dim;
    float* from = worker.out + n * width;
    if (layout.rotated()) isa_.hadamard(from, width / kScaleGroup, from);
    // + 0: a sum that was flushed to -0 becomes +0 when tokens of weight 0 follow it, which depends on the tile.
    isa_.divide(from, worker.sum[n], task.value_dim,
                codes ? from : task.out + (first_row + n / task.group) * task.out_stride + column);
  }
  if (!codes) return;
  // All heads of all rows at once: values of whole groups lie side by side.
  const CodePlaces to = places_of(task, tile);
  isa_.quantize(worker.out, tile.rows * to.groups, to.first, to.groups, to.stride);
}

void CpuBackend::attend_tile(const AttentionTask& task, const AttentionTile& tile, const AttentionTile* after,
                             Worker& worker) const {
  load_queries(task, tile, worker);
  if (task.codes.codes != nullptr) {
    const CodePlaces to = places_of(task, tile);
    own_lines(reinterpret_cast<const float*>(to.first), tile.rows, to.groups * kFloats, to.stride * kFloats);
  }
  if (after != nullptr) ask_queries(task, *after);
  const Splits splits = splits_of(task, tile);
  for (int64_t split = splits.first; split <= splits.last; ++split) {
    SplitUnit next{&tile, split + 1};
    if (split == splits.last) next = after != nullptr ? SplitUnit{after, splits_of(task, *after).first} : SplitUnit{};
    attend_split(task, {&tile, split}, next, worker);
    merge(task, tile, worker.part, worker.part_max, worker.part_sum, split == splits.first, worker);
  }
  finish_tile(task, tile, worker);
}

/// Rows of a tile: many, because keys and values are read once a tile, but several tiles a worker.
int64_t CpuBackend::tile_rows(const AttentionTask& task, int64_t rows) const {
  const int64_t fair = rows * (task.heads / task.group) / (4 * pool_size());
  const int64_t most = in_tiles(task.store->layout(task.layer)) ? kAttendQueries : kTileQueries;
  return std::max<int64_t>(1, std::clamp<int64_t>(fair, kTileQueries / task.group, most / task.group));
}

/// Calls f(begin, end, before) for each run of neighbours among the batch rows [first, last) that attend; `before`: how
/// far their rows of q and out lie before them.
template <typename F>
void for_queries(const AttentionTask& task, int64_t first_row, int64_t first, int64_t last, F&& f) {
  if (!task.queries) {
    if (first < last) f(first, last, first_row);
    return;
  }
  const std::span<const int32_t> rows = *task.queries;
  auto at = std::ranges::lower_bound(rows, first);
  while (at != rows.end() && *at < last) {
    const int64_t begin = *at, place = at - rows.begin();
    int64_t end = begin;
    for (; at != rows.end() && *at == end && end < last; ++at) ++end;
    f(begin, end, begin - place);
  }
}

/// Of batch rows [first_row, first_row + rows), the first of which is the first row of q.
int64_t CpuBackend::list_tiles(const AttentionTask& task, int64_t first_row, int64_t rows) {
  auto* tiles = reinterpret_cast<AttentionTile*>(tile_pages_.data());
  const int64_t capacity = tile_pages_.size() / static_cast<int64_t>(sizeof(AttentionTile));
  const int64_t most = tile_rows(task, task.queries ? std::ssize(*task.queries) : rows);
  int64_t count = 0;
  const auto add = [&](size_t s, int head, int64_t part_begin, int64_t part_end) {
    const KvSegment& segment = task.segments[s];
    const int64_t first = std::max(segment.row_begin, part_begin);
    const int64_t last = std::min(segment.row_begin + segment.rows, part_end);
    for_queries(task, first_row, first, last, [&](int64_t begin, int64_t end, int64_t before) {
      for (int64_t tail = end; tail > begin;) {
        const int64_t left = tail - begin, pieces = (left + most - 1) / most, take = (left + pieces - 1) / pieces;
        AUTOGLM_CHECK(count < capacity, "more attention tiles than reserve() foresaw");
        tail -= take;
        tiles[count++] = {static_cast<int32_t>(s), head, static_cast<int32_t>(tail - segment.row_begin),
                          static_cast<int32_t>(take), before};
      }
    });
  };
  // Of each part of the rows head by head, so that its keys and values stay in the cache; long tiles first, so that
  // workers finish together.
  const int64_t parts = parts_of(rows);
  for (int64_t part = 0; part < parts; ++part) {
    const int64_t begin = first_row + part_row(rows, parts, part), end = first_row + part_row(rows, parts, part + 1);
    for (size_t s = 0; s < task.segments.size(); ++s) {
      for (int h = 0; h < task.heads / task.group; ++h) add(s, h, begin, end);
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
    floats += splits * list[t].rows * task.group * (task.store->layout(task.layer).value_width + 2);
    most = std::max(most, splits);
  }
  return most > 1 && floats * 4 <= partial_pages_.size();
}

/// The splits of all tiles are numbered one tile after the other.
SplitUnit CpuBackend::unit_at(const AttentionTask& task, int64_t tiles, int64_t unit) const {
  const auto* list = reinterpret_cast<const AttentionTile*>(tile_pages_.data());
  for (int64_t tile = 0; tile < tiles; ++tile) {
    const Splits splits = splits_of(task, list[tile]);
    if (unit < splits.count()) return {list + tile, splits.first + unit};
    unit -= splits.count();
  }
  return {};
}

/// Asks for the keys and values that a worker begins with.
void CpuBackend::prefetch_unit(const AttentionTask& task, int64_t tiles, const Worker& worker) const {
  const auto* list = reinterpret_cast<const AttentionTile*>(tile_pages_.data());
  int64_t units = 0;
  for (int64_t t = 0; t < tiles; ++t) units += splits_of(task, list[t]).count();
  const UnitPieces pieces(task, unit_at(task, tiles, units * worker.index / pool_size()));
  Ahead ahead = pieces.ahead();
  ask_rest(ahead);
}

void CpuBackend::attend_by_splits(const AttentionTask& task, int64_t tiles, int loop, Worker& worker) {
  const auto* list = reinterpret_cast<const AttentionTile*>(tile_pages_.data());
  const int64_t width = task.store->layout(task.layer).value_width;
  auto* partials = reinterpret_cast<float*>(partial_pages_.data());
  // A split of a tile takes queries x (width + 2) floats: values, then maxima, then sums.
  const auto part_size = [&](int64_t tile) { return list[tile].rows * task.group * (width + 2); };
  int64_t units = 0;
  for (int64_t t = 0; t < tiles; ++t) units += splits_of(task, list[t]).count();
  share(worker, loop, units, 1, [&](int64_t number) {
    const SplitUnit unit = unit_at(task, tiles, number);
    float* place = partials;
    for (const AttentionTile* tile = list; tile != unit.tile; ++tile) {
      place += splits_of(task, *tile).count() * part_size(tile - list);
    }
    place += (unit.split - splits_of(task, *unit.tile).first) * part_size(unit.tile - list);
    const int queries = unit.tile->rows * task.group;
    load_queries(task, *unit.tile, worker);
    attend_split(task, unit, unit_at(task, tiles, number + 1), worker);
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
      merge(task, list[t], place, place + queries * width, place + queries * width + queries, s == 0, worker);
    }
    finish_tile(task, list[t], worker);
  });
}

/// Inside parallel(), with list_tiles() done: the rows' keys and values are stored. Takes loops `loop` and the next.
void CpuBackend::attend(const AttentionTask& task, int64_t tiles, bool splits, int loop, Worker& worker) {
  if (splits) return attend_by_splits(task, tiles, loop, worker);
  const auto* list = reinterpret_cast<const AttentionTile*>(tile_pages_.data());
  share(worker, loop, tiles, 1,
        [&](int64_t tile) { attend_tile(task, list[tile], tile + 1 < tiles ? list + tile + 1 : nullptr, worker); });
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
  task.queries = args.queries;
  const int64_t queries = args.queries ? std::ssize(*args.queries) : args.rows;
  task.q = row_of(*args.q, 0);
  task.q_stride = args.q->cols;
  const bool codes = args.value_dim % kGroup == 0 && leaves_codes(*args.out, args.next, queries);
  hold_codes(*args.out, codes);
  task.codes = coded(*args.out);
  task.out = codes ? nullptr : row_of(*args.out, 0);
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
  const int64_t units = args.kv_heads + (args.queries ? 0 : args.heads);  // of a row: it is brought once for all heads
  const auto turn_query = [&](int64_t place, int64_t row, int64_t head) {
    float* query = row_of(*args.q, place) + head * args.key_dim;
    norm_head(args.q_norm, query, args.key_dim);
    rotate(args.rope, row, query);
  };
  parallel([&](Worker& worker) {
    if (splits) prefetch_unit(task, tiles, worker);
    share(worker, 0, args.rows * units, args.rows < 4 ? 1 : units, [&](int64_t unit) {
      const int64_t row = unit / units;
      const auto head = static_cast<int>(unit % units);
      if (head >= args.kv_heads) return turn_query(row, row, head - args.kv_heads);
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
    if (args.queries) {
      share(worker, 1, queries, grain_of(queries), [&](int64_t place) {
        for (int h = 0; h < args.heads; ++h) turn_query(place, (*args.queries)[static_cast<size_t>(place)], h);
      });
    }
    barrier();
    attend(task, tiles, splits, 2, worker);
  });
}

}  // namespace autoglm::cpu
