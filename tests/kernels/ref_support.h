// Small matrices for the tests of the reference backend, and sums in double to compare with.
#pragma once

#include <cmath>
#include <cstring>
#include <deque>
#include <memory>
#include <random>
#include <vector>

#include "kernels/backend.h"
#include "kernels/ref/ref_backend.h"

namespace autoglm::test {

/// Reproducible normal values.
inline std::vector<float> random_values(size_t n, uint32_t seed, float deviation = 1.0f) {
  std::mt19937 engine(seed);
  std::vector<float> values(n);
  for (float& v : values) {
    // Sum of four uniforms: near enough to normal, and the same on every standard library.
    float sum = 0.0f;
    for (int i = 0; i < 4; ++i) sum += static_cast<float>(engine() >> 8) / 16777216.0f - 0.5f;
    v = sum * 1.732f * deviation;
  }
  return values;
}

/// `values` may be empty: zeros.
inline Buffer filled_buffer(Backend& backend, int64_t rows, int64_t cols, const std::vector<float>& values) {
  Buffer buffer = backend.make_buffer(rows, cols);
  if (!values.empty()) backend.write(buffer, 0, values);
  return buffer;
}

inline std::vector<float> read_buffer(Backend& backend, const Buffer& buffer) {
  std::vector<float> values(static_cast<size_t>(buffer.rows * buffer.cols));
  backend.read(buffer, 0, values);
  return values;
}

/// A reference backend that keeps the bytes of its weights.
class RefFixture {
 public:
  Backend& backend() { return *backend_; }
  Backend* operator->() { return backend_.get(); }

  Weight weight(const std::vector<float>& values, int64_t rows, int64_t cols, int64_t count = 1, Type type = Type::f32,
                Precision precision = Precision::f32) {
    std::vector<std::byte> bytes(static_cast<size_t>(row_bytes(type, cols) * rows * count));
    info(type).encode(values.data(), bytes.data(), rows * cols * count);
    return weight_of_bytes(std::move(bytes), rows, cols, count, type, precision);
  }

  Weight weight_of_bytes(std::vector<std::byte> bytes, int64_t rows, int64_t cols, int64_t count, Type type,
                         Precision precision) {
    bytes_.push_back(std::move(bytes));
    return backend_->load({"w", type, count, rows, cols, bytes_.back()}, precision);
  }

  Buffer buffer(int64_t rows, int64_t cols, const std::vector<float>& values = {}) {
    return filled_buffer(*backend_, rows, cols, values);
  }
  std::vector<float> read(const Buffer& buffer) { return read_buffer(*backend_, buffer); }

  void begin(int64_t rows) {
    std::vector<int32_t> positions(static_cast<size_t>(rows));
    for (int64_t i = 0; i < rows; ++i) positions[static_cast<size_t>(i)] = static_cast<int32_t>(i);
    backend_->begin_step(rows, positions);
  }

 private:
  std::unique_ptr<Backend> backend_ = make_ref_backend();
  std::deque<std::vector<std::byte>> bytes_;
};

}  // namespace autoglm::test
