#include "format/hf_config.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "base/error.h"
#include "format/hf_keys.h"
#include "format/printable.h"

namespace autoglm {

using Json = nlohmann::json;

namespace {

/// Keys that must be absent or false whoever reads the file: nothing in this program builds what they ask for.
constexpr std::array<std::string_view, 7> kMustBeFalse = {
    "is_encoder_decoder", "add_cross_attention", "is_decoder",           "use_bidirectional_attention",
    "use_mamba",          "rope_interleaved",    "use_parallel_residual"};

constexpr std::string_view kHintKeys =
    "nothing that may change the model's mathematics is ignored; if the key has no such effect, report it";

/// A present, non-null value, or null.
const Json* member(const Json& object, std::string_view key) {
  if (!object.is_object()) return nullptr;
  const auto place = object.find(key);
  return place == object.end() || place->is_null() ? nullptr : &*place;
}

[[noreturn]] void refuse_quantized(const Json& config, const std::string& where) {
  std::string method = "an unknown method";
  if (const Json* name = member(config, "quant_method"); name != nullptr && name->is_string()) {
    method = name->get<std::string>();
  } else if (const Json* bits = member(config, "load_in_4bit"); bits != nullptr) {
    method = "bitsandbytes";
  }
  const bool eight = method == "fp8" || method == "fbgemm_fp8" || method == "finegrained_fp8";
  fail(Code::unsupported_model, where + ": the weights are quantized by " + printable(method) + ", which is not built",
       std::string("use this model's BF16 checkpoint, or its ") + (eight ? "Q8_0" : "Q4_K_M") + " GGUF file");
}

}  // namespace

struct HfConfig::State {
  std::string where;
  Json root;
  const Json* inner = nullptr;  // text_config, or root
  std::set<std::string, std::less<>> read;

  [[noreturn]] void bad(std::string_view key, const std::string& why) const {
    fail(Code::bad_model_file, where + ": " + printable(key) + " " + why);
  }
  [[noreturn]] void unsupported(const std::string& why, std::string_view hint) const {
    fail(Code::unsupported_model, where + ": " + why, std::string(hint));
  }

  const Json* find(std::string_view key) const {
    const Json* value = member(*inner, key);
    return value == nullptr && inner != &root ? member(root, key) : value;
  }
  const Json* take(std::string_view key) {
    read.emplace(key);
    return find(key);
  }

  int64_t to_integer(std::string_view key, const Json& value) const {
    if (value.is_number_unsigned()) {
      const auto wide = value.get<uint64_t>();
      if (wide > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) bad(key, "is beyond 2^63");
      return static_cast<int64_t>(wide);
    }
    if (value.is_number_integer()) return value.get<int64_t>();
    constexpr double kExact = 9007199254740992.0;  // 2^53: larger doubles do not hold every integer
    const double number = value.is_number_float() ? value.get<double>() : std::nan("");
    if (!(std::fabs(number) <= kExact) || number != std::floor(number)) bad(key, "is not an integer");
    return static_cast<int64_t>(number);
  }
  double to_number(std::string_view key, const Json& value) const {
    if (!value.is_number() || !std::isfinite(value.get<double>())) bad(key, "is not a number");
    return value.get<double>();
  }
  std::string to_text(std::string_view key, const Json& value) const {
    if (!value.is_string()) bad(key, "is not a text");
    return value.get<std::string>();
  }

  template <typename Convert>
  auto list(std::string_view key, Convert convert) {
    std::vector<decltype(convert(std::declval<const Json&>()))> result;
    const Json* value = take(key);
    if (value == nullptr) return result;
    if (!value->is_array()) {
      result.push_back(convert(*value));
      return result;
    }
    for (const Json& element : *value) result.push_back(convert(element));
    return result;
  }

  double rope_number(const Json* dictionary, std::string_view key, double fallback, double low, double high) const;
  RopeParameters rope(const Json* dictionary, double theta, double partial);
  const Json* rope_dictionary(std::string_view layer_type);
  void finish_object(const Json& object, bool (*harmless)(std::string_view)) const;
};

HfConfig::HfConfig(std::string_view json, std::string where) : state_(std::make_unique<State>()) {
  State& state = *state_;
  state.where = std::move(where);
  try {
    state.root = Json::parse(json);
  } catch (const Json::parse_error& error) {
    fail(Code::bad_model_file, state.where + ": it is not valid JSON (at byte " + std::to_string(error.byte) + ")");
  } catch (const Json::exception&) {
    fail(Code::bad_model_file, state.where + ": it holds a number that is out of range");
  }
  if (!state.root.is_object()) fail(Code::bad_model_file, state.where + ": it is not a JSON object");
  state.inner = &state.root;
  if (const Json* text = member(state.root, "text_config")) {
    if (!text->is_object()) state.bad("text_config", "is not an object");
    state.inner = text;
  }
  for (const std::string_view key : {"quantization_config", "compression_config"}) {
    if (const Json* config = state.find(key)) refuse_quantized(*config, state.where);
  }
}

HfConfig::~HfConfig() = default;
HfConfig::HfConfig(HfConfig&& other) noexcept = default;
HfConfig& HfConfig::operator=(HfConfig&& other) noexcept = default;

std::string HfConfig::model_type() { return text("model_type", ""); }

std::vector<std::string> HfConfig::architectures() { return texts("architectures"); }

bool HfConfig::has(std::string_view key) const { return state_->find(key) != nullptr; }

int64_t HfConfig::integer(std::string_view key) {
  const Json* value = state_->take(key);
  if (value == nullptr) state_->bad(key, "is missing");
  return state_->to_integer(key, *value);
}

int64_t HfConfig::integer(std::string_view key, int64_t fallback) {
  const Json* value = state_->take(key);
  return value == nullptr ? fallback : state_->to_integer(key, *value);
}

int HfConfig::count(std::string_view key) {
  const int64_t value = integer(key);
  if (value < 1 || value > std::numeric_limits<int>::max()) {
    state_->bad(key, "is " + std::to_string(value) + ", not a count from 1 on");
  }
  return static_cast<int>(value);
}

int HfConfig::count(std::string_view key, int fallback) {
  if (state_->take(key) == nullptr) return fallback;
  return count(key);
}

double HfConfig::number(std::string_view key) {
  const Json* value = state_->take(key);
  if (value == nullptr) state_->bad(key, "is missing");
  return state_->to_number(key, *value);
}

double HfConfig::number(std::string_view key, double fallback) {
  const Json* value = state_->take(key);
  return value == nullptr ? fallback : state_->to_number(key, *value);
}

bool HfConfig::boolean(std::string_view key, bool fallback) {
  const Json* value = state_->take(key);
  if (value == nullptr) return fallback;
  if (!value->is_boolean()) state_->bad(key, "is not true or false");
  return value->get<bool>();
}

std::string HfConfig::text(std::string_view key) {
  const Json* value = state_->take(key);
  if (value == nullptr) state_->bad(key, "is missing");
  return state_->to_text(key, *value);
}

std::string HfConfig::text(std::string_view key, std::string_view fallback) {
  const Json* value = state_->take(key);
  return value == nullptr ? std::string(fallback) : state_->to_text(key, *value);
}

std::vector<int64_t> HfConfig::integers(std::string_view key) {
  return state_->list(key, [&](const Json& value) { return state_->to_integer(key, value); });
}

std::vector<double> HfConfig::numbers(std::string_view key) {
  return state_->list(key, [&](const Json& value) { return state_->to_number(key, value); });
}

std::vector<std::string> HfConfig::texts(std::string_view key) {
  return state_->list(key, [&](const Json& value) { return state_->to_text(key, value); });
}

void HfConfig::accept(std::string_view key) { state_->take(key); }

void HfConfig::require(std::string_view key, bool value) {
  if (boolean(key, value) == value) return;
  state_->unsupported(printable(key) + " is " + (value ? "false" : "true") + ", which is not built for this family",
                      {});
}

void HfConfig::require(std::string_view key, int64_t value) {
  if (const int64_t found = integer(key, value); found != value) {
    state_->unsupported(printable(key) + " is " + std::to_string(found) + "; only " + std::to_string(value) +
                            " is built for this family",
                        {});
  }
}

void HfConfig::require(std::string_view key, double value) {
  if (const double found = number(key, value); found != value) {
    state_->unsupported(printable(key) + " is " + std::to_string(found) + "; only " + std::to_string(value) +
                            " is built for this family",
                        {});
  }
}

void HfConfig::require(std::string_view key, std::string_view value) {
  if (const std::string found = text(key, value); found != value) {
    state_->unsupported(
        printable(key) + " is " + printable(found) + "; only " + printable(value) + " is built for this family", {});
  }
}

double HfConfig::State::rope_number(const Json* dictionary, std::string_view key, double fallback, double low,
                                    double high) const {
  const Json* value = dictionary == nullptr ? nullptr : member(*dictionary, key);
  const double number = value == nullptr ? fallback : to_number(key, *value);
  if (!(number > low && number <= high)) bad(key, "is " + std::to_string(number) + ", which is out of range");
  return number;
}

/// The dictionary that holds this layer type's rope, or null where the file has none for it.
const Json* HfConfig::State::rope_dictionary(std::string_view layer_type) {
  const Json* scaling = take("rope_scaling");
  const Json* parameters = take("rope_parameters");
  for (const auto& [key, value] : {std::pair("rope_scaling", scaling), std::pair("rope_parameters", parameters)}) {
    if (value != nullptr && !value->is_object()) bad(key, "is not an object");
  }
  if (scaling != nullptr && !scaling->empty()) {
    if (parameters != nullptr && !parameters->empty()) bad("rope_scaling", "is given beside rope_parameters");
    return layer_type == "sliding_attention" ? nullptr : scaling;
  }
  if (parameters == nullptr || parameters->empty()) return nullptr;
  size_t nested = 0;
  for (const Json& value : *parameters) nested += value.is_object() || value.is_null() ? 1 : 0;
  if (nested == 0 || !(parameters->begin()->is_object() || parameters->begin()->is_null() || nested > 1)) {
    if (!layer_type.empty()) bad("rope_parameters", "does not say which layer types it is for");
    return parameters;
  }
  if (!layer_type.empty()) return member(*parameters, layer_type);
  if (parameters->size() > 1) unsupported("rope by layer type is not built for this family", kHintKeys);
  return &*parameters->begin();
}

RopeParameters HfConfig::State::rope(const Json* dictionary, double theta, double partial) {
  constexpr double kLarge = 1e30;
  RopeParameters result;
  result.theta = rope_number(dictionary, "rope_theta", theta, 0.0, kLarge);
  result.partial = rope_number(dictionary, "partial_rotary_factor", partial, 0.0, 1.0);
  if (dictionary == nullptr || dictionary->is_null()) return result;

  std::string name = "default";
  for (const std::string_view key : {"type", "rope_type"}) {
    if (const Json* value = member(*dictionary, key)) name = to_text(key, *value);
  }
  if (name == "linear") {
    result.scaling = RopeScaling::linear;
  } else if (name == "llama3") {
    result.scaling = RopeScaling::llama3;
  } else if (name != "default") {
    unsupported("the rope scaling " + printable(name) + " is not built",
                "built are default, linear and llama3; a model may have a form without long-context scaling");
  }
  constexpr std::string_view kKnown[] = {
      "rope_theta", "partial_rotary_factor", "rope_type",        "type",
      "factor",     "low_freq_factor",       "high_freq_factor", "original_max_position_embeddings"};
  for (const auto& [key, value] : dictionary->items()) {
    const bool known = std::ranges::find(kKnown, key) != std::end(kKnown);
    if (!known && !value.is_null()) unsupported("the rope key " + printable(key) + " is not understood", kHintKeys);
  }
  if (result.scaling == RopeScaling::none) return result;
  if (member(*dictionary, "factor") == nullptr) bad("factor", "of the rope scaling is missing");
  result.factor = rope_number(dictionary, "factor", 1.0, 0.0, kLarge);
  if (result.scaling == RopeScaling::linear) return result;
  result.low_freq_factor = rope_number(dictionary, "low_freq_factor", 1.0, 0.0, kLarge);
  result.high_freq_factor = rope_number(dictionary, "high_freq_factor", 4.0, 0.0, kLarge);
  if (result.high_freq_factor <= result.low_freq_factor) bad("high_freq_factor", "is not above low_freq_factor");
  // As transformers: the model's own key counts before the dictionary's, then the context itself.
  const Json* context = find("original_max_position_embeddings");
  if (context == nullptr) context = member(*dictionary, "original_max_position_embeddings");
  if (context == nullptr) context = find("max_position_embeddings");
  if (context == nullptr) bad("original_max_position_embeddings", "is missing");
  result.original_context = to_number("original_max_position_embeddings", *context);
  if (!(result.original_context >= 1.0)) bad("original_max_position_embeddings", "is below 1");
  return result;
}

RopeParameters HfConfig::rope(std::string_view layer_type, double default_theta, double default_partial) {
  const bool sliding = layer_type == "sliding_attention";
  const double global = number("rope_theta", default_theta);
  const double local = number("rope_local_base_freq", default_theta);
  const double partial = number("partial_rotary_factor", default_partial);
  accept("original_max_position_embeddings");
  return state_->rope(state_->rope_dictionary(layer_type), sliding ? local : global, partial);
}

void HfConfig::State::finish_object(const Json& object, bool (*harmless)(std::string_view)) const {
  for (const auto& [key, value] : object.items()) {
    if (value.is_null() || read.contains(key) || harmless(key)) continue;
    if (std::ranges::find(kMustBeFalse, key) != kMustBeFalse.end()) {
      if (value == false) continue;
      unsupported(printable(key) + " is set, which is not built", {});
    }
    unsupported("the key " + printable(key) + " is not understood", kHintKeys);
  }
}

void HfConfig::finish() const {
  state_->finish_object(*state_->inner, is_harmless_key);
  if (state_->inner != &state_->root) state_->finish_object(state_->root, is_harmless_outer_key);
}

}  // namespace autoglm
