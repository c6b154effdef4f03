// `bench --sweep`: one thing varied, everything else as it is. Pure but for the function that measures.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "hw/machine.h"

namespace autoglm {

enum class SweepOver : uint8_t { batch, ctx, threads };
std::string_view name(SweepOver over);

/// "batch,ctx,threads" in any order. Error bad_flag, naming the part.
std::vector<SweepOver> parse_sweeps(std::string_view list);

/// A point's figures, as `bench` gives them.
struct SweepPoint {
  int64_t at = 0;  // sequences, tokens in the cache, threads
  double prefill_tps = 0;
  double decode_tps = 0;                                 // of all sequences together
  double step_ms = 0, step_ms_p99 = 0;                   // of a decode step: the gap between a stream's tokens
  double prefill_roof_share = 0, decode_roof_share = 0;  // 0: no roof to compare with
  int64_t peak_rss_bytes = 0;
};

struct Sweep {
  SweepOver over = SweepOver::batch;
  std::vector<SweepPoint> points;
  std::optional<size_t> knee;  // in `points`
  std::string ended;           // why it stopped before its last value; empty: it did not
};

/// The values to measure: doubling up to 64 sequences; the empty cache, then doubling from 512 tokens up to `context`
/// less a little room; threads up to the processors of the machine.
std::vector<int64_t> sweep_values(SweepOver over, const Machine& machine, int64_t context);

/// `bench`'s words for one point.
std::vector<std::string> sweep_words(SweepOver over, int64_t at);

/// From the JSON that `bench` printed. Error bad_file where a figure is missing.
SweepPoint sweep_point(int64_t at, std::string_view json);

/// Where a curve bends: the point farthest from the line between its ends, both axes scaled to 1 (Satopaa et al. 2011,
/// "Finding a kneedle in a haystack"). `x` ascends; nothing below three points, or where the curve is straight to 5 %.
std::optional<size_t> knee_of(const std::vector<double>& x, const std::vector<double>& y);

/// The sweep's own curve: tokens a second over the logarithm of sequences or threads, and over tokens in the cache.
std::optional<size_t> knee_of(const Sweep& sweep);

std::string sweep_csv(const std::vector<Sweep>& sweeps);

}  // namespace autoglm
