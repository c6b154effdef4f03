// Finds faster kernel tunings by measuring, and keeps only what wins.
//
// The rule, for one matrix. A choice is compared with what is kept so far in pairs of measurements that follow each
// other, the order turned from pair to pair, so that a machine that slows down meets both. It is a candidate if, over
// its numbers of rows,
//  * the median of the pairs' ratios of time is at most kWorthIt on average, and at most kNoWorse for each;
//  * and every single pair was won on average.
// The best candidate is then measured against the default, afresh and with more pairs, by the same conditions, and kept
// only if it meets them; from there on the same field may move again. A choice that is no faster passes with a chance
// of 2^-(5 + 9) at most, and would also have to look 3 % faster twice: so the result is the default or better, and on a
// noisy machine the default.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "format/model_source.h"
#include "kernels/backend.h"

namespace autoglm {

inline constexpr double kWorthIt = 0.97;  // of the default's time: what moves less is not worth remembering
inline constexpr double kNoWorse = 1.01;
inline constexpr int kPairs = 5;
inline constexpr int kConfirmPairs = 9;

/// Seconds that a product of `rows` rows takes with this tuning.
using MeasureProduct = std::function<double(const ShapeTuning& tuning, int64_t rows)>;
/// What is worth measuring beside `current` (Backend::tuning_choices).
using ListChoices = std::function<std::vector<TuningChoice>(const ShapeTuning& current)>;

struct TuningTrial {
  ShapeTuning tuning;
  double ratio = 1.0;  // of the time of what it was compared with
  bool kept = false;
};

struct TuningResult {
  ShapeTuning tuning;
  double gain = 1.0;  // the default's time by the new one's, over the rows that the change concerns; 1: nothing won
  std::vector<TuningTrial> trials;
};

TuningResult tune_shape(const ListChoices& choices, const MeasureProduct& measure);

/// A distinct shape of a model's matrices, with a weight of every kind it has in the file.
struct TunedShape {
  Type type = Type::f32;
  int64_t rows = 0, cols = 0;
  std::vector<std::span<const std::byte>> data;  // of matrices of this shape, in file order
  int64_t matrices = 0;                          // in the model
};

/// The shapes that `source` holds as quantized matrices and that steps multiply, those with most weights first.
std::vector<TunedShape> shapes_to_tune(const ModelSource& source);

/// Matrices of one shape on a backend, and the time of multiplying them.
class ShapeBench {
 public:
  /// Loads as many of the shape's matrices as fit 32 MiB of the file, or the first rows of one.
  ShapeBench(Backend& backend, const TunedShape& shape);
  ~ShapeBench();
  std::vector<TuningChoice> choices(const ShapeTuning& current) const;
  double seconds(const ShapeTuning& tuning, int64_t rows);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace autoglm
