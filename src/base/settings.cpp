#include "base/settings.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/error.h"

namespace autoglm {
namespace {

size_t index_of(std::string_view key) {
  const Setting* setting = find_setting(key);
  AUTOGLM_CHECK(setting != nullptr, "no setting is called " + std::string(key));
  return static_cast<size_t>(setting - settings_table().data());
}

Code code_of(Origin origin) { return origin == Origin::file ? Code::bad_config : Code::bad_flag; }

// What Kubernetes and Docker put into the environment for a service called "autoglm": no settings of ours.
bool from_an_orchestrator(std::string_view name, std::string_view value) {
  if (name.find("_SERVICE_") != std::string_view::npos) return true;
  for (const std::string_view scheme : {"tcp://", "udp://", "sctp://"}) {
    if (value.starts_with(scheme)) return true;
  }
  constexpr std::string_view kPort = "AUTOGLM_PORT_";  // AUTOGLM_PORT_8080_TCP_ADDR
  return name.starts_with(kPort) && name.size() > kPort.size() && name[kPort.size()] >= '0' &&
         name[kPort.size()] <= '9';
}

// Why the default holds; the longer stories are told by whoever decides (origin machine).
constexpr std::string_view kDefaultReason = "built in";

}  // namespace

Settings::Settings() {
  for (const Setting& setting : settings_table()) {
    Entry entry;
    entry.reason = kDefaultReason;
    if (!setting.default_value.empty()) {
      ParsedSetting parsed = parse_setting(setting, setting.default_value);
      AUTOGLM_CHECK(parsed.error.empty(), "bad default of " + std::string(setting.key));
      entry.value = std::move(parsed.value);
    }
    entries_.push_back(std::move(entry));
  }
}

void Settings::set(std::string_view key, std::string_view text, Origin origin, std::string reason,
                   std::string_view place, bool append) {
  const size_t index = index_of(key);
  const Setting& setting = settings_table()[index];
  ParsedSetting parsed = parse_setting(setting, text);
  if (!parsed.error.empty()) {
    std::string shown(text.substr(0, 80));
    std::replace(shown.begin(), shown.end(), '\0', ' ');
    fail(code_of(origin), fmt::format("{}: '{}' {}", place.empty() ? key : place, shown, parsed.error), parsed.hint);
  }
  Entry& entry = entries_[index];
  if (entry.origin < origin) return;  // a stronger one has spoken; this one was still checked
  if (append && entry.origin == origin && setting.type == SettingType::list) {
    parsed.value.list.insert(parsed.value.list.begin(), entry.value.list.begin(), entry.value.list.end());
  }
  entry = {std::move(parsed.value), origin, std::move(reason)};
}

void Settings::clear(std::string_view key, Origin origin, std::string reason) {
  Entry& entry = entries_[index_of(key)];
  if (entry.origin >= origin) entry = {SettingValue{}, origin, std::move(reason)};
}

std::vector<std::string> Settings::load_environment(std::span<const std::string> environment) {
  std::vector<std::string> names;
  std::vector<std::string_view> views;
  for (const Setting& setting : settings_table()) names.push_back(environment_name(setting));
  views.assign(names.begin(), names.end());
  std::vector<std::string> warnings;
  for (const std::string& line : environment) {
    const size_t equals = line.find('=');
    if (!line.starts_with("AUTOGLM_") || equals == std::string::npos) continue;
    const std::string_view name = std::string_view(line).substr(0, equals);
    const std::string_view value = std::string_view(line).substr(equals + 1);
    if (from_an_orchestrator(name, value)) continue;
    const auto found = std::find(names.begin(), names.end(), name);
    if (found == names.end()) {
      const std::string near = nearest(name, views.data(), views.size());
      warnings.push_back(fmt::format("the environment's {} is no setting{}", name,
                                     near.empty() ? "" : fmt::format("; did you mean {}?", near)));
      continue;
    }
    const Setting& setting = settings_table()[static_cast<size_t>(found - names.begin())];
    // An empty name is how a shell or a compose file says "not set"; only a text may be empty on purpose.
    if (value.empty() && setting.type != SettingType::text) continue;
    set(setting.key, value, Origin::environment, std::string(name), name);
  }
  return warnings;
}

void Settings::apply_profile(Language language) {
  const std::string& profile = text("profile");
  for (const ProfileValue& row : profile_values()) {
    if (row.profile == profile) {
      set(row.key, row.value, Origin::profile, fmt::format("{}: {}", row.profile, row.reason.in(language)));
    }
  }
}

const Settings::Entry& Settings::entry(std::string_view key) const { return entries_[index_of(key)]; }

const SettingValue& Settings::typed(std::string_view key, SettingType type, SettingType other) const {
  const size_t index = index_of(key);
  const Setting& setting = settings_table()[index];
  AUTOGLM_CHECK(setting.type == type || setting.type == other, "another type is asked of " + std::string(key));
  AUTOGLM_CHECK(entries_[index].value.is_set, "a value is asked of an undecided " + std::string(key));
  return entries_[index].value;
}

bool Settings::is_set(std::string_view key) const { return entry(key).value.is_set; }

bool Settings::boolean(std::string_view key) const {
  return typed(key, SettingType::boolean, SettingType::boolean).integer != 0;
}

int64_t Settings::integer(std::string_view key) const {
  return typed(key, SettingType::integer, SettingType::integer).integer;
}

double Settings::real(std::string_view key) const { return typed(key, SettingType::real, SettingType::integer).real; }

int64_t Settings::bytes(std::string_view key) const { return typed(key, SettingType::size, SettingType::size).integer; }

int64_t Settings::microseconds(std::string_view key) const {
  return typed(key, SettingType::duration, SettingType::duration).integer;
}

const std::string& Settings::text(std::string_view key) const {
  const SettingType type = settings_table()[index_of(key)].type;
  AUTOGLM_CHECK(type == SettingType::choice || type == SettingType::text || type == SettingType::path,
                "a text is asked of " + std::string(key));
  return entry(key).value.text;
}

const std::vector<std::string>& Settings::list(std::string_view key) const {
  AUTOGLM_CHECK(settings_table()[index_of(key)].type == SettingType::list, "a list is asked of " + std::string(key));
  return entry(key).value.list;
}

const std::vector<int64_t>& Settings::ids(std::string_view key) const {
  AUTOGLM_CHECK(settings_table()[index_of(key)].type == SettingType::ids, "ids are asked of " + std::string(key));
  return entry(key).value.ids;
}

std::optional<int64_t> Settings::integer_if(std::string_view key) const {
  return is_set(key) ? std::optional(integer(key)) : std::nullopt;
}

std::optional<double> Settings::real_if(std::string_view key) const {
  return is_set(key) ? std::optional(real(key)) : std::nullopt;
}

std::optional<int64_t> Settings::bytes_if(std::string_view key) const {
  return is_set(key) ? std::optional(bytes(key)) : std::nullopt;
}

std::optional<std::string> Settings::text_if(std::string_view key) const {
  return is_set(key) ? std::optional(text(key)) : std::nullopt;
}

Origin Settings::origin(std::string_view key) const { return entry(key).origin; }

const std::string& Settings::reason(std::string_view key) const { return entry(key).reason; }

bool Settings::given(std::string_view key) const { return origin(key) <= Origin::file; }

Language Settings::language() const { return text("lang") == "zh" ? Language::zh : Language::en; }

}  // namespace autoglm
