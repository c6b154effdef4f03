// Numbers that decide how fast a product runs on a machine, and never what it computes: every value gives the same
// bits.
//
// The defaults win on the machines that were measured (docs/PERFORMANCE.md). `autoglm tune` measures others for the
// shapes of a model and remembers those that win (tune/kernel_tuner.h, tune/tuning_store.h).
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "format/type.h"

namespace autoglm {

/// How one matrix is multiplied.
struct ShapeTuning {
  int32_t expand_rows = 56;    // rows of a step from which a panel is decoded once, not for every tile of rows
  int32_t tile_rows = 28;      // rows from which AMX tiles are used: below, AVX-512 wins
  int32_t prefetch = 8 << 10;  // bytes ahead that weights are asked for where memory bounds the speed
  bool operator==(const ShapeTuning&) const = default;
};

/// A number of ShapeTuning with its limits: what a tuner may try and a file may say.
struct TuningField {
  std::string_view name;
  int32_t ShapeTuning::* value;
  int32_t least, most;
};
const std::vector<TuningField>& tuning_fields();

/// The tunings of shapes that have one.
class KernelTuning {
 public:
  struct Entry {
    Type type = Type::f32;
    int64_t rows = 0, cols = 0;
    ShapeTuning tuning;
    bool operator==(const Entry&) const = default;
  };
  /// Of a matrix of this type and shape; the default where nothing else was set.
  ShapeTuning of(Type type, int64_t rows, int64_t cols) const;
  /// Sets or replaces.
  void set(const Entry& entry);
  const std::vector<Entry>& entries() const { return entries_; }

 private:
  std::vector<Entry> entries_;
};

/// Rows of the largest step that a TuningChoice names.
inline constexpr int kMostTunedRows = 64;

/// Another tuning of a matrix that may be faster, and the numbers of rows by which a step tells it from the current
/// one.
struct TuningChoice {
  ShapeTuning tuning;
  std::vector<int64_t> rows;
};

}  // namespace autoglm
