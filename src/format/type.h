// Storage types of tensors: one row a type here, one file a type below format/types/ with its layout, decode and
// encode.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace autoglm {

/// What a file may store. Block types hold `block_columns` consecutive values of one row.
enum class Type : uint8_t {
  f32,
  f16,
  bf16,
  q4_0,
  q4_1,
  q5_0,
  q5_1,
  q8_0,
  q2_k,
  q3_k,
  q4_k,
  q5_k,
  q6_k,
  iq4_nl,
  iq4_xs,
  i8,
  i16,
  i32,
  i64,
  f64,   // only as bookkeeping tensors (rope factors are f32); no kernel takes them as a weight
  q8_a,  // this program's own (format/types/q8_a.h)
};

/// One row of the type table.
struct TypeInfo {
  Type type;
  std::string_view name;  // as users write it: "Q4_K", "BF16" (upper case)
  uint32_t ggml_id;       // number in a GGUF tensor header
  int block_columns;      // values in a block: 1, 32 or 256
  int block_bytes;        // bytes of a block
  bool quantized;
  /// Decodes n values (a multiple of block_columns) from blocks to out. Any byte pattern is defined behaviour.
  void (*decode)(const std::byte* blocks, float* out, int64_t n);
  /// Encodes n values, round to nearest; null for the integers and F64, which are no weights.
  void (*encode)(const float* values, std::byte* blocks, int64_t n);
};

/// The row of `type`.
const TypeInfo& info(Type type);

/// The type with this GGUF number, or nothing (the GGUF reader names what it refuses).
std::optional<Type> type_from_ggml(uint32_t id);

/// The type of this name, any case, or nothing.
std::optional<Type> type_from_name(std::string_view name);

/// Bytes of a row of `columns` values. columns must be a multiple of block_columns.
int64_t row_bytes(Type type, int64_t columns);

// IEEE half and bfloat16, round to nearest even. Portable; kernels have their own wide versions.
float f16_to_f32(uint16_t bits);
uint16_t f32_to_f16(float value);
inline float bf16_to_f32(uint16_t bits) { return __builtin_bit_cast(float, static_cast<uint32_t>(bits) << 16); }
uint16_t f32_to_bf16(float value);

}  // namespace autoglm
