#include "format/type.h"

#include <array>
#include <bit>

#include "base/error.h"
#include "format/types/iq4_nl.h"
#include "format/types/iq4_xs.h"
#include "format/types/plain.h"
#include "format/types/q2_k.h"
#include "format/types/q3_k.h"
#include "format/types/q4_0.h"
#include "format/types/q4_1.h"
#include "format/types/q4_k.h"
#include "format/types/q5_0.h"
#include "format/types/q5_1.h"
#include "format/types/q5_k.h"
#include "format/types/q6_k.h"
#include "format/types/q8_0.h"
#include "format/types/q8_a.h"

namespace autoglm {
namespace {

using namespace types;  // NOLINT(google-build-using-namespace): the table below reads better

template <typename Block>
constexpr TypeInfo block_row(Type type, std::string_view name, uint32_t ggml_id,
                             void (*encode)(const float*, std::byte*, int64_t)) {
  return {type, name, ggml_id, Block::kColumns, static_cast<int>(sizeof(Block)), true, decode_row<Block>, encode};
}

// In the order of `Type`. The numbers are those of GGUF tensor headers; ours begin far above those of ggml.
constexpr uint32_t kOwnTypes = 0x41474C00;  // "AGL"
constexpr std::array kTypes = {
    TypeInfo{Type::f32, "F32", 0, 1, 4, false, decode_f32, encode_f32},
    TypeInfo{Type::f16, "F16", 1, 1, 2, false, decode_f16, encode_f16},
    TypeInfo{Type::bf16, "BF16", 30, 1, 2, false, decode_bf16, encode_bf16},
    block_row<BlockQ4_0>(Type::q4_0, "Q4_0", 2, encode_row<BlockQ4_0>),
    block_row<BlockQ4_1>(Type::q4_1, "Q4_1", 3, encode_row<BlockQ4_1>),
    block_row<BlockQ5_0>(Type::q5_0, "Q5_0", 6, encode_row<BlockQ5_0>),
    block_row<BlockQ5_1>(Type::q5_1, "Q5_1", 7, encode_row<BlockQ5_1>),
    block_row<BlockQ8_0>(Type::q8_0, "Q8_0", 8, encode_row<BlockQ8_0>),
    block_row<BlockQ2_K>(Type::q2_k, "Q2_K", 10, encode_row<BlockQ2_K>),
    block_row<BlockQ3_K>(Type::q3_k, "Q3_K", 11, encode_row<BlockQ3_K>),
    block_row<BlockQ4_K>(Type::q4_k, "Q4_K", 12, encode_row<BlockQ4_K>),
    block_row<BlockQ5_K>(Type::q5_k, "Q5_K", 13, encode_row<BlockQ5_K>),
    block_row<BlockQ6_K>(Type::q6_k, "Q6_K", 14, encode_row<BlockQ6_K>),
    block_row<BlockIQ4_NL>(Type::iq4_nl, "IQ4_NL", 20, encode_row<BlockIQ4_NL>),
    block_row<BlockIQ4_XS>(Type::iq4_xs, "IQ4_XS", 23, encode_row<BlockIQ4_XS>),
    TypeInfo{Type::i8, "I8", 24, 1, 1, false, decode_i8, nullptr},
    TypeInfo{Type::i16, "I16", 25, 1, 2, false, decode_i16, nullptr},
    TypeInfo{Type::i32, "I32", 26, 1, 4, false, decode_i32, nullptr},
    TypeInfo{Type::i64, "I64", 27, 1, 8, false, decode_i64, nullptr},
    TypeInfo{Type::f64, "F64", 28, 1, 8, false, decode_f64, nullptr},
    block_row<BlockQ8_A>(Type::q8_a, "Q8_A", kOwnTypes, encode_row<BlockQ8_A>),
};

constexpr bool in_order() {
  for (size_t i = 0; i < kTypes.size(); ++i) {
    if (static_cast<size_t>(kTypes[i].type) != i) return false;
  }
  return true;
}
static_assert(in_order(), "kTypes is indexed by Type");

}  // namespace

const TypeInfo& info(Type type) {
  const auto index = static_cast<size_t>(type);
  AUTOGLM_CHECK(index < kTypes.size(), "not a value of Type");
  return kTypes[index];
}

std::optional<Type> type_from_ggml(uint32_t id) {
  for (const TypeInfo& row : kTypes) {
    if (row.ggml_id == id) return row.type;
  }
  return std::nullopt;
}

std::optional<Type> type_from_name(std::string_view name) {
  const auto upper = [](char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c; };
  for (const TypeInfo& row : kTypes) {
    bool same = row.name.size() == name.size();
    for (size_t i = 0; same && i < name.size(); ++i) same = upper(name[i]) == row.name[i];
    if (same) return row.type;
  }
  return std::nullopt;
}

int64_t row_bytes(Type type, int64_t columns) {
  const TypeInfo& row = info(type);
  AUTOGLM_CHECK(columns % row.block_columns == 0, "a row is a whole number of blocks");
  return columns / row.block_columns * row.block_bytes;
}

// Written without float subnormals as intermediates, so that the result does not depend on flush-to-zero modes, and
// without branches, so that loops over it become vector code.
float f16_to_f32(uint16_t bits) {
  const uint32_t sign = static_cast<uint32_t>(bits & 0x8000u) << 16;
  const uint32_t exponent = bits >> 10 & 31u;
  const uint32_t mantissa = bits & 1023u;
  const uint32_t normal = (exponent + 112) << 23 | mantissa << 13;
  const uint32_t special = 0x7f800000u | mantissa << 13;
  const auto subnormal = std::bit_cast<uint32_t>(static_cast<float>(mantissa) * 0x1p-24f);
  const uint32_t magnitude = exponent == 0 ? subnormal : exponent == 31 ? special : normal;
  return std::bit_cast<float>(sign | magnitude);
}

uint16_t f32_to_f16(float value) {
  const auto bits = std::bit_cast<uint32_t>(value);
  const uint32_t sign = bits >> 16 & 0x8000u;
  const uint32_t magnitude = bits & 0x7fffffffu;
  const auto with_sign = [sign](uint32_t half) { return static_cast<uint16_t>(sign | half); };
  if (magnitude > 0x7f800000u) return with_sign(0x7e00u | (magnitude >> 13 & 0x1ffu));  // NaN, made quiet
  if (magnitude >= 0x477ff000u) return with_sign(0x7c00u);                              // from 65520 on: infinity
  if (magnitude < 0x38800000u) {  // below 2^-14: subnormal or zero
    if (magnitude < 0x33000000u) return with_sign(0);
    const uint32_t mantissa = (magnitude & 0x7fffffu) | 0x800000u;
    const uint32_t shift = 126 - (magnitude >> 23);  // 14..24; the result counts units of 2^-24
    const uint32_t kept = mantissa >> shift;
    const uint32_t rest = mantissa & ((1u << shift) - 1);
    const uint32_t half = 1u << (shift - 1);
    return with_sign(kept + (rest > half || (rest == half && (kept & 1)) ? 1 : 0));
  }
  const uint32_t rounded = magnitude + 0xfffu + (magnitude >> 13 & 1u);
  return with_sign((rounded >> 13) - (112u << 10));
}

uint16_t f32_to_bf16(float value) {
  const auto bits = std::bit_cast<uint32_t>(value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return static_cast<uint16_t>(bits >> 16 | 0x40u);  // NaN, made quiet
  return static_cast<uint16_t>((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

}  // namespace autoglm
