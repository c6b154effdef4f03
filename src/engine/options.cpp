#include "engine/options.h"

namespace autoglm {
namespace {

Batching batching_of(const std::string& mode) {
  if (mode == "none") return Batching::none;
  if (mode == "static") return Batching::fixed;
  return mode == "dynamic" ? Batching::dynamic : Batching::continuous;
}

double seconds_or_none(const Settings& settings, std::string_view key) {
  return settings.is_set(key) ? 1e-6 * static_cast<double>(settings.microseconds(key)) : 0;
}

}  // namespace

EngineOptions single_options(const Settings& settings) {
  EngineOptions options;
  options.speculation = settings.text("speculation") == "off" ? Speculation::off : Speculation::automatic;
  options.policy.prefix_cache = settings.boolean("kv_cache.prefix_cache");
  return options;
}

EngineOptions serving_options(const Settings& settings, std::vector<std::string>& notes) {
  EngineOptions options = single_options(settings);
  options.policy.batching = batching_of(settings.text("batching.mode"));
  options.policy.window = 1e-6 * static_cast<double>(settings.integer("batching.timeout_microseconds"));
  options.policy.target_gap = seconds_or_none(settings, "server.target_itl");
  options.max_sequences = options.policy.batching == Batching::none ? 1 : settings.integer("batching.max_batch_size");
  options.max_queue = settings.integer("server.max_queue");
  options.deadlines = {.queue = seconds_or_none(settings, "server.deadlines.queue"),
                       .prefill = seconds_or_none(settings, "server.deadlines.prefill"),
                       .decode = seconds_or_none(settings, "server.deadlines.decode")};
  if (settings.given("batching.enable_padding") && settings.boolean("batching.enable_padding")) {
    constexpr Text kPadding = {
        "batching.enable_padding has no effect: requests of any length share a step, and no row is padding",
        "batching.enable_padding 不起作用：任意长度的请求共用一个计算步，没有填充行"};
    notes.emplace_back(kPadding.in(settings.language()));
  }
  return options;
}

}  // namespace autoglm
