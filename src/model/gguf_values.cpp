#include "model/gguf_values.h"

#include <algorithm>

#include "model/gguf_metadata.h"
#include "model/weights.h"

namespace autoglm {
namespace {

bool permuted(const ArchSpec& spec, Container container, Role role) {
  if (!spec.gguf_permuted_qk || container == Container::gguf) return false;
  return role == Role::q || role == Role::k || role == Role::q_bias || role == Role::k_bias;
}

}  // namespace

// Output row 2i of a head is its row i, output row 2i + 1 its row i + n/2.
int64_t gguf_source_row(const ArchSpec& spec, Container container, const LocatedTensor& tensor, int64_t row) {
  if (!permuted(spec, container, tensor.row->role)) return row;
  const int64_t n = spec.head_dim[static_cast<size_t>(tensor.layer)];
  const int64_t in_head = row % n;
  return row - in_head + in_head / 2 + (in_head % 2) * (n / 2);
}

std::vector<float> gguf_vector(const ArchSpec& spec, Container container, const LocatedTensor& tensor) {
  std::vector<float> values = read_vector(spec, container, tensor);
  if (permuted(spec, container, tensor.row->role)) {
    std::vector<float> moved(values.size());
    for (size_t i = 0; i < values.size(); ++i) {
      moved[i] = values[static_cast<size_t>(gguf_source_row(spec, container, tensor, static_cast<int64_t>(i)))];
    }
    values = std::move(moved);
  }
  if (tensor.row->role == Role::q_norm) {
    for (float& value : values) value *= scale_to_fold(spec);
  }
  return values;
}

GgufRows::GgufRows(const ArchSpec& spec, Container container, const LocatedTensor& tensor)
    : spec_(&spec), container_(container), tensor_(&tensor), stride_(row_bytes(tensor.type, tensor.shape.cols)) {
  if (tensor.transposed) {
    copy_.resize(static_cast<size_t>(tensor.bytes()));
    tensor.copy_to(copy_.data());
    pieces_.emplace_back(copy_);
    first_.push_back(0);
    return;
  }
  int64_t first = 0;
  std::vector<std::byte> unused;
  for (size_t i = 0; i < tensor.pieces.size(); ++i) {
    pieces_.push_back(tensor.piece(i, unused));
    first_.push_back(first);
    first += std::ssize(pieces_.back()) / stride_;
  }
}

std::span<const std::byte> GgufRows::row(int64_t index) const {
  const int64_t from = gguf_source_row(*spec_, container_, *tensor_, index);
  const auto next = std::upper_bound(first_.begin(), first_.end(), from);
  const auto piece = static_cast<size_t>(next - first_.begin() - 1);
  return pieces_[piece].subspan(static_cast<size_t>((from - first_[piece]) * stride_), static_cast<size_t>(stride_));
}

}  // namespace autoglm
