// Multi-head latent attention (DeepSeek-V2, section 2.1) in its absorbed form: queries are mapped into the latent
// space, so that the cache holds one latent row a token and keys and values are never expanded.
#include <algorithm>

#include "kernels/ref/ref_attention.h"
#include "kernels/ref/ref_backend.h"
#include "kernels/ref/ref_ops.h"

namespace autoglm::ref {
namespace {

Rows one_row(const float* values, int64_t n) {
  Rows row(1, n);
  std::copy_n(values, n, row[0]);
  return row;
}

}  // namespace

void RefBackend::latent_attention(const LatentAttentionArgs& args) {
  auto& store = static_cast<RefKv&>(*args.kv.store);
  const int layer = args.kv.layer;
  for (const KvSegment& segment : args.kv.segments) {
    for (int64_t r = 0; r < segment.rows; ++r) {
      const int64_t row = segment.row_begin + r;
      float* latent = row_of(*args.latent, row);
      normalize(args.latent_norm, latent, args.kv_rank);
      rotate(args.rope, row, latent + args.kv_rank);
      store.write_key(layer, segment, segment.past + r, 0, latent);
    }
    const auto key = [&](int64_t p) { return store.key(layer, segment, p, 0); };
    for (int64_t r = 0; r < segment.rows; ++r) {
      const int64_t row = segment.row_begin + r;
      for (int h = 0; h < args.heads; ++h) {
        float* query = row_of(*args.q, row) + h * (args.nope + args.rope_dims);
        rotate(args.rope, row, query + args.nope);
        std::vector<float> absorbed = multiply(*args.k_b, h, one_row(query, args.nope)).values;
        absorbed.insert(absorbed.end(), query + args.nope, query + args.nope + args.rope_dims);
        const Attend one{absorbed.data(), segment.past + r, args.scale, 0.0f, 0, args.kv_rank};
        const std::vector<double> mixed = attend(one, key, key);
        Rows input(1, args.kv_rank);
        std::transform(mixed.begin(), mixed.end(), input[0], [](double v) { return static_cast<float>(v); });
        const Rows out = multiply(*args.v_b, h, input);
        std::copy_n(out[0], args.value_dim, row_of(*args.out, row) + h * args.value_dim);
      }
    }
  }
}

}  // namespace autoglm::ref
