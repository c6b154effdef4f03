#include "compress/grid.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <span>
#include <type_traits>
#include <vector>

#include "base/error.h"
#include "compress/sums.h"
#include "format/types/encode_256.h"
#include "format/types/iq4_nl.h"
#include "format/types/iq4_xs.h"
#include "format/types/q2_k.h"
#include "format/types/q3_k.h"
#include "format/types/q4_0.h"
#include "format/types/q4_1.h"
#include "format/types/q4_k.h"
#include "format/types/q5_0.h"
#include "format/types/q5_1.h"
#include "format/types/q5_k.h"
#include "format/types/q6_k.h"
#include "format/types/q8_0.h"
#include "format/types/q8_a.h"

namespace autoglm {
namespace {

using types::Half;

template <typename Block>
inline constexpr bool kTable = std::is_same_v<Block, types::BlockIQ4_NL> || std::is_same_v<Block, types::BlockIQ4_XS>;

/// Largest magnitude of the integer scales: of minima too where the type has them.
template <typename Block>
constexpr int scale_limit() {
  if constexpr (std::is_same_v<Block, types::BlockQ2_K>) return 15;
  if constexpr (std::is_same_v<Block, types::BlockQ6_K>) return 128;
  if constexpr (Block::kInfo.has_minimum) return 63;
  return 32;
}

template <typename Block>
void set_group(BlockScales& out, int g, float scale, float minimum) {
  out.scale[g] = scale;
  out.minimum[g] = minimum;
  out.inverse[g] = types::reciprocal(scale);
}

template <typename Block>
CodeSums sums_of(const float* x, const float* h, float inverse) {
  CodeSums sums;
  if constexpr (kTable<Block>) {
    table_sums(x, h, Block::kInfo.group, inverse, sums);
  } else {
    uniform_sums(x, h, Block::kInfo.group, inverse, Block::kInfo.code_min, Block::kInfo.code_max, sums);
  }
  return sums;
}

template <typename Block>
float error_of(const float* x, const float* h, float scale, float minimum) {
  constexpr int kSize = Block::kInfo.group;
  if constexpr (kTable<Block>) {
    return table_error(x, h, kSize, scale);
  } else {
    return uniform_error(x, h, kSize, scale, minimum, Block::kInfo.code_min, Block::kInfo.code_max);
  }
}

/// The scale of least weighted error for one group. Tried are scales at which the value of largest magnitude falls on
/// or a little beyond the code of largest magnitude, of either sign; each gives codes, and these the scale that fits
/// them best: sum(h x q) / sum(h q^2), which lowers the error of storing zeros by sum(h x q)^2 / sum(h q^2).
template <typename Block>
float best_scale(const float* x, const float* h) {
  // A grid of 8 bits has nothing to gain from clipping.
  constexpr int kTries = Block::kInfo.bits == 8 && !kTable<Block> ? 4 : 20;
  constexpr float kWidest = Block::kInfo.bits == 8 && !kTable<Block> ? 1.01f : 1.1f;
  constexpr float kNarrowest = Block::kInfo.bits <= 3 ? 0.4f : 0.6f;
  const float extreme = types::signed_extreme(x, Block::kInfo.group);
  if (!(std::fabs(extreme) > 0.0f) || !std::isfinite(extreme)) return 0.0f;
  float best = 0.0f;
  float best_gain = 0.0f;
  const auto consider = [&](float inverse) {
    const CodeSums sums = sums_of<Block>(x, h, inverse);
    const float gain = sums.xq * sums.xq / sums.qq;
    if (!(gain > best_gain)) return;
    best_gain = gain;
    best = sums.xq / sums.qq;
  };
  for (int i = 0; i < kTries; ++i) {
    const float part = kWidest - (kWidest - kNarrowest) * static_cast<float>(i) / static_cast<float>(kTries - 1);
    const float inverse = 1.0f / (part * extreme);
    consider(static_cast<float>(Block::kInfo.code_min) * inverse);
    consider(static_cast<float>(Block::kInfo.code_max) * inverse);
  }
  if (best != 0.0f) consider(1.0f / best);
  return best;
}

struct Line {
  float scale = 0.0f;
  float minimum = 0.0f;
};

/// The same for scale and minimum of n values: least squares over both for the codes of each try. `positive`: the
/// minimum may not be negative. Codes run from 0 to the greatest here; at the end they are moved down to code_min.
template <int kCodeMin, int kCodeMax, int kBits>
inline Line line_of(const float* x, const float* h, int n, bool positive) {
  constexpr float kTop = kCodeMax - kCodeMin;
  float low = x[0];
  float high = x[0];
  for (int i = 1; i < n; ++i) {
    low = x[i] < low ? x[i] : low;
    high = x[i] > high ? x[i] : high;
  }
  if (positive && low > 0.0f) low = 0.0f;
  const float range = high - low;
  if (!(range > 0.0f) || !std::isfinite(range)) return {0.0f, std::isfinite(low) ? -low : 0.0f};
  Line best{range / kTop, -low};
  float best_error = uniform_error(x, h, n, best.scale, best.minimum, 0.0f, kTop);
  const auto consider = [&](float scale, float minimum) {
    CodeSums s;
    affine_sums(x, h, n, 1.0f / scale, minimum, kTop, s);
    const float determinant = s.h * s.qq - s.q * s.q;
    Line line;
    if (determinant > 0.0f) {
      line.scale = (s.h * s.xq - s.x * s.q) / determinant;
      line.minimum = (s.q * s.xq - s.qq * s.x) / determinant;
    }
    if (!(determinant > 0.0f) || (positive && line.minimum < 0.0f)) line = {s.qq > 0.0f ? s.xq / s.qq : 0.0f, 0.0f};
    if (!(line.scale > 0.0f)) return;
    const float error = uniform_error(x, h, n, line.scale, line.minimum, 0.0f, kTop);
    if (error < best_error) {
      best_error = error;
      best = line;
    }
  };
  constexpr int kTries = 12;
  constexpr float kNarrowest = kBits <= 3 ? 0.5f : 0.7f;
  for (int i = 0; i < kTries; ++i) {
    const float part = 1.05f - (1.05f - kNarrowest) * static_cast<float>(i) / static_cast<float>(kTries - 1);
    const float scale = part * range / kTop;
    consider(scale, -low);
    // Both ends cut alike.
    if (part < 1.0f) consider(scale, -(low + 0.5f * (1.0f - part) * range));
  }
  consider(best.scale, best.minimum);
  best.minimum += best.scale * static_cast<float>(kCodeMin);
  return best;
}

template <typename Block>
Line best_line(const float* x, const float* h, bool positive) {
  constexpr GroupInfo kForm = Block::kInfo;
  return line_of<kForm.code_min, kForm.code_max, kForm.bits>(x, h, kForm.group, positive);
}

// --- types with one scale a block ---

template <typename Block>
void set_line(const Line& line, BlockScales& out) {
  Half scale{};
  Half offset{};
  types::set_finite(scale, line.scale);
  types::set_finite(offset, -line.minimum);
  out.d = scale.bits();
  out.dmin = offset.bits();
  set_group<Block>(out, 0, scale.value(), -offset.value());
}

template <typename Block>
void fit_single(const float* x, const float* h, BlockScales& out) {
  if constexpr (Block::kInfo.has_minimum) {
    set_line<Block>(best_line<Block>(x, h, false), out);
  } else {
    Half scale{};
    types::set_finite(scale, best_scale<Block>(x, h));
    out.d = scale.bits();
    set_group<Block>(out, 0, scale.value(), 0.0f);
  }
}

Half half_of(uint16_t bits) { return {static_cast<uint8_t>(bits), static_cast<uint8_t>(bits >> 8)}; }

template <typename Block>
void pack_single(const BlockScales& scales, const int8_t* codes, std::byte* out) {
  auto& block = *reinterpret_cast<Block*>(out);
  block.scale = half_of(scales.d);
  if constexpr (Block::kInfo.has_minimum) block.offset = half_of(scales.dmin);
  block.pack(codes);
}

// --- INT8 by channel ---

/// The scale of least weighted error for n values as bytes. A row has outliers that a block has not: cutting them off
/// can pay.
float byte_scale(const float* x, const float* h, int64_t n) {
  constexpr int kTries = 24;
  const auto count = static_cast<int>(n);
  const float extreme = std::fabs(types::signed_extreme(x, count));
  if (!(extreme > 0.0f) || !std::isfinite(extreme)) return 0.0f;
  float best = 0.0f;
  float best_gain = 0.0f;
  for (int i = 0; i < kTries; ++i) {
    const float part = 1.0f - 0.6f * static_cast<float>(i) / static_cast<float>(kTries - 1);
    CodeSums sums;
    uniform_sums(x, h, count, 127.0f / (part * extreme), -127.0f, 127.0f, sums);
    const float gain = sums.xq * sums.xq / sums.qq;
    if (!(gain > best_gain)) continue;
    best_gain = gain;
    best = sums.xq / sums.qq;
  }
  return best;
}

void fit_byte_row(const float* x, const float* h, int64_t n, BlockScales& out) {
  Half scale{};
  types::set_finite(scale, byte_scale(x, h, n));
  out.d = scale.bits();
  set_group<types::BlockQ8_0>(out, 0, scale.value(), 0.0f);
}

/// The same for a scale and an offset.
void fit_offset_row(const float* x, const float* h, int64_t n, BlockScales& out) {
  constexpr GroupInfo kForm = types::BlockQ8_A::kInfo;
  set_line<types::BlockQ8_A>(line_of<kForm.code_min, kForm.code_max, kForm.bits>(x, h, static_cast<int>(n), false),
                             out);
}

// --- types with integer scales ---

template <typename Block>
void refit_integers(const float* x, const float* h, int g, BlockScales& out) {
  constexpr int kLimit = scale_limit<Block>();
  const float d = half_of(out.d).value();
  const float dmin = half_of(out.dmin).value();
  float best_error = -1.0f;
  int best_scale_code = 0;
  int best_minimum_code = 0;
  const auto consider = [&](int scale, int minimum) {
    const float error = error_of<Block>(x, h, d * static_cast<float>(scale), dmin * static_cast<float>(minimum));
    if (best_error >= 0.0f && !(error < best_error)) return;
    best_error = error;
    best_scale_code = scale;
    best_minimum_code = minimum;
  };
  if constexpr (Block::kInfo.has_minimum) {
    const Line line = best_line<Block>(x, h, true);
    const int scale = types::nearest_in(line.scale * types::reciprocal(d), 0, kLimit);
    const int minimum = types::nearest_in(line.minimum * types::reciprocal(dmin), 0, kLimit);
    for (int s = std::max(0, scale - 1); s <= std::min(kLimit, scale + 1); ++s) {
      for (int m = std::max(0, minimum - 1); m <= std::min(kLimit, minimum + 1); ++m) consider(s, m);
    }
  } else {
    const int scale = types::nearest_in(best_scale<Block>(x, h) * types::reciprocal(d), -kLimit, kLimit - 1);
    for (int s = std::max(-kLimit, scale - 1); s <= std::min(kLimit - 1, scale + 1); ++s) consider(s, 0);
  }
  out.scales[g] = static_cast<int8_t>(best_scale_code);
  out.minima[g] = static_cast<int8_t>(best_minimum_code);
  set_group<Block>(out, g, d * static_cast<float>(best_scale_code), dmin * static_cast<float>(best_minimum_code));
}

template <typename Block>
void fit_integers(const float* x, const float* h, BlockScales& out) {
  constexpr int kSize = Block::kInfo.group;
  constexpr int kGroups = Block::kColumns / kSize;
  constexpr int kLimit = scale_limit<Block>();
  Half d{};
  Half dmin{};
  if constexpr (Block::kInfo.has_minimum) {
    float scale = 0.0f;
    float minimum = 0.0f;
    for (int g = 0; g < kGroups; ++g) {
      const Line line = best_line<Block>(x + g * kSize, h + g * kSize, true);
      scale = std::max(scale, line.scale);
      minimum = std::max(minimum, line.minimum);
    }
    types::set_finite(d, scale / static_cast<float>(kLimit));
    types::set_finite(dmin, minimum / static_cast<float>(kLimit));
  } else {
    float steps[kGroups];
    for (int g = 0; g < kGroups; ++g) steps[g] = best_scale<Block>(x + g * kSize, h + g * kSize);
    types::set_finite(d, types::signed_extreme(steps, kGroups) / static_cast<float>(-kLimit));
  }
  out.d = d.bits();
  out.dmin = dmin.bits();
  for (int g = 0; g < kGroups; ++g) refit_integers<Block>(x + g * kSize, h + g * kSize, g, out);
}

template <typename Block>
void pack_integers(const BlockScales& scales, const int8_t* codes, std::byte* out) {
  auto& block = *reinterpret_cast<Block*>(out);
  block.d = half_of(scales.d);
  if constexpr (Block::kInfo.has_minimum) block.dmin = half_of(scales.dmin);
  block.pack(codes, scales.scales, scales.minima);
}

template <typename Block>
constexpr Grid grid(Type type) {
  Grid out{.type = type,
           .columns = Block::kColumns,
           .group = Block::kInfo.group,
           .code_min = Block::kInfo.code_min,
           .code_max = Block::kInfo.code_max,
           .table = kTable<Block>,
           .fit = nullptr,
           .refit = nullptr,
           .pack = nullptr};
  if constexpr (Block::kInfo.integer_scales) {
    out.fit = fit_integers<Block>;
    out.refit = refit_integers<Block>;
    out.pack = pack_integers<Block>;
  } else {
    out.fit = fit_single<Block>;
    out.pack = pack_single<Block>;
  }
  return out;
}

constexpr Grid kGrids[] = {
    grid<types::BlockQ4_0>(Type::q4_0), grid<types::BlockQ4_1>(Type::q4_1),     grid<types::BlockQ5_0>(Type::q5_0),
    grid<types::BlockQ5_1>(Type::q5_1), grid<types::BlockQ8_0>(Type::q8_0),     grid<types::BlockQ2_K>(Type::q2_k),
    grid<types::BlockQ3_K>(Type::q3_k), grid<types::BlockQ4_K>(Type::q4_k),     grid<types::BlockQ5_K>(Type::q5_k),
    grid<types::BlockQ6_K>(Type::q6_k), grid<types::BlockIQ4_NL>(Type::iq4_nl), grid<types::BlockIQ4_XS>(Type::iq4_xs),
    grid<types::BlockQ8_A>(Type::q8_a),
};

template <typename Block>
constexpr Grid row_grid(Type type, void (*fit_row)(const float*, const float*, int64_t, BlockScales&)) {
  Grid out = grid<Block>(type);
  out.fit_row = fit_row;
  return out;
}

constexpr Grid kRowGrids[] = {
    row_grid<types::BlockQ8_0>(Type::q8_0, fit_byte_row),
    row_grid<types::BlockQ8_A>(Type::q8_a, fit_offset_row),
};

const Grid* find(std::span<const Grid> grids, Type type) {
  const auto found = std::ranges::find(grids, type, &Grid::type);
  return found == grids.end() ? nullptr : &*found;
}

}  // namespace

const Grid* grid_of(Type type) { return find(kGrids, type); }

const Grid* row_grid_of(Type type) { return find(kRowGrids, type); }

int8_t grid_code(const Grid& grid, const BlockScales& scales, int g, float x) {
  const float y = (x + scales.minimum[g]) * scales.inverse[g];
  if (grid.table) return types::kIq4Table[types::iq4_index(y)];
  return static_cast<int8_t>(types::nearest_in(y, grid.code_min, grid.code_max));
}

void encode_row(const Grid& grid, const float* x, const float* h, int64_t n, std::byte* out) {
  constexpr int kMost = 256;
  std::array<float, kMost> equal;
  std::array<int8_t, kMost> codes;
  equal.fill(1.0f);
  const int block_bytes = info(grid.type).block_bytes;
  BlockScales scales;
  if (grid.fit_row) {
    const std::vector<float> row(h ? 0 : static_cast<size_t>(n), 1.0f);
    grid.fit_row(x, h ? h : row.data(), n, scales);
  }
  for (int64_t first = 0; first < n; first += grid.columns) {
    if (!grid.fit_row) grid.fit(x + first, h ? h + first : equal.data(), scales);
    for (int c = 0; c < grid.columns; ++c) {
      codes[static_cast<size_t>(c)] = grid_code(grid, scales, c / grid.group, x[first + c]);
    }
    grid.pack(scales, codes.data(), out + first / grid.columns * block_bytes);
  }
}

}  // namespace autoglm
