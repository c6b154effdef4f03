// Multi-head latent attention in its absorbed form: one latent row a token is key and value of every head.
#include <algorithm>
#include <cstring>

#include "base/error.h"
#include "kernels/cpu/cpu_backend.h"

namespace autoglm::cpu {

/// Rows whose queries are in latent form at once; bounds the scratch, never the result.
int64_t CpuBackend::latent_rows(int64_t rows) { return std::min<int64_t>(rows, 32); }

void CpuBackend::latent_attention(const LatentAttentionArgs& args) {
  const auto& store = static_cast<const CpuKvStore&>(*args.kv.store);
  const KvLayerSpec& spec = store.layout(args.kv.layer).spec;
  AUTOGLM_CHECK(spec.kind == KvLayerSpec::Kind::latent && spec.key_dim == args.kv_rank + args.rope_dims &&
                    args.k_b->count == args.heads && args.v_b->count == args.heads && args.k_b->rows == args.kv_rank &&
                    args.k_b->cols == args.nope && args.v_b->rows == args.value_dim && args.v_b->cols == args.kv_rank,
                "latent attention of another shape than its cache or weights");
  parallel([&](Worker& worker) {
    share(worker, 0, args.rows, grain_of(args.rows), [&](int64_t row) {
      float* q = row_of(*args.q, row);
      for (int h = 0; h < args.heads; ++h) rotate(args.rope, row, q + h * (args.nope + args.rope_dims) + args.nope);
      const KvSegment* segment = segment_of(args.kv, row);
      if (segment == nullptr) return;
      float* latent = row_of(*args.latent, row);
      norm_head(args.latent_norm, latent, args.kv_rank);
      rotate(args.rope, row, latent + args.kv_rank);
      const int64_t position = segment->past + row - segment->row_begin;
      store.append_latent(args.kv.layer, segment->blocks[static_cast<size_t>(position / kKvBlock)],
                          static_cast<int>(position % kKvBlock), latent, worker.row);
    });
  });
  const int64_t step = latent_rows(args.rows);
  for (int64_t first = 0; first < args.rows; first += step)
    latent_chunk(args, first, std::min(step, args.rows - first));
}

/// Products of every head with its own matrix: input row h * rows + r of x, output row r of head h at
/// out + r * stride + h * width.
void CpuBackend::multiply_heads(const CpuWeight& weight, const Activations& x, int64_t rows, float* out, int64_t stride,
                                int64_t width, Worker& worker, int loop) {
  const int64_t units = weight.count * weight.panels;
  share(worker, loop, units, 1, [&](int64_t unit) {
    const int64_t head = unit / weight.panels, panel = unit % weight.panels;
    const PanelProduct product(isa_, weight, head, panel, rows, worker, worker.expanded[0]);
    for_chunks(rows, [&](int64_t first, int64_t m) {
      product.multiply(x, nullptr, head * rows + first, m, worker.tile[0]);
      for (int64_t t = 0; t < m; ++t) {
        std::memcpy(out + (first + t) * stride + head * width + panel * kPanel, worker.tile[0] + t * kPanel,
                    static_cast<size_t>(product.width()) * 4);
      }
    });
  });
}

void CpuBackend::latent_chunk(const LatentAttentionArgs& args, int64_t first, int64_t rows) {
  const CpuWeight& k_b = weight_of(*args.k_b);
  const CpuWeight& v_b = weight_of(*args.v_b);
  const int64_t heads = args.heads, q_dim = args.nope + args.rope_dims, key_dim = args.kv_rank + args.rope_dims;
  Carver carver(step_pages_.data(), step_pages_.size());
  const Activations nope = carve(carver, rows * heads, args.nope, form_of(k_b));
  float* absorbed = carver.take<float>(rows * heads * key_dim);
  float* mixed = carver.take<float>(rows * heads * args.kv_rank);
  const Activations latent = carve(carver, rows * heads, args.kv_rank, form_of(v_b));

  parallel([&](Worker& worker) {
    share(worker, 0, rows * heads, grain_of(rows * heads), [&](int64_t i) {
      const int64_t head = i / rows, row = i % rows;
      const float* q = row_of(*args.q, first + row) + head * q_dim;
      prepare_row(q, nullptr, i, nope, worker);
      std::copy_n(q + args.nope, args.rope_dims, absorbed + (row * heads + head) * key_dim + args.kv_rank);
    });
    barrier();
    multiply_heads(k_b, nope, rows, absorbed, heads * key_dim, key_dim, worker, 1);
  });

  AttentionTask task;
  task.store = &static_cast<const CpuKvStore&>(*args.kv.store);
  task.layer = args.kv.layer;
  task.segments = args.kv.segments;
  task.q = absorbed;
  task.q_stride = heads * key_dim;
  task.out = mixed;
  task.out_stride = heads * args.kv_rank;
  task.heads = args.heads;
  task.group = args.heads;
  task.key_dim = static_cast<int>(key_dim);
  task.value_dim = args.kv_rank;
  task.scale = args.scale;
  const int64_t tiles = list_tiles(task, first, rows);
  const bool splits = by_splits(task, tiles);
  parallel([&](Worker& worker) {
    attend(task, tiles, splits, 2, worker);
    barrier();
    share(worker, 0, rows * heads, grain_of(rows * heads), [&](int64_t i) {
      const int64_t head = i / rows, row = i % rows;
      prepare_row(mixed + (row * heads + head) * args.kv_rank, nullptr, i, latent, worker);
    });
    barrier();
    multiply_heads(v_b, latent, rows, row_of(*args.out, first), args.out->cols, args.value_dim, worker, 1);
  });
}

}  // namespace autoglm::cpu
