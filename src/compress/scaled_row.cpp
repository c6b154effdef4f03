#include "compress/scaled_row.h"

#include <vector>

#include "base/error.h"
#include "format/types/encode_256.h"
#include "format/types/iq4_nl.h"
#include "format/types/iq4_xs.h"
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

void multiply(types::Half& half, float factor) { types::set_finite(half, half.value() * factor); }

template <typename Block>
void scale_blocks(std::byte* row, int64_t n, float factor) {
  auto* blocks = reinterpret_cast<Block*>(row);
  for (int64_t i = 0; i < n / Block::kColumns; ++i) {
    if constexpr (Block::kInfo.integer_scales) {
      multiply(blocks[i].d, factor);
      if constexpr (Block::kInfo.has_minimum) multiply(blocks[i].dmin, factor);
    } else {
      multiply(blocks[i].scale, factor);
      if constexpr (Block::kInfo.has_minimum) multiply(blocks[i].offset, factor);
    }
  }
}

void scale_values(Type type, std::byte* row, int64_t n, float factor) {
  std::vector<float> values(static_cast<size_t>(n));
  info(type).decode(row, values.data(), n);
  for (float& value : values) value *= factor;
  info(type).encode(values.data(), row, n);
}

}  // namespace

void scale_row(Type type, std::byte* row, int64_t n, float factor) {
  switch (type) {
    case Type::f32:
    case Type::f16:
    case Type::bf16:
      return scale_values(type, row, n, factor);
    case Type::q4_0:
      return scale_blocks<types::BlockQ4_0>(row, n, factor);
    case Type::q4_1:
      return scale_blocks<types::BlockQ4_1>(row, n, factor);
    case Type::q5_0:
      return scale_blocks<types::BlockQ5_0>(row, n, factor);
    case Type::q5_1:
      return scale_blocks<types::BlockQ5_1>(row, n, factor);
    case Type::q8_0:
      return scale_blocks<types::BlockQ8_0>(row, n, factor);
    case Type::q2_k:
      return scale_blocks<types::BlockQ2_K>(row, n, factor);
    case Type::q3_k:
      return scale_blocks<types::BlockQ3_K>(row, n, factor);
    case Type::q4_k:
      return scale_blocks<types::BlockQ4_K>(row, n, factor);
    case Type::q5_k:
      return scale_blocks<types::BlockQ5_K>(row, n, factor);
    case Type::q6_k:
      return scale_blocks<types::BlockQ6_K>(row, n, factor);
    case Type::iq4_nl:
      return scale_blocks<types::BlockIQ4_NL>(row, n, factor);
    case Type::iq4_xs:
      return scale_blocks<types::BlockIQ4_XS>(row, n, factor);
    case Type::q8_a:
      return scale_blocks<types::BlockQ8_A>(row, n, factor);
    default:
      AUTOGLM_CHECK(false, "no type of weights");
  }
}

}  // namespace autoglm
