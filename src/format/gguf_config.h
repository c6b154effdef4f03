// The `{architecture}.*` keys of a GGUF file, read as strictly as config.json: finish() refuses what nobody read.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "format/model_source.h"
#include "format/rope_parameters.h"

namespace autoglm {

/// Keys are given without the architecture's prefix: count("block_count"). Errors as HfConfig's. The metadata must
/// outlive this. Not thread-safe.
class GgufConfig {
 public:
  explicit GgufConfig(const Metadata& metadata);

  const std::string& architecture() const { return architecture_; }  // general.architecture

  bool has(std::string_view key) const;   // does not count as read
  int64_t integer(std::string_view key);  // missing: Error
  int64_t integer(std::string_view key, int64_t fallback);
  int count(std::string_view key);  // an integer of 1..2^31-1
  int count(std::string_view key, int fallback);
  double number(std::string_view key);  // finite
  double number(std::string_view key, double fallback);
  bool boolean(std::string_view key, bool fallback);
  std::string text(std::string_view key, std::string_view fallback);
  /// One value a layer: the file has either one number for all or an array of `layers` of them.
  std::vector<int64_t> per_layer(std::string_view key, int layers);
  std::vector<int64_t> per_layer(std::string_view key, int layers, int64_t fallback);
  /// An array of booleans, one a layer (sliding_window_pattern); empty if missing or not an array.
  std::vector<bool> flags(std::string_view key, int layers);

  /// rope.*: freq_base, dimension_count and linear scaling. (llama3 scaling is a tensor in GGUF: rope_freqs.weight.)
  /// Any other rope.scaling.type is refused by name. `base_key` serves models with two bases ("rope.freq_base_swa").
  RopeParameters rope(double default_theta = 10000.0, std::string_view base_key = "rope.freq_base");

  void accept(std::string_view key);
  void require(std::string_view key, int64_t value);

  void finish() const;

 private:
  std::string full(std::string_view key) const;
  const MetaValue* take(std::string_view key);
  const Metadata* metadata_;
  std::string architecture_;
  std::set<std::string, std::less<>> read_;
};

}  // namespace autoglm
