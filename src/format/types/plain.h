// Types of one value a block: floats as they are, and the integers of bookkeeping tensors. Little endian.
#pragma once

#include <cstddef>
#include <cstdint>

namespace autoglm::types {

void decode_f32(const std::byte* blocks, float* out, int64_t n);
void encode_f32(const float* values, std::byte* blocks, int64_t n);
void decode_f16(const std::byte* blocks, float* out, int64_t n);
void encode_f16(const float* values, std::byte* blocks, int64_t n);
void decode_bf16(const std::byte* blocks, float* out, int64_t n);
void encode_bf16(const float* values, std::byte* blocks, int64_t n);
void decode_f64(const std::byte* blocks, float* out, int64_t n);
void decode_i8(const std::byte* blocks, float* out, int64_t n);
void decode_i16(const std::byte* blocks, float* out, int64_t n);
void decode_i32(const std::byte* blocks, float* out, int64_t n);
void decode_i64(const std::byte* blocks, float* out, int64_t n);

}  // namespace autoglm::types
