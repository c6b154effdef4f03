#include "compress/scaling.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/error.h"
#include "compress/sums.h"

namespace autoglm {
namespace {

constexpr double kMost = 2.08;        // |log s|: a factor of 8, so that no column is rounded away
constexpr int64_t kJudgedRows = 128;  // of a reader, spread over its sample
constexpr int kSteps = 60;            // of the descent
constexpr double kStep = 0.12;        // of log s^2: more than an eighth would swing (add_smooth_maximum)
constexpr double kPowers[] = {0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875, 1.0};  // AWQ's a
constexpr double kParts[] = {0.25, 0.5, 0.75, 1.0};                               // of log s of the second family

using Logs = std::vector<double>;  // of the scales

// Geometric mean 1, and nothing far from it.
void normalize(Logs& logs) {
  const auto mean = [&] {
    return std::accumulate(logs.begin(), logs.end(), 0.0) / static_cast<double>(std::max<size_t>(logs.size(), 1));
  };
  const double first = mean();
  for (double& log : logs) log = std::clamp(log - first, -kMost, kMost);
  const double rest = mean();
  for (double& log : logs) log -= rest;
}

std::vector<float> scales_of(const Logs& logs) {
  std::vector<float> out(logs.size());
  for (size_t i = 0; i < logs.size(); ++i) out[i] = static_cast<float>(std::exp(logs[i]));
  return out;
}

// --- what rounding costs ---

double error_of_row(const ScaledReader& reader, const float* row, const std::vector<float>& factors,
                    const std::vector<float>& cost, std::vector<float>& values, std::vector<std::byte>& blocks) {
  const int64_t cols = reader.cols;
  for (int64_t j = 0; j < cols; ++j) values[static_cast<size_t>(j)] = row[j] * factors[static_cast<size_t>(j)];
  if (reader.grid) {
    encode_row(*reader.grid, values.data(), reader.weighted ? cost.data() : nullptr, cols, blocks.data());
  } else {
    info(reader.type).encode(values.data(), blocks.data(), cols);
  }
  std::vector<float>& back = values;
  std::vector<float> scaled(values);
  info(reader.type).decode(blocks.data(), back.data(), cols);
  double sum = 0;
  for (size_t j = 0; j < back.size(); ++j) {
    const double difference = static_cast<double>(scaled[j]) - static_cast<double>(back[j]);
    sum += static_cast<double>(cost[j]) * difference * difference;
  }
  return sum;
}

/// Squared error that rounding the sample costs in the outputs.
double error_of(WorkerPool& pool, const ScaledReader& reader, const std::vector<float>& scales) {
  const auto cols = static_cast<size_t>(reader.cols);
  std::vector<float> factors(cols);
  std::vector<float> cost(cols);  // of an error in the scaled column
  for (size_t j = 0; j < cols; ++j) {
    factors[j] = scales[static_cast<size_t>(reader.channel[j])];
    cost[j] = reader.cost[j] / (factors[j] * factors[j]);
  }
  const int64_t rows = std::ssize(reader.rows) / reader.cols;
  const int64_t count = std::min(rows, kJudgedRows);
  std::vector<double> sums(static_cast<size_t>(count));
  pool.parallel_for(count, 4, [&](int64_t begin, int64_t end) {
    std::vector<float> values(cols);
    std::vector<std::byte> blocks(static_cast<size_t>(row_bytes(reader.type, reader.cols)));
    for (int64_t i = begin; i < end; ++i) {
      const float* row = reader.rows.data() + i * rows / count * reader.cols;
      sums[static_cast<size_t>(i)] = error_of_row(reader, row, factors, cost, values, blocks);
    }
  });
  return std::accumulate(sums.begin(), sums.end(), 0.0);
}

// --- the scales of least squared steps ---

int64_t block_of(const ScaledReader& reader) {
  return reader.grid->fit_row ? reader.cols : int64_t{reader.grid->group};
}

/// What one reader adds to a step of the descent: by channel, how much the steps (`width`) and the costs (`cost`) of
/// its blocks would change with log s^2.
struct Pull {
  std::vector<double> width, cost;
  double total = 0;  // sum over blocks of widths^2 times costs
};

// Rows are taken in pieces of a fixed size, whose sums are added up in their order.
constexpr int64_t kPieceRows = 32;

Pull pull_of(WorkerPool& pool, const ScaledReader& reader, const Logs& squares_log) {
  const int64_t cols = reader.cols;
  const int64_t block = block_of(reader);
  const int64_t blocks = cols / block;
  std::vector<float> t(static_cast<size_t>(cols));  // s^2
  std::vector<double> part(t.size());               // cost / s^2
  std::vector<double> of_block(static_cast<size_t>(blocks));
  for (size_t j = 0; j < t.size(); ++j) {
    const double square = std::exp(squares_log[static_cast<size_t>(reader.channel[j])]);
    t[j] = static_cast<float>(square);
    part[j] = static_cast<double>(reader.cost[j]) / square;
    of_block[j / static_cast<size_t>(block)] += part[j];
  }
  const int64_t rows = std::ssize(reader.rows) / cols;
  const int64_t pieces = (rows + kPieceRows - 1) / kPieceRows;
  std::vector<std::vector<float>> shares(static_cast<size_t>(pieces));
  std::vector<std::vector<float>> widths(static_cast<size_t>(pieces));
  pool.parallel_for(pieces, 1, [&](int64_t begin, int64_t end) {
    for (int64_t piece = begin; piece < end; ++piece) {
      std::vector<float>& share = shares[static_cast<size_t>(piece)];
      std::vector<float>& width = widths[static_cast<size_t>(piece)];
      share.assign(t.size(), 0.0f);
      width.assign(of_block.size(), 0.0f);
      for (int64_t i = piece * kPieceRows; i < std::min(rows, (piece + 1) * kPieceRows); ++i) {
        for (int64_t b = 0; b < blocks; ++b) {
          width[static_cast<size_t>(b)] +=
              add_smooth_maximum(reader.rows.data() + i * cols + b * block, t.data() + b * block,
                                 static_cast<int>(block), share.data() + b * block);
        }
      }
    }
  });
  std::vector<double> share(t.size());
  std::vector<double> width(of_block.size());
  for (size_t piece = 0; piece < shares.size(); ++piece) {
    for (size_t j = 0; j < share.size(); ++j) share[j] += static_cast<double>(shares[piece][j]);
    for (size_t b = 0; b < width.size(); ++b) width[b] += static_cast<double>(widths[piece][b]);
  }
  Pull out{.width = Logs(squares_log.size()), .cost = Logs(squares_log.size())};
  for (size_t j = 0; j < t.size(); ++j) {
    const auto channel = static_cast<size_t>(reader.channel[j]);
    const size_t b = j / static_cast<size_t>(block);
    out.width[channel] += share[j] * of_block[b];
    out.cost[channel] += part[j] * width[b];
  }
  for (size_t b = 0; b < width.size(); ++b) out.total += width[b] * of_block[b];
  return out;
}

// At the minimum what a channel widens and what it saves are equal; until then it moves by the logarithm of their
// ratio.
Logs descend(WorkerPool& pool, std::span<const ScaledReader> readers, size_t channels) {
  Logs logs(channels);  // of s^2
  for (int step = 0; step < kSteps; ++step) {
    Logs width(channels);
    Logs cost(channels);
    for (const ScaledReader& reader : readers) {
      if (!reader.grid) continue;
      const Pull pull = pull_of(pool, reader, logs);
      if (!(pull.total > 0) || !std::isfinite(pull.total)) continue;
      for (size_t c = 0; c < channels; ++c) {
        width[c] += pull.width[c] / pull.total;
        cost[c] += pull.cost[c] / pull.total;
      }
    }
    for (size_t c = 0; c < channels; ++c) {
      constexpr double kLeast = 1e-12;
      logs[c] += kStep * std::clamp(std::log((cost[c] + kLeast) / (width[c] + kLeast)), -4.0, 4.0);
    }
  }
  for (double& log : logs) log *= 0.5;
  return logs;
}

}  // namespace

std::string_view name(Scaling scaling) { return scaling == Scaling::awq ? "awq" : "none"; }

std::optional<Scaling> scaling_from_name(std::string_view name) {
  if (name == "none") return Scaling::none;
  if (name == "awq") return Scaling::awq;
  return std::nullopt;
}

ChosenScales choose_scales(WorkerPool& pool, std::span<const ScaledReader> readers, std::span<const float> squares) {
  const size_t channels = squares.size();
  std::vector<double> before;
  const std::vector<float> ones(channels, 1.0f);
  for (const ScaledReader& reader : readers) {
    AUTOGLM_CHECK(std::ssize(reader.channel) == reader.cols && std::ssize(reader.cost) == reader.cols, "whole rows");
    before.push_back(error_of(pool, reader, ones));
  }
  ChosenScales best;
  const auto consider = [&](Logs logs) {
    normalize(logs);
    if (!std::ranges::all_of(logs, [](double log) { return std::isfinite(log); })) return;
    std::vector<float> scales = scales_of(logs);
    double error = 0;
    for (size_t i = 0; i < readers.size() && error < best.error; ++i) {
      const double now = error_of(pool, readers[i], scales);
      // What was stored exactly stays so.
      const double relative = before[i] > 0 ? now / before[i] : (now > 0 ? HUGE_VAL : 1.0);
      error += relative / static_cast<double>(readers.size());
    }
    if (error < best.error) best = {std::move(scales), error};
  };
  const double mean = std::accumulate(squares.begin(), squares.end(), 0.0) / static_cast<double>(channels);
  if (readers.empty() || !(mean > 0) || !std::isfinite(mean)) return best;
  Logs loudness(channels);
  for (size_t c = 0; c < channels; ++c) loudness[c] = 0.5 * std::log(std::max<double>(squares[c], 1e-6 * mean));
  const auto part_of = [](Logs logs, double part) {
    for (double& log : logs) log *= part;
    return logs;
  };
  for (const double power : kPowers) consider(part_of(loudness, power));
  Logs least = descend(pool, readers, channels);
  normalize(least);
  for (const double part : kParts) consider(part_of(least, part));
  return best;
}

}  // namespace autoglm
