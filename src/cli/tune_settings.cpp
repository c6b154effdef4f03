#include "cli/tune_settings.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <ctime>

#include "cli/model_store.h"
#include "cli/open.h"
#include "cli/tuned_settings.h"
#include "tune/workload.h"

namespace autoglm {
namespace {

double steady_now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// The workload without its text: how many requests it has, and how many come at once (0: any number).
struct Shape {
  int64_t requests = 0, users = 0;
};

Shape shape_of(const Settings& settings, const std::string& workload) {
  const auto users = settings.integer_if("workload.users");
  const bool open = settings.is_set("workload.rate");
  if (workload.ends_with(".jsonl")) {
    const auto lines = read_workload_lines(read_text(workload), workload);
    return {std::ssize(lines), open || (lines.front().at && !users) ? 0 : users.value_or(1)};
  }
  const WorkloadDefaults usual = workload_defaults(workload);
  return {settings.integer_if("workload.requests").value_or(usual.requests), open ? 0 : users.value_or(usual.users)};
}

SettingsTuning tuning_of(Context& context, const std::string& workload, double seconds) {
  const Settings& settings = context.settings();
  SettingsTuning tuning;
  tuning.run.model = model_path(context).string();
  tuning.run.workload = workload;
  tuning.run.common = given_words(settings);
  for (const LogicalCpu& cpu : context.machine().allowed) tuning.run.cpus.push_back(cpu.cpu);
  tuning.run.interrupted = [&context] { return context.interrupt().requested(); };
  if (const auto users = settings.integer_if("workload.users")) {
    tuning.run.common.insert(tuning.run.common.end(), {"--users", std::to_string(*users)});
  }
  if (settings.is_set("workload.rate")) {
    tuning.run.common.insert(tuning.run.common.end(), {"--rate", settings.as_word("workload.rate")});
  }
  tuning.goal = settings.text("tune.goal") == "throughput" ? Goal::throughput : Goal::latency;
  const Shape shape = shape_of(settings, workload);
  tuning.requests = shape.requests;
  tuning.fields = search_space(settings, context.machine(), shape.users);
  tuning.budget = seconds;
  tuning.clock = steady_now;
  tuning.note = [&context](const std::string& text) { context.note(text); };
  return tuning;
}

// What was found before, as changes of what holds now; nothing where a person has set one of them since.
std::optional<std::vector<SettingChange>> changes_of(const TunedResult& found, const std::vector<TunedField>& fields) {
  std::vector<SettingChange> changes;
  for (const auto& [key, value] : found.settings) {
    const auto field = std::ranges::find_if(fields, [&](const TunedField& f) { return f.setting->key == key; });
    if (field == fields.end() || std::ranges::find(field->values, value) == field->values.end()) return std::nullopt;
    changes.push_back({key, value, field->values.front()});
  }
  return changes;
}

}  // namespace

SettingsReport tune_settings_of(Context& context, double seconds) {
  const Settings& settings = context.settings();
  const std::string workload = settings.text_if("workload.name").value_or("chat");
  const SettingsTuning tuning = tuning_of(context, workload, seconds);
  SettingsReport report;
  report.workload = workload;
  report.goal = settings.text("tune.goal");
  report.fields = tuning.fields;
  const TunedKey key = tuned_key(context, tuning.run.model, workload_key(workload), report.goal);
  const auto store = open_tuning_store(context);
  if (store) report.path = tuning_store_path(*cache_folder(context)).string();
  const auto before = store && !settings.boolean("tune.again") ? store->find(key) : std::nullopt;
  if (before) {
    const auto changes = changes_of(*before, tuning.fields);
    if (changes && (changes->empty() || still_holds(tuning, *changes))) {
      report.reused = true;
      report.settings = *changes;
      report.gain = before->gain;
      report.gain_low = before->gain_low;
      report.gain_high = before->gain_high;
      report.measurements = before->measurements;
      return report;
    }
  }
  const TunedSettings tuned = tune_settings(tuning);
  report.settings = tuned.settings;
  if (!tuned.settings.empty()) {
    report.gain = 1 / tuned.ratio.ratio;
    report.gain_low = 1 / tuned.ratio.high;
    report.gain_high = 1 / tuned.ratio.low;
  }
  report.measurements = tuned.measurements;
  report.seconds = tuned.seconds;
  report.size = tuned.size;
  if (!store) return report;
  TunedResult result{.settings = {},
                     .gain = report.gain,
                     .gain_low = report.gain_low,
                     .gain_high = report.gain_high,
                     .measurements = report.measurements,
                     .measured_at = static_cast<int64_t>(std::time(nullptr)),
                     .workload = {},
                     .goal = {}};
  for (const SettingChange& change : tuned.settings) result.settings.emplace_back(change.key, change.value);
  store->put(key, result);
  return report;
}

nlohmann::json settings_json(const SettingsReport& report) {
  nlohmann::json rows = nlohmann::json::array();
  for (const SettingChange& change : report.settings) {
    rows.push_back({{"key", change.key}, {"value", change.value}, {"default", change.usual}});
  }
  return rows;
}

std::string settings_text(const SettingsReport& report, bool zh) {
  std::string out;
  for (const SettingChange& change : report.settings) {
    const Setting* setting = find_setting(change.key);
    out += fmt::format(fmt::runtime(zh ? "{:<22} {}（默认 {}）\n" : "{:<22} {} (default {})\n"), setting->flag,
                       change.value, change.usual);
  }
  if (report.settings.empty()) {
    out += fmt::format(fmt::runtime(zh ? "{}：没有比默认设置更好的\n" : "{}: nothing is better than the defaults\n"),
                       report.workload);
  } else {
    out += fmt::format(
        fmt::runtime(zh ? "{}（{}）：{:.2f} 倍（{:.2f} 到 {:.2f}）\n" : "{} ({}): {:.2f}x ({:.2f} to {:.2f})\n"),
        report.workload, report.goal, report.gain, report.gain_low, report.gain_high);
  }
  if (report.reused) {
    out += zh ? "之前的结果仍然有效；--again 重新测量\n" : "found before, and it still holds; --again measures anew\n";
  } else {
    out += fmt::format(fmt::runtime(zh ? "{} 次测量，{:.0f} 秒\n" : "{} measurements in {:.0f} s\n"),
                       report.measurements, report.seconds);
  }
  if (!report.path.empty()) out += fmt::format(fmt::runtime(zh ? "已保存到 {}\n" : "remembered in {}\n"), report.path);
  return out;
}

}  // namespace autoglm
