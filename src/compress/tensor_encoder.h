// A tensor rounded to a type: read piece by piece, on all workers.
#pragma once

#include <cstddef>
#include <functional>
#include <vector>

#include "base/pool.h"
#include "compress/gptq.h"
#include "compress/grid.h"
#include "model/tensor_table.h"

namespace autoglm {

/// What a tensor is to become.
struct EncodeTarget {
  Type type = Type::f32;
  const Grid* grid = nullptr;     // null: the type is not quantized
  std::vector<float> columns{};   // its columns are multiplied by these first (ChannelScales::columns)
  std::function<void()> check{};  // often; may throw
};

/// Rows in the source's order, each value to the nearest that its block allows. `importance`: of the inputs, before
/// columns were multiplied, one a column or one a column of each matrix of the stack; empty: all equal. Error bad_file
/// for an importance of another size.
std::vector<std::byte> encode_tensor(WorkerPool& pool, const LocatedTensor& tensor, const EncodeTarget& target,
                                     std::vector<float> importance);

/// The same by GPTQ; the factor is that of inputs divided by the columns' factors.
std::vector<std::byte> encode_tensor_gptq(WorkerPool& pool, const LocatedTensor& tensor, const EncodeTarget& target,
                                          const GptqFactor& factor);

/// Error bad_file unless the importance is one a column of this tensor, or one a column of each matrix of the stack.
void check_importance(const LocatedTensor& tensor, const std::vector<float>& importance);

/// With a floor for columns that no input ever reached, so that they are rounded sensibly all the same; empty where no
/// column was reached.
std::vector<float> with_floor(std::vector<float> importance);

}  // namespace autoglm
