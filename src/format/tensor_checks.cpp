#include "format/tensor_checks.h"

#include <algorithm>
#include <functional>

#include "base/error.h"
#include "format/printable.h"

namespace autoglm {

int64_t checked_tensor_bytes(Type type, std::span<const int64_t> shape, const std::string& tensor,
                             const std::string& where) {
  const TypeInfo& row = info(type);
  const auto refuse = [&](const std::string& why) {
    fail(Code::bad_model_file, where + ": tensor " + printable(tensor) + " " + why);
  };
  // No dimension, as no product of them, may be beyond what int64 holds even after it is turned into bytes.
  int64_t elements = 1;
  for (const int64_t dimension : shape) {
    if (dimension <= 0) refuse("has a dimension of " + std::to_string(dimension));
    if (__builtin_mul_overflow(elements, dimension, &elements)) refuse("has more elements than can be counted");
  }
  const int64_t columns = shape.empty() ? 1 : shape.back();
  if (columns % row.block_columns != 0) {
    refuse("has rows of " + std::to_string(columns) + " values, not a multiple of the " +
           std::to_string(row.block_columns) + " of a " + std::string(row.name) + " block");
  }
  int64_t bytes = 0;
  if (__builtin_mul_overflow(elements / row.block_columns, int64_t{row.block_bytes}, &bytes)) {
    refuse("has more bytes than can be counted");
  }
  return bytes;
}

void check_overlaps(std::span<const TensorEntry> tensors, const std::string& where) {
  std::vector<const TensorEntry*> order;
  order.reserve(tensors.size());
  for (const TensorEntry& tensor : tensors) order.push_back(&tensor);
  std::ranges::sort(order, std::less<>(), [](const TensorEntry* tensor) { return tensor->data.data(); });
  for (size_t i = 1; i < order.size(); ++i) {
    if (order[i - 1]->data.data() + order[i - 1]->data.size() > order[i]->data.data()) {
      fail(Code::bad_model_file,
           where + ": tensors " + printable(order[i - 1]->name) + " and " + printable(order[i]->name) + " overlap");
    }
  }
}

}  // namespace autoglm
