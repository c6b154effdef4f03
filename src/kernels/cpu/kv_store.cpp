#include "kernels/cpu/kv_store.h"

#include <algorithm>
#include <cstring>

#include "base/error.h"
#include "kernels/quantize.h"

namespace autoglm::cpu {
namespace {

static_assert(kKvBlock == kBlockTokens && kKvSplit == kSplitTokens && kKvGroup == kScaleGroup);
static_assert(static_cast<int>(KvType::f32) == static_cast<int>(KvCode::f32) &&
              static_cast<int>(KvType::f16) == static_cast<int>(KvCode::f16) &&
              static_cast<int>(KvType::bf16) == static_cast<int>(KvCode::bf16) &&
              static_cast<int>(KvType::q8) == static_cast<int>(KvCode::q8) &&
              static_cast<int>(KvType::q4) == static_cast<int>(KvCode::q4));
static_assert(std::ranges::equal(kKvBook, kKvLevels));

int element_bits(KvType type) {
  return type == KvType::f32 ? 32 : type == KvType::q8 ? 8 : type == KvType::q4 ? 4 : 16;
}

constexpr int kQ4KeyBytes = 20;  // of a group of keys, without its scale

/// Of the values of one token.
int64_t row_bytes(const KvLayout& l) { return l.row_stride * element_bits(l.spec.type) / 8; }

int groups_of(int dim) { return (dim + kScaleGroup - 1) / kScaleGroup; }

void store_bf16(const float* x, int n, uint8_t* to) {
  for (int i = 0; i < n; ++i) {
    const uint16_t bits = f32_to_bf16(x[i]);
    std::memcpy(to + 2 * i, &bits, 2);
  }
}

/// Values that lie `stride` apart.
void store_f16(const float* x, int n, uint8_t* to, int stride = 1) {
  for (int i = 0; i < n; ++i) {
    const uint16_t bits = f32_to_f16(x[i]);
    std::memcpy(to + 2 * i * stride, &bits, 2);
  }
}

}  // namespace

KvLayout::KvLayout(const KvLayerSpec& kv) : spec(kv) {
  const int64_t bits = element_bits(spec.type) * kBlockTokens;
  const int64_t scales = kBlockTokens * scale_bytes();  // of one group
  const int64_t multiple = rotated() ? kScaleGroup : 16;
  key_groups = groups_of(spec.key_dim);
  padded_key = static_cast<int>(round_up(spec.key_dim, rotated() ? kScaleGroup : 4));
  row_stride = round_up(latent() ? spec.key_dim : spec.value_dim, multiple);
  value_width = static_cast<int>(round_up(spec.value_dim, multiple));
  if (latent()) {
    scales_at = row_stride * bits / 8;
    head_bytes = scales_at + key_groups * scales;
  } else {
    value_at = rotated() ? key_groups * kQ4KeyBytes * kBlockTokens : padded_key * bits / 8;
    scales_at = value_at + row_stride * bits / 8;
    head_bytes = scales_at + (key_groups + groups_of(spec.value_dim)) * scales;
  }
  head_bytes = round_up(head_bytes, 64);  // as what is prefetched; others than q4 are anyway
}

int64_t kv_bytes(std::span<const KvLayerSpec> layers) {
  int64_t bytes = 0;
  for (const KvLayerSpec& layer : layers) bytes += KvLayout(layer).bytes();
  return bytes;
}

CpuKvStore::CpuKvStore(std::span<const KvLayerSpec> layers, int64_t blocks, const IsaTable& isa,
                       const std::shared_ptr<PageFiller>& filler)
    : isa_(isa), blocks_(blocks) {
  for (const KvLayerSpec& spec : layers) {
    KvLayout layout(spec);
    layout.offset = block_bytes_;
    block_bytes_ += layout.bytes();
    layers_.push_back(layout);
  }
  pages_ = Pages(blocks_ * block_bytes_, /*huge=*/true, filler);
}

void CpuKvStore::check_block(int32_t block) const { AUTOGLM_CHECK(block >= 0 && block < blocks_, "no such KV block"); }

template <typename F>
void CpuKvStore::for_pieces(int32_t block, F&& f) const {
  for (int layer = 0; layer < static_cast<int>(layers_.size()); ++layer) {
    const KvLayout& l = layers_[static_cast<size_t>(layer)];
    for (int h = 0; h < l.spec.heads; ++h) {
      const std::span<std::byte> piece(reinterpret_cast<std::byte*>(head(layer, block, h)),
                                       static_cast<size_t>(l.head_bytes));
      f(piece, static_cast<size_t>(l.offset + h * l.head_bytes), layer, h);
    }
  }
}

void CpuKvStore::copy_block(int32_t from, int32_t to) {
  check_block(from);
  check_block(to);
  if (from == to) return;
  for_pieces(from, [&](std::span<const std::byte> piece, size_t, int layer, int h) {
    std::memcpy(head(layer, to, h), piece.data(), piece.size());
  });
}

void CpuKvStore::export_block(int32_t block, std::span<std::byte> out) const {
  check_block(block);
  AUTOGLM_CHECK(std::ssize(out) == block_bytes_, "a KV block of the wrong size");
  for_pieces(block, [&](std::span<const std::byte> piece, size_t at, int, int) {
    std::memcpy(out.data() + at, piece.data(), piece.size());
  });
}

void CpuKvStore::import_block(int32_t block, std::span<const std::byte> in) {
  check_block(block);
  AUTOGLM_CHECK(std::ssize(in) == block_bytes_, "a KV block of the wrong size");
  for_pieces(block, [&](std::span<std::byte> piece, size_t at, int, int) {
    std::memcpy(piece.data(), in.data() + at, piece.size());
  });
}

/// f(g, x) for each rotated group of a row; `scratch` holds the row, padded.
template <typename F>
void CpuKvStore::for_rotated(const float* x, int n, float* scratch, F&& f) const {
  const int groups = groups_of(n);
  std::copy_n(x, n, scratch);
  std::fill(scratch + n, scratch + groups * kScaleGroup, 0.0f);
  isa_.hadamard(scratch, groups, scratch);
  for (int g = 0; g < groups; ++g) f(g, scratch + g * kScaleGroup);
}

/// A row in q8 (kernels/quantize.h), whose first columns are rotated before; the scale of group g goes to
/// scales + 16 * 4 * g.
const ActGroup* CpuKvStore::round_row(const float* x, int n, int rotated, float* scratch, uint8_t* scales) const {
  const int groups = groups_of(n);
  auto* codes = reinterpret_cast<ActGroup*>(scratch);  // half a float a column
  static_assert(sizeof(ActGroup) == 2 * kScaleGroup);
  if (n % kScaleGroup != 0 || rotated > 0) {
    float* padded = scratch + groups * kScaleGroup / 2;
    isa_.hadamard(x, rotated / kScaleGroup, padded);
    std::copy(x + rotated, x + n, padded + rotated);
    std::fill(padded + n, padded + groups * kScaleGroup, 0.0f);
    x = padded;
  }
  isa_.quantize(x, groups, codes, groups, 0);
  for (int g = 0; g < groups; ++g) std::memcpy(scales + g * kBlockTokens * 4, &codes[g].scale, 4);
  return codes;
}

/// Side by side: values, and latent rows.
void CpuKvStore::store_rows(const KvLayout& l, const float* x, int n, uint8_t* to, uint8_t* scales,
                            float* scratch) const {
  switch (l.spec.type) {
    case KvType::f32:
      std::memcpy(to, x, static_cast<size_t>(n) * 4);
      return;
    case KvType::f16:
      store_f16(x, n, to);
      return;
    case KvType::bf16:
      store_bf16(x, n, to);
      return;
    case KvType::q8: {
      const ActGroup* codes = round_row(x, n, 0, scratch, scales);
      for (int i = 0; i < n; i += kScaleGroup, ++codes) {
        std::memcpy(to + i, codes->codes, static_cast<size_t>(std::min(kScaleGroup, n - i)));
      }
      return;
    }
    case KvType::q4:
      for_rotated(x, n, scratch, [&](int g, const float* values) {
        const KvNibbles group = quantize_kv(values);
        std::memcpy(to + g * kScaleGroup / 2, group.codes, sizeof group.codes);
        std::memcpy(scales + g * kBlockTokens * 2, &group.scale, 2);
      });
      return;
  }
}

// What pads a row is zero from the start and stays so: blocks are only ever written here or copied whole.
void CpuKvStore::append(int layer, int32_t block, int slot, int head_index, const float* key, const float* value,
                        float* scratch) const {
  check_block(block);
  const KvLayout& l = layout(layer);
  uint8_t* base = head(layer, block, head_index);
  uint8_t* scales = base + l.scales_at + slot * l.scale_bytes();
  const int n = l.spec.key_dim;
  switch (l.spec.type) {
    case KvType::f32:
      for (int i = 0; i < n; ++i) std::memcpy(base + (i * kBlockTokens + slot) * 4, key + i, 4);
      break;
    case KvType::f16:
      store_f16(key, n, base + 2 * slot, kBlockTokens);
      break;
    case KvType::bf16:  // pairs of columns
      for (int i = 0; i < n; i += 2) store_bf16(key + i, std::min(2, n - i), base + (i * kBlockTokens + 2 * slot) * 2);
      break;
    case KvType::q8: {  // four columns
      const ActGroup* codes = round_row(key, n, l.rotated_keys(), scratch, scales);
      for (int i = 0; i < l.padded_key; i += 4) {
        uint32_t quad;
        std::memcpy(&quad, codes[i / kScaleGroup].codes + i % kScaleGroup, 4);
        quad ^= 0x80808080u;  // code + 128
        std::memcpy(base + i * kBlockTokens + 4 * slot, &quad, 4);
      }
      break;
    }
    case KvType::q4:
      for_rotated(key, n, scratch, [&](int g, const float* values) {
        const KvKeyGroup group = quantize_kv_key(values);
        uint8_t* to = base + g * kQ4KeyBytes * kBlockTokens + 4 * slot;
        for (int line = 0; line < 4; ++line) std::memcpy(to + line * 4 * kBlockTokens, group.codes + 4 * line, 4);
        std::memcpy(to + 16 * kBlockTokens, group.high, 4);
        std::memcpy(scales + g * kBlockTokens * 2, &group.scale, 2);
      });
      break;
  }
  store_rows(l, value, l.spec.value_dim, base + l.value_at + slot * row_bytes(l),
             scales + l.key_groups * kBlockTokens * l.scale_bytes(), scratch);
}

void CpuKvStore::append_latent(int layer, int32_t block, int slot, const float* row, float* scratch) const {
  check_block(block);
  const KvLayout& l = layout(layer);
  uint8_t* base = head(layer, block, 0);
  store_rows(l, row, l.spec.key_dim, base + slot * row_bytes(l), base + l.scales_at + slot * l.scale_bytes(), scratch);
}

}  // namespace autoglm::cpu
