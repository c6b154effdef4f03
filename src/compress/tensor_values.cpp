#include "compress/tensor_values.h"

#include <algorithm>

namespace autoglm {
namespace {

std::vector<float> inverted(std::vector<float> values) {
  for (float& value : values) value = 1.0f / value;
  return values;
}

}  // namespace

TensorValues::TensorValues(const ArchSpec& spec, Container container, const LocatedTensor& tensor,
                           const TensorScales& undo)
    : tensor_(&tensor), vector_(tensor.row->form != Form::matrix), undo_(undo) {
  inverse_.columns = inverted(undo.columns);
  inverse_.rows = inverted(undo.rows);
  if (vector_) {
    values_ = gguf_vector(spec, container, tensor);
    inverse_.apply(tensor, 0, values_);
  } else {
    rows_.emplace(spec, container, tensor);
  }
}

// Rows of q and k stand in another order here than in some sources, but only v and up have factors by row.
void TensorValues::read(int64_t row, float* out) const {
  if (vector_) {
    std::copy(values_.begin(), values_.end(), out);
    return;
  }
  info(tensor_->type).decode(rows_->row(row).data(), out, tensor_->shape.cols);
  if (!inverse_.none()) inverse_.apply(*tensor_, row, {out, static_cast<size_t>(tensor_->shape.cols)});
}

}  // namespace autoglm
