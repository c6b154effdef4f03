// The weights of two models, tensor by tensor: how far B's are from A's, and which tensor is at fault.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/pool.h"
#include "format/model_source.h"

namespace autoglm {

/// What is wrong with a tensor beyond the noise of its type.
enum class TensorFaultKind : uint8_t {
  scaled,   // B is A times a factor
  zeroed,   // B is nothing but zeros
  swapped,  // B is another tensor of A
  differs,  // B does not resemble A
  blocks,   // some blocks of 32 columns are wrong, the rest is right
};
std::string_view name(TensorFaultKind kind);

struct TensorFault {
  TensorFaultKind kind = TensorFaultKind::differs;
  double factor = 0;            // scaled: of the tensor; blocks: of the worst block (0: it is zeroed)
  std::string other;            // swapped: the tensor of A that it is
  int64_t blocks = 0;           // blocks: how many
  int64_t row = 0, column = 0;  // blocks: where the worst begins
};

/// A tensor that both have, in the names and the order of GGUF.
struct TensorFigures {
  std::string name;
  int layer = -1;    // -1: outside the layers
  std::string role;  // in words
  std::string type_a, type_b;
  int64_t values = 0, bytes_b = 0;
  double relative_error = 0;  // sqrt(sum (b - a)^2 / sum a^2)
  double cosine = 0;
  double factor = 0;       // the best multiple of A: sum ab / sum a^2
  double worst_block = 0;  // largest relative error of a block of 32 columns that weighs as much as others
  std::optional<TensorFault> fault;
};

struct TensorComparison {
  std::vector<TensorFigures> tensors;                    // in the order of the model
  std::vector<std::string> only_a, only_b, other_shape;  // what could not be compared
  /// Indices of the tensors that are farthest off: those at fault first, then by relative error.
  std::vector<size_t> worst() const;
};

/// Compares what both have under the same name and in the same shape, whatever the containers. Decodes each tensor two
/// or three times, a row at a time. A fault is what rounding to B's type cannot explain: quality_tensors.cpp says how
/// it is told. Errors: numeric naming the tensor that holds a NaN or an infinity; those of reading a model.
TensorComparison compare_tensors(const ModelSource& a, const ModelSource& b, WorkerPool& pool,
                                 const std::function<void(int64_t done, int64_t total)>& progress = {});

}  // namespace autoglm
