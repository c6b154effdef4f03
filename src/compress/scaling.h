// Which scales of channels (model/channel_scales.h) make rounding cost least.
//
// Rounding a row to a grid makes an error in every column that grows with the largest value that shares the column's
// block; what the error costs is the column's own affair: its input's second moment, or for GPTQ what remains of it
// once later columns have made up for it. Multiplying columns that cost much (and dividing what writes their inputs)
// gives them finer steps than those that cost little. Two families of scales are tried, each in several strengths:
//
//  * s_j = mean(x_j^2)^(a/2): AWQ (Lin et al. 2023, section 3.2), with a root mean square where they have mean |x|;
//  * those that minimise sum over blocks b of max_j in b (W_ij s_j)^2 * sum_j in b c_j / s_j^2 over the rows i, c_j
//    being the cost: the squared error of a grid with steps as wide as its largest value asks for. With one scale a row
//    b is the whole row. Convex in log s.
//
// Every candidate is judged by rounding a sample of the rows; 1 is one of them and wins ties.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "base/pool.h"
#include "compress/grid.h"

namespace autoglm {

enum class Scaling : uint8_t { none, awq };
std::string_view name(Scaling scaling);
std::optional<Scaling> scaling_from_name(std::string_view name);

/// Key of a GGUF whose channels were scaled: name() of how.
inline constexpr std::string_view kScalingKey = "autoglm.scaling";

/// A matrix that reads the channels, by a sample of its rows.
struct ScaledReader {
  Type type = Type::f32;
  const Grid* grid = nullptr;  // null: the type is not quantized
  int64_t cols = 0;
  std::vector<float> rows;       // whole rows of `cols` values
  std::vector<float> cost;       // [cols], not negative: of a squared error of 1 in this column
  bool weighted = true;          // scales of blocks are searched with the cost as weights, or with equal ones
  std::vector<int32_t> channel;  // [cols]: which of the channels it reads
};

struct ChosenScales {
  std::vector<float> scales;  // one a channel, of geometric mean 1; empty: none are better than 1
  double error = 1;           // what rounding costs with them, of what it costs without: the mean over the readers
};

/// `squares`: mean square of each channel. Scales are within a factor of 8 of 1, about. The same for any
/// number of threads.
ChosenScales choose_scales(WorkerPool& pool, std::span<const ScaledReader> readers, std::span<const float> squares);

}  // namespace autoglm
