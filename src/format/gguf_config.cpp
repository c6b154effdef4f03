#include "format/gguf_config.h"

#include <cmath>
#include <limits>

#include "base/error.h"
#include "format/printable.h"

namespace autoglm {
namespace {

[[noreturn]] void bad(const std::string& key, const std::string& why) {
  fail(Code::bad_model_file, "the metadata key " + printable(key) + " " + why);
}

double finite(const std::string& key, double value) {
  if (!std::isfinite(value)) bad(key, "is not a finite number");
  return value;
}

}  // namespace

GgufConfig::GgufConfig(const Metadata& metadata)
    : metadata_(&metadata), architecture_(metadata.text("general.architecture")) {
  accept("pooling_type");  // of embeddings (engine/embedding.h): what the layers compute is the same
}

std::string GgufConfig::full(std::string_view key) const { return architecture_ + "." + std::string(key); }

const MetaValue* GgufConfig::take(std::string_view key) {
  std::string name = full(key);
  const MetaValue* value = metadata_->find(name);
  read_.insert(std::move(name));
  return value;
}

bool GgufConfig::has(std::string_view key) const { return metadata_->has(full(key)); }

int64_t GgufConfig::integer(std::string_view key) {
  take(key);
  return metadata_->integer(full(key));
}

int64_t GgufConfig::integer(std::string_view key, int64_t fallback) {
  take(key);
  return metadata_->integer(full(key), fallback);
}

int GgufConfig::count(std::string_view key) {
  const int64_t value = integer(key);
  if (value < 1 || value > std::numeric_limits<int>::max()) {
    bad(full(key), "is " + std::to_string(value) + ", not a count from 1 on");
  }
  return static_cast<int>(value);
}

int GgufConfig::count(std::string_view key, int fallback) {
  take(key);
  return has(key) ? count(key) : fallback;
}

double GgufConfig::number(std::string_view key) {
  take(key);
  return finite(full(key), metadata_->number(full(key)));
}

double GgufConfig::number(std::string_view key, double fallback) {
  take(key);
  return finite(full(key), metadata_->number(full(key), fallback));
}

bool GgufConfig::boolean(std::string_view key, bool fallback) {
  take(key);
  return metadata_->boolean(full(key), fallback);
}

std::string GgufConfig::text(std::string_view key, std::string_view fallback) {
  take(key);
  return metadata_->text(full(key), fallback);
}

std::vector<int64_t> GgufConfig::per_layer(std::string_view key, int layers) {
  const MetaValue* value = take(key);
  const std::string name = full(key);
  if (value == nullptr) bad(name, "is missing");
  if (const auto* one = std::get_if<int64_t>(value)) return std::vector<int64_t>(static_cast<size_t>(layers), *one);
  const std::vector<int64_t>& list = *metadata_->integers(name);
  if (list.size() < static_cast<size_t>(layers)) {
    bad(name, "has " + std::to_string(list.size()) + " values for " + std::to_string(layers) + " layers");
  }
  return {list.begin(), list.begin() + layers};
}

std::vector<int64_t> GgufConfig::per_layer(std::string_view key, int layers, int64_t fallback) {
  if (take(key) == nullptr) return std::vector<int64_t>(static_cast<size_t>(layers), fallback);
  return per_layer(key, layers);
}

std::vector<bool> GgufConfig::flags(std::string_view key, int layers) {
  const MetaValue* value = take(key);
  const auto* array = value == nullptr ? nullptr : std::get_if<MetaArray>(value);
  if (array == nullptr) return {};
  std::vector<bool> result;
  if (const auto* booleans = std::get_if<std::vector<bool>>(array)) {
    result = *booleans;
  } else {
    for (const int64_t element : *metadata_->integers(full(key))) result.push_back(element != 0);
  }
  if (result.size() < static_cast<size_t>(layers)) {
    bad(full(key), "has " + std::to_string(result.size()) + " values for " + std::to_string(layers) + " layers");
  }
  result.resize(static_cast<size_t>(layers));
  return result;
}

RopeParameters GgufConfig::rope(double default_theta, std::string_view base_key) {
  RopeParameters result;
  result.theta = number(base_key, default_theta);
  if (!(result.theta > 0.0)) bad(full(base_key), "is not above 0");
  if (has("rope.dimension_count")) result.dims = count("rope.dimension_count");
  take("rope.dimension_count");

  const std::string type = text("rope.scaling.type", "none");
  // Files from before October 2023 have only the inverse factor of linear scaling.
  const double old = number("rope.scale_linear", 1.0);
  result.factor = number("rope.scaling.factor", old);
  if (!(result.factor > 0.0)) bad(full("rope.scaling.factor"), "is not above 0");
  if (type == "linear" || (type == "none" && !has("rope.scaling.type") && result.factor != 1.0)) {
    result.scaling = RopeScaling::linear;
  } else if (type != "none") {
    fail(Code::unsupported_model, "the rope scaling " + printable(type) + " is not built",
         "built are linear scaling and llama3's (a tensor rope_freqs); a model may have a form without long context");
  } else {
    result.factor = 1.0;
  }
  // Of what was learned or computed with scaling; without a scaling that uses them they say nothing.
  accept("rope.scaling.finetuned");
  accept("rope.scaling.original_context_length");
  if (number("rope.scaling.attn_factor", 1.0) != 1.0) {
    fail(Code::unsupported_model, "rope.scaling.attn_factor is not built");
  }
  return result;
}

void GgufConfig::accept(std::string_view key) { take(key); }

void GgufConfig::require(std::string_view key, int64_t value) {
  if (const int64_t found = integer(key, value); found != value) {
    fail(Code::unsupported_model, "the metadata key " + printable(full(key)) + " is " + std::to_string(found) +
                                      "; only " + std::to_string(value) + " is built for this family");
  }
}

void GgufConfig::finish() const {
  const std::string prefix = architecture_ + ".";
  for (const auto& [key, value] : metadata_->all()) {
    if (!key.starts_with(prefix) || read_.contains(key)) continue;
    fail(Code::unsupported_model, "the metadata key " + printable(key) + " is not understood",
         "nothing that may change the model's mathematics is ignored; if the key has no such effect, report it");
  }
}

}  // namespace autoglm
