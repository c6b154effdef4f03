// Runs one scenario on a backend, so that a test can compare the reference with every ISA, or an ISA with itself.
#pragma once

#include <cmath>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "base/pool.h"
#include "kernels/backend.h"
#include "ref_support.h"

namespace autoglm::test {

/// A backend with its pool, which keeps the bytes of its weights.
class Machine {
 public:
  explicit Machine(std::string_view isa, int threads = 1)
      : pool_(PoolOptions{.threads = threads, .cpus = {}, .spin_microseconds = 0}),
        backend_(make_backend(isa, pool_)) {}

  Backend* operator->() { return backend_.get(); }
  Backend& backend() { return *backend_; }

  void reserve(const StepLimits& limits) { backend_->reserve(limits); }

  Weight load(const std::vector<std::byte>& bytes, Type type, int64_t rows, int64_t cols, Precision precision,
              int64_t count = 1) {
    bytes_.push_back(bytes);
    return backend_->load({"w", type, count, rows, cols, bytes_.back()}, precision);
  }

  Buffer buffer(int64_t rows, int64_t cols, const std::vector<float>& values = {}) {
    return filled_buffer(*backend_, rows, cols, values);
  }
  std::vector<float> read(const Buffer& buffer) { return read_buffer(*backend_, buffer); }

  void begin(int64_t rows, int64_t first = 0) {
    std::vector<int32_t> positions(static_cast<size_t>(rows));
    for (int64_t i = 0; i < rows; ++i) positions[static_cast<size_t>(i)] = static_cast<int32_t>(first + i);
    backend_->begin_step(rows, positions);
  }

 private:
  std::deque<std::vector<std::byte>> bytes_;
  WorkerPool pool_;
  std::unique_ptr<Backend> backend_;
};

/// Every ISA that this CPU can run, but the reference.
inline std::vector<std::string> isas_under_test() {
  std::vector<std::string> names;
  for (std::string_view name : usable_isas()) {
    if (name != "ref") names.emplace_back(name);
  }
  return names;
}

inline const std::vector<Type>& quantized_types() {
  static const std::vector<Type> types = {Type::q4_0,   Type::q4_1,   Type::q5_0, Type::q5_1, Type::q8_0,
                                          Type::q2_k,   Type::q3_k,   Type::q4_k, Type::q5_k, Type::q6_k,
                                          Type::iq4_nl, Type::iq4_xs, Type::q8_a};
  return types;
}

/// Rows of a weight: normal values where the type can be encoded, otherwise random blocks with tame scales.
inline std::vector<std::byte> random_weight(Type type, int64_t rows, int64_t cols, uint32_t seed, float deviation = 1) {
  const int64_t size = row_bytes(type, cols);
  std::vector<std::byte> bytes(static_cast<size_t>(rows * size));
  if (info(type).encode != nullptr) {
    const std::vector<float> values = random_values(static_cast<size_t>(rows * cols), seed, deviation);
    info(type).encode(values.data(), bytes.data(), rows * cols);
    return bytes;
  }
  std::mt19937 engine(seed);
  std::vector<float> block(256);
  const TypeInfo& t = info(type);
  for (int64_t at = 0; at < rows * size;) {  // block by block, until its values are small
    for (int i = 0; i < t.block_bytes; ++i) bytes[static_cast<size_t>(at + i)] = static_cast<std::byte>(engine());
    t.decode(bytes.data() + at, block.data(), t.block_columns);
    bool tame = true;
    for (int i = 0; i < t.block_columns; ++i) {
      tame = tame && std::isfinite(block[static_cast<size_t>(i)]) && std::abs(block[static_cast<size_t>(i)]) < 10.0f;
    }
    if (tame) at += t.block_bytes;
  }
  return bytes;
}

inline std::vector<float> decoded(const std::vector<std::byte>& bytes, Type type, int64_t n) {
  std::vector<float> values(static_cast<size_t>(n));
  info(type).decode(bytes.data(), values.data(), n);
  return values;
}

inline double rms(const std::vector<float>& values) {
  double squares = 0;
  for (float v : values) squares += static_cast<double>(v) * v;
  return std::sqrt(squares / static_cast<double>(std::max<size_t>(1, values.size())));
}

/// Largest difference in units of the expected values' root mean square.
inline double distance(const std::vector<float>& got, const std::vector<float>& expected) {
  if (got.size() != expected.size()) return HUGE_VAL;
  double largest = 0;
  for (size_t i = 0; i < got.size(); ++i) {
    const double d = std::abs(static_cast<double>(got[i]) - expected[i]);
    if (std::isnan(d)) return HUGE_VAL;
    largest = std::max(largest, d);
  }
  return largest / std::max(1e-30, rms(expected));
}

/// Root mean square of the difference, in the same units. Sizes are equal.
inline double rms_distance(std::vector<float> got, const std::vector<float>& expected) {
  for (size_t i = 0; i < got.size(); ++i) got[i] -= expected[i];
  return rms(got) / std::max(1e-30, rms(expected));
}

}  // namespace autoglm::test
