// Scales of channels: where a channel between two tensors can be scaled without changing what the model computes, and
// the factors that this gives each tensor.
//
// What writes a channel linearly is divided by its scale, and all that reads it is multiplied: a norm's weight and the
// columns of the maps that read the norm; the rows of v and the columns of the map after attention, which is linear in
// the values; the rows of `up`, which has no activation, and the columns of `down`. What lies between the two (RMS,
// softmax, the activation of `gate`) never sees the scale. The result is ordinary tensors of the same shapes.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "model/arch_spec.h"
#include "model/tensor_table.h"

namespace autoglm {

/// A row of the table of such channels. A layer has the row if it has the first writer and a reader; of the others
/// those that it has take part.
struct ScaleSite {
  std::string_view word;          // for messages and files
  std::span<const Role> writers;  // vectors: their values; matrices: their rows, those of a stack one after the other
  std::span<const Role> readers;  // their columns; all that read these channels
  /// The channel that a reader's column reads; null: the one of that number.
  int64_t (*channel)(const ArchSpec& spec, int layer, int64_t column) = nullptr;
};

std::span<const ScaleSite> scale_sites();

/// The channels of a site in one layer (-1: of the site outside the layers).
struct ScaledChannels {
  const ScaleSite* site = nullptr;
  int layer = -1;
  int64_t sets = 1;      // one a matrix of the readers' stack (experts that have channels of their own), else 1
  int64_t channels = 0;  // of a set

  int64_t values() const { return sets * channels; }
  /// A name of its own: "blk.3.attn_norm", "output_norm".
  std::string name() const;
};

/// In the order of layers, those outside the layers last.
std::vector<ScaledChannels> scaled_channels(const ArchSpec& spec);
/// The channels that the columns of this matrix read, if they can be scaled.
std::optional<ScaledChannels> channels_read_by(const ArchSpec& spec, Role role, int layer);

/// The scales of some channels; all others are 1. The spec outlives this.
class ChannelScales {
 public:
  explicit ChannelScales(const ArchSpec& spec) : spec_(&spec) {}

  /// `scales`: channels.values() finite numbers above 0, set after set.
  void set(const ScaledChannels& channels, std::vector<float> scales);
  bool empty() const { return scales_.empty(); }

  /// What the columns of this matrix are multiplied by: shape.cols factors, or as many for each matrix of the stack
  /// where they differ. Empty: nothing.
  std::vector<float> columns(const LocatedTensor& tensor) const;
  /// What the rows of this matrix (of all of its stack) or the values of this vector are multiplied by: 1 / scale.
  /// Empty: nothing.
  std::vector<float> rows(const LocatedTensor& tensor) const;

 private:
  const std::vector<float>* find(const ScaleSite& site, int layer) const;
  const ArchSpec* spec_;
  std::map<std::pair<const ScaleSite*, int>, std::vector<float>> scales_;
};

/// The factors of one tensor, for who goes through its rows.
struct TensorScales {
  std::vector<float> columns, rows;  // as ChannelScales gives them

  TensorScales() = default;
  TensorScales(const ChannelScales& scales, const LocatedTensor& tensor)
      : columns(scales.columns(tensor)), rows(scales.rows(tensor)) {}
  bool none() const { return columns.empty() && rows.empty(); }
  /// Those of the columns of row `row` of the stack; empty: all 1.
  std::span<const float> columns_of(const TensorShape& shape, int64_t row) const;
  /// Multiplies row `row` of the tensor; a vector is one row.
  void apply(const LocatedTensor& tensor, int64_t row, std::span<float> values) const;
};

}  // namespace autoglm
