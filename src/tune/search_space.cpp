#include "tune/search_space.h"

#include <algorithm>

namespace autoglm {
namespace {

std::vector<std::string> split(std::string_view values) {
  std::vector<std::string> out;
  for (size_t at = 0; at < values.size();) {
    const size_t end = std::min(values.find('|', at), values.size());
    out.emplace_back(values.substr(at, end - at));
    at = end + 1;
  }
  return out;
}

// One, half and all of the physical cores, and all that the system shows.
std::vector<std::string> thread_counts(const Machine& machine) {
  const int logical = std::max<int>(1, static_cast<int>(machine.allowed.size()));
  const int cores = std::clamp(machine.physical_cores, 1, logical);
  std::vector<int> counts = {1, cores / 2, machine.threads(), cores, logical};
  std::ranges::sort(counts);
  std::vector<std::string> out;
  for (const int count : counts) {
    const std::string text = std::to_string(count);
    if (count >= 1 && (out.empty() || out.back() != text)) out.push_back(text);
  }
  return out;
}

// With so few requests at once, so many places and more are all the same: the fewest of them will do.
void leave_out_idle_places(std::vector<std::string>& values, int64_t users) {
  if (users <= 0 || values.empty() || std::stoll(values.front()) < users) return;
  std::erase_if(values,
                [&, first = values.front()](const std::string& v) { return v != first && std::stoll(v) >= users; });
}

// What no flag may say is not for a child: the configuration file's values come as words, each for itself.
bool of_one_call(const Setting& setting) {
  return setting.key == "json" || setting.key == "quiet" || setting.key == "config" || setting.key == "lang" ||
         setting.key == "log_level" || setting.key == "model" || setting.key == "bench.sweep" ||
         setting.key == "bench.report" || setting.key.starts_with("workload.") || setting.key == "tuned" ||
         setting.key.starts_with("tune.");
}

}  // namespace

std::vector<TunedField> search_space(const Settings& settings, const Machine& machine, int64_t users) {
  std::vector<TunedField> fields;
  for (const Setting& setting : settings_table()) {
    if (setting.tune.empty() || settings.origin(setting.key) <= Origin::profile) continue;
    // What --precision f32 asks of keys and values is not to be weighed.
    if (setting.key == "kv_cache.type" && settings.text("precision.strategy") == "f32") continue;
    TunedField field{.setting = &setting, .values = {settings.as_word(setting.key)}};
    for (std::string& value : setting.tune == "@threads" ? thread_counts(machine) : split(setting.tune)) {
      if (value != field.values.front()) field.values.push_back(std::move(value));
    }
    if (setting.key == "batching.max_batch_size") leave_out_idle_places(field.values, users);
    if (field.values.size() > 1) fields.push_back(std::move(field));
  }
  return fields;
}

std::vector<std::string> words_of(const std::vector<TunedField>& fields, const std::vector<int>& choice) {
  std::vector<std::string> words;
  for (size_t i = 0; i < fields.size(); ++i) {
    words.emplace_back(fields[i].setting->flag);
    words.push_back(fields[i].values[static_cast<size_t>(choice[i])]);
  }
  return words;
}

std::vector<std::string> given_words(const Settings& settings) {
  std::vector<std::string> words;
  for (const Setting& setting : settings_table()) {
    if (!settings.given(setting.key) || !takes("bench", setting) || of_one_call(setting)) continue;
    if (setting.type == SettingType::boolean) {
      words.push_back(settings.boolean(setting.key) ? std::string(setting.flag)
                                                    : "--no-" + std::string(setting.flag.substr(2)));
    } else if (setting.type == SettingType::list) {
      for (const std::string& value : settings.list(setting.key)) {
        words.emplace_back(setting.flag);
        words.push_back(value);
      }
    } else {
      words.emplace_back(setting.flag);
      words.push_back(settings.as_word(setting.key));
    }
  }
  return words;
}

}  // namespace autoglm
