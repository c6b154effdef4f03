// Tensors of any source as a GGUF file holds them: the rows of q and k in its order, norms whole.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "model/tensor_table.h"

namespace autoglm {

/// The row of the source's tensor that row `row` of the GGUF tensor holds. They differ where a family's GGUF stores
/// rotated pairs of q and k as neighbours; a GGUF source has them so already.
int64_t gguf_source_row(const ArchSpec& spec, Container container, const LocatedTensor& tensor, int64_t row);

/// The values of a vector (norm, bias) as GGUF has them.
std::vector<float> gguf_vector(const ArchSpec& spec, Container container, const LocatedTensor& tensor);

/// The rows of a matrix (or of a stack of them) in GGUF's order, as the source stores them.
class GgufRows {
 public:
  /// Copies what the source stores transposed, and nothing else. The tensor outlives this.
  GgufRows(const ArchSpec& spec, Container container, const LocatedTensor& tensor);
  int64_t rows() const { return tensor_->shape.count * tensor_->shape.rows; }
  /// The bytes of a row, of tensor.type. Thread-safe.
  std::span<const std::byte> row(int64_t index) const;

 private:
  const ArchSpec* spec_;
  Container container_;
  const LocatedTensor* tensor_;
  int64_t stride_ = 0;
  std::vector<std::byte> copy_;
  std::vector<std::span<const std::byte>> pieces_;
  std::vector<int64_t> first_;  // row of each piece
};

}  // namespace autoglm
