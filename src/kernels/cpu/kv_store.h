// The CPU's KV cache: blocks of 16 tokens in the layouts of isa_table.h.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "kernels/backend.h"
#include "kernels/cpu/isa_table.h"
#include "kernels/cpu/memory.h"

namespace autoglm::cpu {

/// Where things lie in a block of one layer. Kind kv, each head: keys, values, then (q8) the scales of the keys and of
/// the values, [groups][16] each. Kind latent: rows [16][row_stride] that are key and value at once, then scales. q4
/// has scales too, as bfloat16, and half a byte an element.
struct KvLayout {
  KvLayerSpec spec;
  int64_t offset = 0;  // bytes of the layers before, of one block
  int64_t head_bytes = 0;
  int64_t value_at = 0;    // within a head
  int64_t scales_at = 0;   // key scales; value scales follow
  int64_t row_stride = 0;  // elements between the value rows of two tokens
  int padded_key = 0;      // key_dim rounded up to 4, for q4 to 32
  int value_width = 0;     // columns of values that are summed: value_dim rounded up to 16, for q4 to 32
  int key_groups = 0;      // of columns that share a scale

  explicit KvLayout(const KvLayerSpec& spec);
  int64_t bytes() const { return head_bytes * spec.heads; }
  /// Scales of the values of a head that begins at `head` (q8 and q4).
  const uint8_t* value_scales(const uint8_t* head) const {
    return head + scales_at + (latent() ? 0 : key_groups * kBlockTokens * scale_bytes());
  }
  int scale_bytes() const { return spec.type == KvType::q8 ? 4 : spec.type == KvType::q4 ? 2 : 0; }
  /// The scale of a group of a token, from the scales of the keys or of the values.
  float scale(const void* scales, int group, int slot) const {
    const int at = group * kBlockTokens + slot;
    if (spec.type == KvType::q4) return bf16_to_f32(static_cast<const uint16_t*>(scales)[at]);
    return static_cast<const float*>(scales)[at];
  }
  /// Whether scores are integer products of codes.
  bool integer_keys() const { return (spec.type == KvType::q8 || spec.type == KvType::q4) && !latent(); }
  /// Whether values, and latent rows, are rotated (kernels/quantize.h); q4 keys are too, padded to whole groups.
  bool rotated() const { return spec.type == KvType::q4; }
  /// Columns of a key, and of the queries that meet it, that are rotated: of q8 those that make up whole groups.
  int rotated_keys() const {
    return rotated() ? key_groups * kScaleGroup : integer_keys() ? spec.key_dim / kScaleGroup * kScaleGroup : 0;
  }
  bool latent() const { return spec.kind == KvLayerSpec::Kind::latent; }
  KvCode code() const { return static_cast<KvCode>(spec.type); }
};

/// Blocks of one head of one layer lie side by side, so that a sequence whose blocks ascend is read as a stream, which
/// the hardware prefetches. An exported block is all layers and heads in order.
class CpuKvStore final : public KvStore {
 public:
  CpuKvStore(std::span<const KvLayerSpec> layers, int64_t blocks, const IsaTable& isa,
             const std::shared_ptr<PageFiller>& filler);

  int64_t blocks() const override { return blocks_; }
  int64_t block_bytes() const override { return block_bytes_; }
  void copy_block(int32_t from, int32_t to) override;
  void export_block(int32_t block, std::span<std::byte> out) const override;
  void import_block(int32_t block, std::span<const std::byte> in) override;

  const KvLayout& layout(int layer) const { return layers_[static_cast<size_t>(layer)]; }
  uint8_t* head(int layer, int32_t block, int head) const {
    const KvLayout& l = layout(layer);
    return pages_.data() + l.offset * blocks_ + (head * blocks_ + block) * l.head_bytes;
  }
  /// Stores token `slot` (0..15) of a block. `scratch` holds 2 * max(key_dim, value_dim) + 32 floats, 64-byte aligned.
  void append(int layer, int32_t block, int slot, int head, const float* key, const float* value, float* scratch) const;
  void append_latent(int layer, int32_t block, int slot, const float* row, float* scratch) const;

 private:
  void check_block(int32_t block) const;
  /// f(piece, offset in an exported block) for each head of each layer.
  template <typename F>
  void for_pieces(int32_t block, F&& f) const;
  template <typename F>
  void for_rotated(const float* x, int n, float* scratch, F&& f) const;
  const ActGroup* round_row(const float* x, int n, int rotated, float* scratch, uint8_t* scales) const;
  void store_rows(const KvLayout& l, const float* x, int n, uint8_t* to, uint8_t* scales, float* scratch) const;

  const IsaTable isa_;
  std::vector<KvLayout> layers_;
  int64_t blocks_ = 0;
  int64_t block_bytes_ = 0;
  Pages pages_;
};

int64_t kv_bytes(std::span<const KvLayerSpec> layers);

}  // namespace autoglm::cpu
