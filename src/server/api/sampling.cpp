#include "server/api/sampling.h"

#include <fmt/format.h>

#include <charconv>

namespace autoglm {
namespace {

constexpr size_t kMostStops = 64;
constexpr size_t kLongestStop = 4096;

void read_bias(Fields& fields, const Served& served, std::map<int32_t, float>& bias) {
  const Json* object = fields.object("logit_bias");
  if (object == nullptr) return;
  for (const auto& [key, value] : object->items()) {
    int32_t token = -1;
    const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), token);
    if (error != std::errc{} || end != key.data() + key.size() || token < 0 || token >= served.vocabulary) {
      fields.refuse("logit_bias", fmt::format("names '{}', which is no token", key.substr(0, 40)),
                    fmt::format("token ids go from 0 to {}", served.vocabulary - 1));
    }
    if (!value.is_number() || !(value.get<double>() >= -100 && value.get<double>() <= 100)) {
      fields.refuse("logit_bias", fmt::format("gives token {} something else than a number from -100 to 100", token));
    }
    bias[token] = value.get<float>();
  }
}

}  // namespace

std::vector<std::string> read_stops(Fields& fields, std::string_view name) {
  std::vector<std::string> stops = fields.texts(name, kMostStops);
  for (const std::string& stop : stops) {
    if (stop.empty()) fields.refuse(name, "has an empty string", "leave it out");
    if (stop.size() > kLongestStop) fields.refuse(name, fmt::format("has a string of {} bytes", stop.size()));
  }
  return stops;
}

uint64_t seed_of(int64_t given) {
  const auto seed = static_cast<uint64_t>(given);
  return seed != 0 ? seed : 0x9E3779B97F4A7C15ULL;
}

Request read_request(Fields& fields, const Served& served, const HttpRequest& http) {
  Request request = served.defaults;
  SamplingParams& params = request.sampling;
  const auto real = [&fields](std::string_view name, double low, double high, float& value) {
    if (const auto given = fields.number(name, low, high)) value = static_cast<float>(*given);
  };
  real("temperature", 0, 100, params.temperature);
  if (const auto top_p = fields.number("top_p", 0, 1)) params.top_p = std::max(static_cast<float>(*top_p), 1e-5f);
  real("min_p", 0, 1, params.min_p);
  real("presence_penalty", -2, 2, params.presence_penalty);
  real("frequency_penalty", -2, 2, params.frequency_penalty);
  real("repetition_penalty", 0.01, 100, params.repetition_penalty);
  real("repeat_penalty", 0.01, 100, params.repetition_penalty);  // llama-server's name
  if (const auto top_k = fields.integer("top_k", -1, 1 << 30))
    params.top_k = static_cast<int>(std::max<int64_t>(0, *top_k));
  if (const auto seed = fields.integer("seed", INT64_MIN, INT64_MAX)) params.seed = seed_of(*seed);
  read_bias(fields, served, params.logit_bias);
  request.stop = read_stops(fields, "stop");
  request.ignore_eos = fields.boolean("ignore_eos").value_or(false);
  request.client = http.client;
  return request;
}

void ignore_harmless(Fields& fields) {
  fields.ignore({"user", "metadata", "store", "service_tier", "keep_alive", "safety_identifier", "prompt_cache_key",
                 "prompt_cache_retention", "cache_prompt"});
}

bool read_include_usage(Fields& fields, bool stream) {
  const Json* options = fields.object("stream_options");
  if (options == nullptr) return false;
  if (!stream) fields.refuse("stream_options", "is given without stream");
  Fields inner(*options, "stream_options.");
  const bool usage = inner.boolean("include_usage").value_or(false);
  inner.only("include_obfuscation", false, "nothing is added to hide lengths");
  inner.done();
  return usage;
}

std::vector<Request> copies(const Request& request, int64_t n) {
  std::vector<Request> requests(static_cast<size_t>(n), request);
  if (request.sampling.seed == 0) return requests;
  for (size_t i = 1; i < requests.size(); ++i) {
    requests[i].sampling.seed = seed_of(static_cast<int64_t>(request.sampling.seed + i));
  }
  return requests;
}

}  // namespace autoglm
