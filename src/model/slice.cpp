#include "model/slice.h"

namespace autoglm {
namespace {

template <typename T>
void keep_one(std::vector<T>& by_layer, int layer) {
  if (by_layer.empty()) return;
  const T value = by_layer[static_cast<size_t>(layer)];
  by_layer.assign(1, value);
}

}  // namespace

ArchSpec slice_layer(const ArchSpec& spec, int layer) {
  ArchSpec out = spec;
  out.layers = 1;
  out.mtp_layers = 0;
  keep_one(out.heads, layer);
  keep_one(out.kv_heads, layer);
  keep_one(out.head_dim, layer);
  keep_one(out.ffn, layer);
  keep_one(out.window, layer);
  keep_one(out.rope, layer);
  keep_one(out.moe, layer);
  return out;
}

}  // namespace autoglm
