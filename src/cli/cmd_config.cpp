// `autoglm config`: every effective setting, with where it comes from and why.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "cli/help.h"
#include "cli/open.h"
#include "cli/profile.h"
#include "cli/tuned_settings.h"
#include "engine/chat.h"

namespace autoglm {
namespace {

// What belongs to one call rather than to a configuration.
bool of_this_call(const Setting& setting) {
  return setting.hidden || setting.key == "config" || setting.key == "json" || setting.key == "quiet";
}

std::vector<std::string_view> shown_keys() {
  std::vector<std::string_view> keys;
  for (const Setting& setting : settings_table()) {
    if (takes("config", setting) && !of_this_call(setting)) keys.push_back(setting.key);
  }
  return keys;
}

nlohmann::json json_value(const Settings& settings, const Setting& setting) {
  if (!settings.is_set(setting.key)) {
    return setting.default_value == "auto" ? nlohmann::json("auto") : nlohmann::json();
  }
  switch (setting.type) {
    case SettingType::boolean:
      return settings.boolean(setting.key);
    case SettingType::integer:
      return settings.integer(setting.key);
    case SettingType::real:
      return settings.real(setting.key);
    case SettingType::list:
      return settings.list(setting.key);
    case SettingType::ids:
      return settings.ids(setting.key);
    case SettingType::size:
    case SettingType::duration:
      return settings.to_yaml_value(setting.key);  // with its unit
    case SettingType::choice:
    case SettingType::text:
    case SettingType::path:
      return settings.text(setting.key);
  }
  return {};
}

// What MODEL adds: its makers' sampling values, and what the profile comes to for it in this memory.
void suggest_from_model(Context& context) {
  const std::shared_ptr<const ModelSource> source = open_source(context);
  const SamplingDefaults defaults = sampling_defaults(*source);
  const auto suggest = [&](std::string_view key, const std::string& value, const std::string& reason) {
    // What a file recommends but no flag may say stays unsaid here; the engine checks it when it is used.
    if (!parse_setting(*find_setting(key), value).error.empty()) return;
    context.mutable_settings().set(key, value, Origin::machine, reason);
  };
  const SamplingParams& sampling = defaults.params;
  suggest("sampling.temperature", fmt::format("{}", sampling.temperature), defaults.origin);
  suggest("sampling.top_k", fmt::format("{}", sampling.top_k), defaults.origin);
  suggest("sampling.top_p", fmt::format("{}", sampling.top_p), defaults.origin);
  suggest("sampling.min_p", fmt::format("{}", sampling.min_p), defaults.origin);
  suggest("sampling.repetition_penalty", fmt::format("{}", sampling.repetition_penalty), defaults.origin);
  apply_profile_to_model(context, *source, open_runtime(context));
}

int run(Context& context) {
  const Settings& settings = context.settings();
  if (settings.is_set("docs")) {
    context.print(config_document(settings.text("docs") == "zh" ? Language::zh : Language::en));
    return 0;
  }
  if (context.has_argument("MODEL")) {
    apply_tuned(context);
    suggest_from_model(context);
  }
  const std::vector<std::string_view> keys = shown_keys();
  if (!context.json()) {
    context.print(settings.to_yaml(keys, context.language()));
    return 0;
  }
  nlohmann::json rows = nlohmann::json::array();
  for (const std::string_view key : keys) {
    rows.push_back({{"key", key},
                    {"value", json_value(settings, *find_setting(key))},
                    {"origin", name(settings.origin(key))},
                    {"reason", settings.reason(key)}});
  }
  context.print_json({{"settings", rows}});
  return 0;
}

}  // namespace

const Command kConfig = {
    .name = "config",
    .summary = {"each effective setting, where it comes from and why", "每个生效的设置、来源及原因"},
    .positionals = {{"MODEL", false, {"the model whose settings are wanted", "要查看其设置的模型"}}},
    .details =
        {"The output is YAML that --config takes again. Origins: flag, environment, file, profile, machine, "
         "default; the first of them that says something holds.\n"
         "With MODEL and --profile, this is the profile written out for this machine: threads, context, keys and "
         "values, requests at once, tokens a step, speculation and precision, each with its reason.",
         "输出是可以再用 --config 读入的 YAML。来源依次为：flag、environment、file、profile、machine、default；"
         "最先给出值的来源生效。\n"
         "给出 MODEL 和 --profile 时，输出该配置档在本机上对应的设置：线程、上下文、键值缓存、同时处理的请求数、"
         "每步 token 数、推测和精度，每项都附原因。"},
    .examples = {{"autoglm config > my.yaml", {"write down what holds now", "保存当前生效的设置"}},
                 {"autoglm config model.gguf --profile efficient",
                  {"what a profile means here", "配置档在本机意味着什么"}},
                 {"autoglm config --config my.yaml --threads 2",
                  {"what holds when a flag is added", "加上一个选项后生效的设置"}}},
    .json_keys = "settings[{key, value, origin, reason}]",
    .run = run,
};

}  // namespace autoglm
