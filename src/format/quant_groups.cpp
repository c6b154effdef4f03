#include "format/quant_groups.h"

#include "base/error.h"
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

struct GroupRow {
  Type type;
  GroupInfo info;
  void (*decode)(const std::byte* blocks, int64_t n, int8_t* codes, float* scales, float* minima);
  void (*integers)(const std::byte* blocks, int64_t n, const IntegerForm& out);  // null: scales are no integers
};

template <typename Block>
constexpr GroupRow row(Type type) {
  GroupRow row{type, Block::kInfo, types::decode_groups_row<Block>, nullptr};
  if constexpr (Block::kInfo.integer_scales) row.integers = types::decode_integers_row<Block>;
  return row;
}

constexpr GroupRow kRows[] = {
    row<types::BlockQ4_0>(Type::q4_0), row<types::BlockQ4_1>(Type::q4_1),     row<types::BlockQ5_0>(Type::q5_0),
    row<types::BlockQ5_1>(Type::q5_1), row<types::BlockQ8_0>(Type::q8_0),     row<types::BlockQ2_K>(Type::q2_k),
    row<types::BlockQ3_K>(Type::q3_k), row<types::BlockQ4_K>(Type::q4_k),     row<types::BlockQ5_K>(Type::q5_k),
    row<types::BlockQ6_K>(Type::q6_k), row<types::BlockIQ4_NL>(Type::iq4_nl), row<types::BlockIQ4_XS>(Type::iq4_xs),
    row<types::BlockQ8_A>(Type::q8_a),
};

const GroupRow& find_row(Type type) {
  const GroupRow* found = nullptr;
  for (const GroupRow& candidate : kRows) {
    if (candidate.type == type) found = &candidate;
  }
  AUTOGLM_CHECK(found != nullptr, "only quantized types have an integer form");
  return *found;
}

}  // namespace

GroupInfo group_info(Type type) { return find_row(type).info; }

void decode_groups(Type type, const std::byte* blocks, int64_t n, int8_t* codes, float* scales, float* minima) {
  AUTOGLM_CHECK(n % info(type).block_columns == 0, "a row is a whole number of blocks");
  find_row(type).decode(blocks, n, codes, scales, minima);
}

void decode_integers(Type type, const std::byte* blocks, int64_t n, const IntegerForm& out) {
  const GroupRow& row = find_row(type);
  AUTOGLM_CHECK(row.integers != nullptr && n % info(type).block_columns == 0, "whole blocks with integer scales");
  row.integers(blocks, n, out);
}

}  // namespace autoglm
