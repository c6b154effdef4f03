#include "format/types/plain.h"

#include <bit>
#include <cstring>

#include "format/type.h"

namespace autoglm::types {
namespace {

static_assert(std::endian::native == std::endian::little, "files are little endian and are read as they lie");

template <typename T>
void decode_as(const std::byte* blocks, float* out, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    T value;
    std::memcpy(&value, blocks + i * static_cast<int64_t>(sizeof(T)), sizeof(T));
    out[i] = static_cast<float>(value);
  }
}

}  // namespace

void decode_f32(const std::byte* blocks, float* out, int64_t n) {
  std::memcpy(out, blocks, static_cast<size_t>(n) * sizeof(float));
}

void encode_f32(const float* values, std::byte* blocks, int64_t n) {
  std::memcpy(blocks, values, static_cast<size_t>(n) * sizeof(float));
}

void decode_f16(const std::byte* blocks, float* out, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    uint16_t bits;
    std::memcpy(&bits, blocks + 2 * i, 2);
    out[i] = f16_to_f32(bits);
  }
}

void encode_f16(const float* values, std::byte* blocks, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    const uint16_t bits = f32_to_f16(values[i]);
    std::memcpy(blocks + 2 * i, &bits, 2);
  }
}

void decode_bf16(const std::byte* blocks, float* out, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    uint16_t bits;
    std::memcpy(&bits, blocks + 2 * i, 2);
    out[i] = bf16_to_f32(bits);
  }
}

void encode_bf16(const float* values, std::byte* blocks, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    const uint16_t bits = f32_to_bf16(values[i]);
    std::memcpy(blocks + 2 * i, &bits, 2);
  }
}

// A double outside float's range is infinity of its sign: the cast itself would be undefined.
void decode_f64(const std::byte* blocks, float* out, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    double value;
    std::memcpy(&value, blocks + 8 * i, 8);
    constexpr double kLimit = 3.4028235677973366e38;  // halfway between the largest float and the next power of two
    const float infinity = __builtin_inff();
    out[i] = value >= kLimit ? infinity : value <= -kLimit ? -infinity : static_cast<float>(value);
  }
}

void decode_i8(const std::byte* blocks, float* out, int64_t n) { decode_as<int8_t>(blocks, out, n); }
void decode_i16(const std::byte* blocks, float* out, int64_t n) { decode_as<int16_t>(blocks, out, n); }
void decode_i32(const std::byte* blocks, float* out, int64_t n) { decode_as<int32_t>(blocks, out, n); }
void decode_i64(const std::byte* blocks, float* out, int64_t n) { decode_as<int64_t>(blocks, out, n); }

}  // namespace autoglm::types
