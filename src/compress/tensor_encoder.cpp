#include "compress/tensor_encoder.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <utility>

#include "base/error.h"
#include "model/channel_scales.h"

namespace autoglm {
namespace {

constexpr int64_t kValuesAtOnce = 8 << 20;  // 32 MiB of float32

/// Calls body(values, rows, first_row) for pieces of at most `most` rows, columns multiplied.
template <typename F>
void for_rows(WorkerPool& pool, const LocatedTensor& t, const EncodeTarget& target, int64_t most, F&& body) {
  const int64_t cols = t.shape.cols;
  const int64_t stride = row_bytes(t.type, cols);
  TensorScales scales;
  scales.columns = target.columns;
  std::vector<std::byte> scratch;
  std::vector<float> values;
  int64_t first = 0;
  for (size_t piece = 0; piece < t.pieces.size(); ++piece) {
    const std::span<const std::byte> data = t.piece(piece, scratch);
    const int64_t rows = std::ssize(data) / stride;
    for (int64_t begin = 0; begin < rows; begin += most) {
      if (target.check) target.check();
      const int64_t count = std::min(most, rows - begin);
      values.resize(static_cast<size_t>(count * cols));
      pool.parallel_for(count, 8, [&](int64_t from, int64_t to) {
        for (int64_t r = from; r < to; ++r) {
          float* row = values.data() + r * cols;
          info(t.type).decode(data.data() + (begin + r) * stride, row, cols);
          scales.apply(t, first + begin + r, {row, static_cast<size_t>(cols)});
        }
      });
      body(values.data(), count, first + begin);
    }
    first += rows;
  }
}

std::vector<std::byte> room_for(const LocatedTensor& t, Type type) {
  return std::vector<std::byte>(static_cast<size_t>(t.shape.count * t.shape.rows * row_bytes(type, t.shape.cols)));
}

// Inputs are divided by what columns are multiplied by.
std::vector<float> scaled_importance(std::vector<float> importance, const std::vector<float>& columns) {
  if (importance.empty() || columns.empty()) return importance;
  std::vector<float> out(std::max(importance.size(), columns.size()));
  for (size_t i = 0; i < out.size(); ++i) {
    const float scale = columns[i % columns.size()];
    out[i] = importance[i % importance.size()] / (scale * scale);
  }
  return out;
}

}  // namespace

void check_importance(const LocatedTensor& t, const std::vector<float>& importance) {
  const int64_t cols = t.shape.cols;
  if (std::ssize(importance) == cols || std::ssize(importance) == t.shape.count * cols) return;
  fail(Code::bad_file,
       fmt::format("the importance of {} has {} columns; its rows have {}", t.name, importance.size(), cols),
       "the importance file is of another model");
}

std::vector<float> with_floor(std::vector<float> importance) {
  const double sum = std::accumulate(importance.begin(), importance.end(), 0.0);
  const auto floor = static_cast<float>(1e-6 * sum / static_cast<double>(std::max<size_t>(importance.size(), 1)));
  for (float& value : importance) value = std::max(value, floor);
  if (!(sum > 0)) importance.clear();
  return importance;
}

std::vector<std::byte> encode_tensor(WorkerPool& pool, const LocatedTensor& t, const EncodeTarget& target,
                                     std::vector<float> importance) {
  const int64_t cols = t.shape.cols;
  const int64_t stride = row_bytes(target.type, cols);
  std::vector<std::byte> out = room_for(t, target.type);
  if (!importance.empty()) check_importance(t, importance);
  importance = scaled_importance(std::move(importance), target.columns);
  const bool by_expert = std::ssize(importance) == t.shape.count * cols && t.shape.count > 1;
  for_rows(pool, t, target, std::max<int64_t>(1, kValuesAtOnce / cols),
           [&](const float* values, int64_t count, int64_t first) {
             pool.parallel_for(count, 8, [&](int64_t from, int64_t to) {
               for (int64_t r = from; r < to; ++r) {
                 std::byte* to_row = out.data() + (first + r) * stride;
                 const float* weights = importance.empty() ? nullptr : importance.data();
                 if (weights && by_expert) weights += (first + r) / t.shape.rows * cols;
                 if (target.grid) {
                   encode_row(*target.grid, values + r * cols, weights, cols, to_row);
                 } else {
                   info(target.type).encode(values + r * cols, to_row, cols);
                 }
               }
             });
           });
  return out;
}

std::vector<std::byte> encode_tensor_gptq(WorkerPool& pool, const LocatedTensor& t, const EncodeTarget& target,
                                          const GptqFactor& factor) {
  const int64_t stride = row_bytes(target.type, t.shape.cols);
  std::vector<std::byte> out = room_for(t, target.type);
  for_rows(pool, t, target, std::max<int64_t>(8, kValuesAtOnce / t.shape.cols / 8 * 8),
           [&](const float* values, int64_t count, int64_t first) {
             gptq(pool, *target.grid, factor, values, count, out.data() + first * stride);
           });
  return out;
}

}  // namespace autoglm
