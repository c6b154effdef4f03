// The pieces that the reference backend's phases are made of.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "kernels/backend.h"

namespace autoglm::ref {

/// Float32 rows of a batch, on the heap.
struct Rows {
  Rows(int64_t row_count, int64_t column_count)
      : rows(row_count), cols(column_count), values(static_cast<size_t>(row_count * column_count)) {}
  float* operator[](int64_t row) { return values.data() + row * cols; }
  const float* operator[](int64_t row) const { return values.data() + row * cols; }
  int64_t rows;
  int64_t cols;
  std::vector<float> values;
};

/// What Buffer::storage points to.
struct RefBuffer {
  std::vector<float> values;
};

float* row_of(const Buffer& buffer, int64_t row);

/// Columns [offset, offset + cols) of the first `rows` rows.
Rows take(const Buffer& buffer, int64_t rows, int64_t offset, int64_t cols);

/// RMSNorm of n values in place; a null norm or an empty weight leaves them as they are.
void normalize(const Norm* norm, float* values, int64_t n);
void normalize(const Norm* norm, Rows& rows);

/// x . matrix^T for matrix `which` of the weight's stack, activations rounded as its precision says: [x.rows,
/// weight.rows].
Rows multiply(const Weight& weight, int64_t which, const Rows& x);

/// The same for logits: int8 activations as the sum of two roundings (kernels/quantize.h).
Rows multiply_head(const Weight& weight, const Rows& x);

/// Decodes one row of a weight to float32.
void decode_row(const Weight& weight, int64_t row, float* out);

float activate(Activation activation, float x);

/// act(x . gate^T + gate_bias) * (x . up^T + up_bias) for matrix `which` of each stack.
Rows gated(const Weight& gate, const Weight& up, int64_t which, const Rows& x, Activation activation,
           const Buffer* gate_bias = nullptr, const Buffer* up_bias = nullptr);

/// The cache: for each layer, block, token and head a key row and (kind kv) a value row, encoded by KvType.
class RefKv final : public KvStore {
 public:
  RefKv(std::span<const KvLayerSpec> layers, int64_t blocks);
  int64_t blocks() const override { return blocks_; }
  int64_t block_bytes() const override { return block_bytes_; }
  void copy_block(int32_t from, int32_t to) override;
  void export_block(int32_t block, std::span<std::byte> out) const override;
  void import_block(int32_t block, std::span<const std::byte> in) override;

  static int64_t block_bytes(const KvLayerSpec& layer);

  void write_key(int layer, const KvSegment& segment, int64_t position, int head, const float* key);
  void write_value(int layer, const KvSegment& segment, int64_t position, int head, const float* value);
  std::vector<float> key(int layer, const KvSegment& segment, int64_t position, int head) const;
  /// A query as it meets the keys of this layer: rounded where they are met as integers (kernels/quantize.h).
  std::vector<float> query(int layer, const float* query) const;
  std::vector<float> value(int layer, const KvSegment& segment, int64_t position, int head) const;

 private:
  std::byte* place(int layer, const KvSegment& segment, int64_t position, int head, bool value) const;

  std::vector<KvLayerSpec> layers_;
  std::vector<int64_t> layer_offset_;  // within a block
  int64_t blocks_ = 0;
  int64_t block_bytes_ = 0;
  mutable std::vector<std::byte> bytes_;
};

}  // namespace autoglm::ref
