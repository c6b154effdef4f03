// A tensor's values as GGUF has them, a row at a time, whatever the container.
#pragma once

#include <optional>
#include <vector>

#include "format/model_source.h"
#include "model/channel_scales.h"
#include "model/gguf_values.h"

namespace autoglm {

class TensorValues {
 public:
  /// `undo`: scales of channels that the tensor was stored with (of another tensor in the same place too); values are
  /// those before. All outlive this.
  TensorValues(const ArchSpec& spec, Container container, const LocatedTensor& tensor, const TensorScales& undo = {});

  int64_t rows() const { return vector_ ? 1 : rows_->rows(); }
  int64_t cols() const { return vector_ ? std::ssize(values_) : tensor_->shape.cols; }
  Type type() const { return vector_ ? Type::f32 : tensor_->type; }
  const LocatedTensor& located() const { return *tensor_; }
  /// cols() values. Thread-safe.
  void read(int64_t row, float* out) const;
  /// What the row's columns were multiplied by when they were stored; empty: all by the same. Thread-safe.
  std::span<const float> stored_with(int64_t row) const { return undo_.columns_of(tensor_->shape, row); }

 private:
  const LocatedTensor* tensor_;
  bool vector_;
  TensorScales undo_;     // as stored
  TensorScales inverse_;  // 1 / of each
  std::vector<float> values_;
  std::optional<GgufRows> rows_;
};

}  // namespace autoglm
