#include "cli/tuned_settings.h"

#include <fmt/format.h>
#include <xxhash.h>

#include <algorithm>
#include <vector>

#include "base/log.h"
#include "base/mmap.h"
#include "cli/model_store.h"
#include "cli/open.h"
#include "cli/version.h"
#include "kernels/backend.h"

namespace autoglm {
namespace {

namespace fs = std::filesystem;

std::string file_key(const fs::path& file) {
  const auto stamp = stamp_of(file);
  if (!stamp) return {};
  return fmt::format("{} {} {}\n", file.filename().string(), stamp->size, stamp->modified_ns);
}

// MODEL, if it is on this machine.
std::optional<fs::path> model_here(const Context& context) {
  const std::string& name = context.argument("MODEL");
  if (name.empty()) return std::nullopt;
  std::error_code ignored;
  if (parse_model_name(name).kind == ModelName::Kind::path) {
    return fs::exists(name, ignored) ? std::optional<fs::path>(name) : std::nullopt;
  }
  return resolve_model(open_store(context), name);
}

// Puts what was found into the settings, where a person has not said otherwise.
void use(Context& context, const TunedResult& found) {
  Settings& settings = context.mutable_settings();
  std::string said;
  for (const auto& [key, value] : found.settings) {
    const Setting& setting = *find_setting(key);
    if (!takes(context.command().name, setting) || settings.given(key)) continue;
    // What --precision f32 implies is no matter of speed.
    if (key == "kv_cache.type" && settings.text("precision.strategy") == "f32") continue;
    settings.set(key, value, Origin::machine,
                 fmt::format("autoglm tune, {:.2f}x for {}, {}", found.gain, found.workload, found.goal));
    if (settings.as_word(key) == value) said += fmt::format(" {} {}", setting.flag, value);
  }
  if (said.empty()) return;
  const bool zh = context.language() == Language::zh;
  context.note(
      fmt::format(fmt::runtime(zh ? "autoglm tune 找到的设置（{}，{}，{:.2f} 倍）：{}；--tuned none 则不使用"
                                  : "settings that autoglm tune found ({}, {}, {:.2f}x):{}; --tuned none leaves "
                                    "them out"),
                  found.workload, found.goal, found.gain, said));
}

// What was asked for by name was not found; `other` is what there is for this model instead.
void say_nothing_found(const Context& context, const std::string& workload, const std::string& goal,
                       const std::optional<TunedResult>& other) {
  const bool zh = context.language() == Language::zh;
  const std::string between = zh ? "，" : ", ";
  const std::string asked = workload + (workload.empty() || goal.empty() ? "" : between) + goal;
  std::string text = fmt::format(fmt::runtime(zh ? "autoglm tune 在本机没有为此模型找到 {} 的结果，使用默认设置"
                                                 : "autoglm tune has found nothing here for {}: the defaults are used"),
                                 asked);
  if (other) {
    text += fmt::format(fmt::runtime(zh ? "；已有的最近结果：{}，{}" : "; what it found last is for {}, {}"),
                        other->workload, other->goal);
  }
  context.note(text);
}

}  // namespace

std::string machine_key(const Context& context) {
  const Machine& machine = context.machine();
  constexpr int64_t kGiB = int64_t{1} << 30;
  const int64_t memory = machine.memory_limit.value_or(machine.memory_total);
  return fmt::format("{}; {} of {} CPUs, {} cores, quota {}; {} GiB; {}; {}", machine.model, machine.allowed.size(),
                     machine.logical_cpus, machine.physical_cores,
                     machine.cpu_quota ? fmt::format("{:.2f}", *machine.cpu_quota) : "none", (memory + kGiB / 2) / kGiB,
                     machine.huge_pages, context.settings().text_if("runtime.isa").value_or("auto"));
}

std::string model_key(const fs::path& model) {
  std::string text;
  std::error_code ignored;
  if (fs::is_directory(model, ignored)) {
    std::vector<std::string> files;
    for (const fs::directory_entry& entry : fs::directory_iterator(model, ignored)) {
      if (entry.is_regular_file(ignored)) files.push_back(file_key(entry.path()));
    }
    std::ranges::sort(files);
    for (const std::string& file : files) text += file;
  } else {
    text = file_key(model);
  }
  return fmt::format("{} {:016x}", model.filename().string(), XXH3_64bits(text.data(), text.size()));
}

std::string workload_key(const std::string& workload) {
  if (!workload.ends_with(".jsonl")) return workload;
  const std::string text = read_text(workload);
  return fmt::format("file {} {:016x}", fs::path(workload).filename().string(), XXH3_64bits(text.data(), text.size()));
}

TunedKey tuned_key(const Context& context, const fs::path& model, const std::string& workload,
                   const std::string& goal) {
  return {.machine = machine_key(context),
          .model = model_key(model),
          .version = fmt::format("{} {}", program_version(), program_commit()),
          .workload = workload,
          .goal = goal};
}

std::unique_ptr<TuningStore> open_tuning_store(const Context& context) {
  const auto cache = cache_folder(context);
  if (!cache || !context.settings().boolean("cache.enabled")) return nullptr;
  return std::make_unique<TuningStore>(tuning_store_path(*cache));
}

bool has_tuning_store(const Context& context) {
  const auto cache = cache_folder(context);
  std::error_code ignored;
  return cache && context.settings().boolean("cache.enabled") && fs::exists(tuning_store_path(*cache), ignored);
}

void apply_tuned(Context& context) {
  const Settings& asked = context.settings();
  const std::string workload = asked.text_if("tuned").value_or(""), goal = asked.text_if("tuned_goal").value_or("");
  if (workload == "none") return;
  const auto model = model_here(context);
  if (!model) return;
  std::optional<TunedResult> found, other;
  try {
    if (has_tuning_store(context)) {
      const auto store = open_tuning_store(context);
      found = store->find(tuned_key(context, *model, workload, goal));
      if (!found) other = store->find(tuned_key(context, *model, "", ""));
    }
  } catch (const Error& error) {
    log(LogLevel::warn, fmt::format("what autoglm tune found is not used: {}", error.what()));
    return;
  }
  if (!found) {
    const bool by_name = !workload.empty() || !goal.empty();
    if (by_name && asked.boolean("cache.enabled")) say_nothing_found(context, workload, goal, other);
    return;
  }
  use(context, *found);
}

}  // namespace autoglm
