// Buffers, rope tables and the KV store of the reference backend.
#include <algorithm>
#include <cstring>

#include "base/error.h"
#include "kernels/quantize.h"
#include "kernels/ref/ref_backend.h"
#include "kernels/ref/ref_ops.h"

namespace autoglm {

std::unique_ptr<Backend> make_ref_backend() { return std::make_unique<ref::RefBackend>(); }

namespace ref {
namespace {

int64_t kv_groups(int64_t n) { return (n + kKvGroup - 1) / kKvGroup; }

int64_t encoded_bytes(KvType type, bool keys, int64_t n) {
  switch (type) {
    case KvType::f32:
      return 4 * n;
    case KvType::f16:
    case KvType::bf16:
      return 2 * n;
    case KvType::q8:
      return n + 4 * kv_groups(n);  // codes, then the scales
    case KvType::q4:
      return kv_groups(n) * static_cast<int64_t>(keys ? sizeof(KvKeyGroup) : sizeof(KvNibbles));
  }
  return 0;
}

/// Group by group, rotated.
template <typename Group>
void encode_q4(Group (*quantize)(const float*), const float* values, int64_t n, std::byte* out) {
  std::vector<float> padded(static_cast<size_t>(kv_groups(n) * kKvGroup));
  std::copy_n(values, n, padded.begin());
  rotate_kv(padded.data(), std::ssize(padded));
  for (int64_t g = 0; g < kv_groups(n); ++g) {
    const Group group = quantize(padded.data() + g * kKvGroup);
    std::memcpy(out + g * static_cast<int64_t>(sizeof group), &group, sizeof group);
  }
}

/// Codes, then the scales. Of keys, whole groups are rotated.
void encode_q8(bool keys, const float* values, int64_t n, std::byte* out) {
  std::vector<float> row(values, values + n);
  if (keys) rotate_kv(row.data(), n / kKvGroup * kKvGroup);
  for (int64_t g = 0; g < kv_groups(n); ++g) {
    const int64_t at = g * kKvGroup;
    const float scale =
        quantize_row(row.data() + at, std::min<int64_t>(kKvGroup, n - at), reinterpret_cast<int8_t*>(out) + at);
    std::memcpy(out + n + 4 * g, &scale, 4);
  }
}

void encode(KvType type, bool keys, const float* values, int64_t n, std::byte* out) {
  if (type == KvType::f32) {
    std::memcpy(out, values, static_cast<size_t>(4 * n));
  } else if (type == KvType::f16 || type == KvType::bf16) {
    for (int64_t i = 0; i < n; ++i) {
      const uint16_t bits = type == KvType::f16 ? f32_to_f16(values[i]) : f32_to_bf16(values[i]);
      std::memcpy(out + 2 * i, &bits, 2);
    }
  } else if (type == KvType::q4 && keys) {
    encode_q4(quantize_kv_key, values, n, out);
  } else if (type == KvType::q4) {
    encode_q4(quantize_kv, values, n, out);
  } else {
    encode_q8(keys, values, n, out);
  }
}

template <typename Group>
std::vector<float> decode_q4(const std::byte* in, int64_t n) {
  std::vector<float> values;
  for (int64_t g = 0; g < kv_groups(n); ++g) {
    Group group;
    std::memcpy(&group, in + g * static_cast<int64_t>(sizeof group), sizeof group);
    for (int i = 0; i < kKvGroup; ++i) values.push_back(bf16_to_f32(group.scale) * static_cast<float>(group.level(i)));
  }
  rotate_kv(values.data(), std::ssize(values));
  values.resize(static_cast<size_t>(n));
  return values;
}

std::vector<float> decode(KvType type, bool keys, const std::byte* in, int64_t n) {
  if (type == KvType::q4) return keys ? decode_q4<KvKeyGroup>(in, n) : decode_q4<KvNibbles>(in, n);
  std::vector<float> values(static_cast<size_t>(n));
  float scale = 1.0f;
  if (type == KvType::f32) std::memcpy(values.data(), in, static_cast<size_t>(4 * n));
  for (int64_t i = 0; i < n && type != KvType::f32; ++i) {
    if (type == KvType::q8) {
      std::memcpy(&scale, in + n + 4 * (i / kKvGroup), 4);
      values[i] = scale * static_cast<float>(static_cast<int8_t>(in[i]));
    } else {
      uint16_t bits = 0;
      std::memcpy(&bits, in + 2 * i, 2);
      values[i] = type == KvType::f16 ? f16_to_f32(bits) : bf16_to_f32(bits);
    }
  }
  if (type == KvType::q8 && keys) rotate_kv(values.data(), n / kKvGroup * kKvGroup);
  return values;
}

/// Latent rows are keys and values at once, and stored as values.
bool has_keys(const KvLayerSpec& layer) { return layer.kind == KvLayerSpec::Kind::kv; }

int64_t key_bytes(const KvLayerSpec& layer) { return encoded_bytes(layer.type, has_keys(layer), layer.key_dim); }

int64_t head_bytes(const KvLayerSpec& layer) {
  const bool latent = layer.kind == KvLayerSpec::Kind::latent;  // its value is a prefix of the key
  return key_bytes(layer) + (latent ? 0 : encoded_bytes(layer.type, false, layer.value_dim));
}

}  // namespace

float* row_of(const Buffer& buffer, int64_t row) {
  AUTOGLM_CHECK(buffer && row >= 0 && row < buffer.rows, "row outside its buffer");
  return static_cast<RefBuffer*>(buffer.storage.get())->values.data() + row * buffer.cols;
}

Rows take(const Buffer& buffer, int64_t rows, int64_t offset, int64_t cols) {
  AUTOGLM_CHECK(offset >= 0 && offset + cols <= buffer.cols, "columns outside their buffer");
  Rows out(rows, cols);
  for (int64_t r = 0; r < rows; ++r) std::copy_n(row_of(buffer, r) + offset, cols, out[r]);
  return out;
}

Buffer RefBackend::make_buffer(int64_t rows, int64_t cols) {
  auto storage = std::make_shared<RefBuffer>();
  storage->values.resize(static_cast<size_t>(rows * cols));
  return {rows, cols, std::move(storage)};
}

void RefBackend::write(const Buffer& to, int64_t row, std::span<const float> values) {
  const auto size = static_cast<int64_t>(values.size());
  AUTOGLM_CHECK(size % to.cols == 0 && row >= 0 && row + size / to.cols <= to.rows, "write outside a buffer");
  if (size > 0) std::copy(values.begin(), values.end(), row_of(to, row));
}

void RefBackend::read(const Buffer& from, int64_t row, std::span<float> out) const {
  const auto size = static_cast<int64_t>(out.size());
  AUTOGLM_CHECK(size % from.cols == 0 && row >= 0 && row + size / from.cols <= from.rows, "read outside a buffer");
  if (size > 0) std::copy_n(row_of(from, row), size, out.begin());
}

int RefBackend::add_rope(const RopeSpec& spec) {
  AUTOGLM_CHECK(spec.dims % 2 == 0 && spec.inv_freq.size() * 2 == static_cast<size_t>(spec.dims), "bad rope");
  ropes_.push_back(spec);
  return static_cast<int>(ropes_.size()) - 1;
}

int64_t RefBackend::scratch_bytes(const StepLimits& limits) const {
  return 4 * limits.rows * limits.widest * 4;  // a phase holds at most about four matrices of its own
}

void RefBackend::reserve(const StepLimits&) {}

void RefBackend::begin_step(int64_t rows, std::span<const int32_t> positions) {
  const auto n = static_cast<int64_t>(positions.size());
  AUTOGLM_CHECK(n == rows || n == 3 * rows, "positions are [1 or 3][rows]");
  rows_ = rows;
  positions_.assign(positions.begin(), positions.end());
}

int64_t RefKv::block_bytes(const KvLayerSpec& layer) { return kKvBlock * layer.heads * head_bytes(layer); }

int64_t RefBackend::kv_block_bytes(std::span<const KvLayerSpec> layers) const {
  int64_t bytes = 0;
  for (const KvLayerSpec& layer : layers) bytes += RefKv::block_bytes(layer);
  return bytes;
}

std::unique_ptr<KvStore> RefBackend::make_kv(std::span<const KvLayerSpec> layers, int64_t blocks) {
  return std::make_unique<RefKv>(layers, blocks);
}

RefKv::RefKv(std::span<const KvLayerSpec> layers, int64_t blocks)
    : layers_(layers.begin(), layers.end()), blocks_(blocks) {
  for (const KvLayerSpec& layer : layers_) {
    layer_offset_.push_back(block_bytes_);
    block_bytes_ += block_bytes(layer);
  }
  bytes_.resize(static_cast<size_t>(blocks_ * block_bytes_));
}

void RefKv::copy_block(int32_t from, int32_t to) {
  AUTOGLM_CHECK(from >= 0 && from < blocks_ && to >= 0 && to < blocks_, "no such KV block");
  if (from != to) std::copy_n(bytes_.begin() + from * block_bytes_, block_bytes_, bytes_.begin() + to * block_bytes_);
}

void RefKv::export_block(int32_t block, std::span<std::byte> out) const {
  AUTOGLM_CHECK(block >= 0 && block < blocks_ && std::ssize(out) == block_bytes_, "no such KV block");
  std::copy_n(bytes_.begin() + block * block_bytes_, block_bytes_, out.begin());
}

void RefKv::import_block(int32_t block, std::span<const std::byte> in) {
  AUTOGLM_CHECK(block >= 0 && block < blocks_ && std::ssize(in) == block_bytes_, "no such KV block");
  std::copy(in.begin(), in.end(), bytes_.begin() + block * block_bytes_);
}

std::byte* RefKv::place(int layer, const KvSegment& segment, int64_t position, int head, bool value) const {
  const KvLayerSpec& spec = layers_[static_cast<size_t>(layer)];
  const int32_t block = segment.blocks[static_cast<size_t>(position / kKvBlock)];
  AUTOGLM_CHECK(block >= 0 && block < blocks_ && head < spec.heads, "no such KV entry");
  const int64_t entry = (position % kKvBlock) * spec.heads + head;
  return bytes_.data() + block * block_bytes_ + layer_offset_[static_cast<size_t>(layer)] + entry * head_bytes(spec) +
         (value ? key_bytes(spec) : 0);
}

void RefKv::write_key(int layer, const KvSegment& segment, int64_t position, int head, const float* key) {
  const KvLayerSpec& spec = layers_[static_cast<size_t>(layer)];
  encode(spec.type, has_keys(spec), key, spec.key_dim, place(layer, segment, position, head, false));
}

void RefKv::write_value(int layer, const KvSegment& segment, int64_t position, int head, const float* value) {
  const KvLayerSpec& spec = layers_[static_cast<size_t>(layer)];
  encode(spec.type, false, value, spec.value_dim, place(layer, segment, position, head, true));
}

std::vector<float> RefKv::key(int layer, const KvSegment& segment, int64_t position, int head) const {
  const KvLayerSpec& spec = layers_[static_cast<size_t>(layer)];
  return decode(spec.type, has_keys(spec), place(layer, segment, position, head, false), spec.key_dim);
}

std::vector<float> RefKv::query(int layer, const float* query) const {
  const KvLayerSpec& spec = layers_[static_cast<size_t>(layer)];
  const int64_t n = spec.key_dim;
  if (!has_keys(spec) || (spec.type != KvType::q8 && spec.type != KvType::q4)) return {query, query + n};
  const int64_t padded = spec.type == KvType::q4 ? kv_groups(n) * kKvGroup : n;
  std::vector<float> row(query, query + n);
  row.resize(static_cast<size_t>(padded));
  std::vector<std::byte> codes(static_cast<size_t>(encoded_bytes(KvType::q8, true, padded)));
  encode_q8(true, row.data(), padded, codes.data());
  row = decode(KvType::q8, true, codes.data(), padded);
  row.resize(static_cast<size_t>(n));
  return row;
}

std::vector<float> RefKv::value(int layer, const KvSegment& segment, int64_t position, int head) const {
  const KvLayerSpec& spec = layers_[static_cast<size_t>(layer)];
  return decode(spec.type, false, place(layer, segment, position, head, true), spec.value_dim);
}

}  // namespace ref
}  // namespace autoglm
