#include "kernels/cpu/kv_store.h"

#include <algorithm>
#include <cstring>

#include "base/error.h"
#include "kernels/quantize.h"

namespace autoglm::cpu {
namespace {

static_assert(kKvBlock == kBlockTokens && kKvSplit == kSplitTokens && kKvGroup == kScaleGroup);
static_assert(static_cast<int>(KvType::f32) == static_cast<int>(KvCode::f32) &&
              static_cast<int>(KvType::bf16) == static_cast<int>(KvCode::bf16) &&
              static_cast<int>(KvType::q8) == static_cast<int>(KvCode::q8));

int element_bytes(KvType type) { return type == KvType::f32 ? 4 : type == KvType::bf16 ? 2 : 1; }

int groups_of(int dim) { return (dim + kScaleGroup - 1) / kScaleGroup; }

/// Writes value i of n to element place(i), and (q8) the scale of group g to scales[16 * g].
template <typename Place>
void store_row(KvType type, const float* x, int n, uint8_t* base, int8_t* codes, float* scales, Place place) {
  switch (type) {
    case KvType::f32:
      for (int i = 0; i < n; ++i) std::memcpy(base + place(i) * 4, x + i, 4);
      return;
    case KvType::bf16:
      for (int i = 0; i < n; ++i) {
        const uint16_t bits = f32_to_bf16(x[i]);
        std::memcpy(base + place(i) * 2, &bits, 2);
      }
      return;
    case KvType::q8:
      break;
  }
  for (int g = 0; g < groups_of(n); ++g) {
    const int at = g * kScaleGroup;
    scales[g * kBlockTokens] = quantize_row(x + at, std::min(kScaleGroup, n - at), codes + at);
  }
  for (int i = 0; i < n; ++i) base[place(i)] = static_cast<uint8_t>(codes[i]);
}

}  // namespace

KvLayout::KvLayout(const KvLayerSpec& kv) : spec(kv) {
  const int64_t element = element_bytes(spec.type);
  const int64_t scales = spec.type == KvType::q8 ? kBlockTokens * 4 : 0;  // of one group
  key_groups = groups_of(spec.key_dim);
  padded_key = static_cast<int>(round_up(spec.key_dim, 4));
  if (latent()) {
    row_stride = round_up(spec.key_dim, 16);
    scales_at = row_stride * kBlockTokens * element;
    head_bytes = scales_at + key_groups * scales;
  } else {
    row_stride = round_up(spec.value_dim, 16);
    value_at = padded_key * kBlockTokens * element;
    scales_at = value_at + row_stride * kBlockTokens * element;
    head_bytes = scales_at + (key_groups + groups_of(spec.value_dim)) * scales;
  }
}

int64_t kv_bytes(std::span<const KvLayerSpec> layers) {
  int64_t bytes = 0;
  for (const KvLayerSpec& layer : layers) bytes += KvLayout(layer).bytes();
  return bytes;
}

CpuKvStore::CpuKvStore(std::span<const KvLayerSpec> layers, int64_t blocks) : blocks_(blocks) {
  for (const KvLayerSpec& spec : layers) {
    KvLayout layout(spec);
    layout.offset = block_bytes_;
    block_bytes_ += layout.bytes();
    layers_.push_back(layout);
  }
  pages_ = Pages(blocks_ * block_bytes_, /*huge=*/true);
}

void CpuKvStore::check_block(int32_t block) const { AUTOGLM_CHECK(block >= 0 && block < blocks_, "no such KV block"); }

void CpuKvStore::copy_block(int32_t from, int32_t to) {
  check_block(from);
  check_block(to);
  if (from == to) return;
  std::memcpy(pages_.data() + to * block_bytes_, pages_.data() + from * block_bytes_,
              static_cast<size_t>(block_bytes_));
}

void CpuKvStore::export_block(int32_t block, std::span<std::byte> out) const {
  check_block(block);
  AUTOGLM_CHECK(std::ssize(out) == block_bytes_, "a KV block of the wrong size");
  std::memcpy(out.data(), pages_.data() + block * block_bytes_, out.size());
}

void CpuKvStore::import_block(int32_t block, std::span<const std::byte> in) {
  check_block(block);
  AUTOGLM_CHECK(std::ssize(in) == block_bytes_, "a KV block of the wrong size");
  std::memcpy(pages_.data() + block * block_bytes_, in.data(), in.size());
}

// What pads a row is zero from the start and stays so: blocks are only ever written here or copied whole.
void CpuKvStore::append(int layer, int32_t block, int slot, int head_index, const float* key, const float* value,
                        int8_t* codes) const {
  check_block(block);
  const KvLayout& l = layout(layer);
  uint8_t* base = head(layer, block, head_index);
  const int per_line = 4 / element_bytes(l.spec.type);  // columns of a token that lie side by side: 1, 2 or 4
  auto* scales = reinterpret_cast<float*>(base + l.scales_at) + slot;
  store_row(l.spec.type, key, l.spec.key_dim, base, codes, scales, [&](int i) {
    return static_cast<int64_t>(i / per_line) * kBlockTokens * per_line + slot * per_line + i % per_line;
  });
  store_row(l.spec.type, value, l.spec.value_dim, base + l.value_at, codes, scales + l.key_groups * kBlockTokens,
            [&](int i) { return slot * l.row_stride + i; });
}

void CpuKvStore::append_latent(int layer, int32_t block, int slot, const float* row, int8_t* codes) const {
  check_block(block);
  const KvLayout& l = layout(layer);
  uint8_t* base = head(layer, block, 0);
  store_row(l.spec.type, row, l.spec.key_dim, base, codes, reinterpret_cast<float*>(base + l.scales_at) + slot,
            [&](int i) { return slot * l.row_stride + i; });
}

}  // namespace autoglm::cpu
