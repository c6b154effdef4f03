// config.json of a Hugging Face folder, read strictly: what was not read must be known to be harmless.
//
// A family asks for the keys that it understands; finish() then refuses every other key that is not on the list of
// harmless ones, by name. So a key that changes the mathematics can never be ignored. null counts as absent.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "format/rope_parameters.h"

namespace autoglm {

/// Errors: bad_model_file (not JSON, a missing key, a wrong type or range), unsupported_model (well formed, but asks
/// for what is not built). All name the key. Not thread-safe: getters record what was read.
///
/// Where there is a `text_config` (models that also see images), it is the configuration, and the keys around it serve
/// only where it lacks one.
class HfConfig {
 public:
  /// `where` names the file in messages. A `quantization_config` is refused at once, by its method's name.
  explicit HfConfig(std::string_view json, std::string where = "config.json");
  ~HfConfig();
  HfConfig(HfConfig&& other) noexcept;
  HfConfig& operator=(HfConfig&& other) noexcept;

  std::string model_type();                  // of text_config if there is one; "" if absent
  std::vector<std::string> architectures();  // may be empty

  bool has(std::string_view key) const;   // present and not null; does not count as read
  int64_t integer(std::string_view key);  // missing: Error. A whole number written as 4096.0 is accepted
  int64_t integer(std::string_view key, int64_t fallback);
  int count(std::string_view key);  // an integer of 1..2^31-1
  int count(std::string_view key, int fallback);
  double number(std::string_view key);  // finite
  double number(std::string_view key, double fallback);
  bool boolean(std::string_view key, bool fallback);
  std::string text(std::string_view key);
  std::string text(std::string_view key, std::string_view fallback);
  std::vector<int64_t> integers(std::string_view key);  // empty if missing; one integer counts as a list of one
  std::vector<double> numbers(std::string_view key);
  std::vector<std::string> texts(std::string_view key);  // layer_types and the like

  /// Rope of layers of this type ("full_attention", "sliding_attention"; empty: all layers), from any of the forms that
  /// exist: flat rope_theta, rope_scaling and partial_rotary_factor; one rope_parameters; or rope_parameters by layer
  /// type. In the flat form sliding layers take rope_local_base_freq (or the default) and no scaling, as Gemma 3 does.
  /// Scalings that are not built are refused by name. The defaults are the family's, for what the file leaves out.
  RopeParameters rope(std::string_view layer_type = {}, double default_theta = 10000.0, double default_partial = 1.0);

  /// The key is understood and has no effect here, whatever its value (a window while use_sliding_window is false).
  void accept(std::string_view key);
  /// The key must be absent or have this value, for nothing else is built: Error unsupported_model.
  void require(std::string_view key, bool value);
  void require(std::string_view key, int64_t value);
  void require(std::string_view key, double value);
  void require(std::string_view key, std::string_view value);
  void require(std::string_view key, const char* value) { require(key, std::string_view(value)); }
  void require(std::string_view key, int value) { require(key, static_cast<int64_t>(value)); }

  /// Refuses the first key that was neither read nor is known to be harmless. Call it when everything was read.
  void finish() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace autoglm
