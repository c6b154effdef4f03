// tune: settings by measurement: those of the kernels, and those of the table with a workload.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>
#include <optional>

#include "cli/commands.h"
#include "cli/tune_kernels.h"
#include "cli/tune_settings.h"

namespace autoglm {
namespace {

int run(Context& context) {
  const Settings& settings = context.settings();
  if (!settings.boolean("tune.kernels") && !settings.boolean("tune.settings")) {
    fail(Code::bad_flag, "--no-kernels and --no-settings leave nothing to measure", "leave one of them out");
  }
  const auto begin = std::chrono::steady_clock::now();
  std::optional<KernelReport> kernels;
  if (settings.boolean("tune.kernels")) kernels = tune_kernels(context);
  std::optional<SettingsReport> found;
  if (settings.boolean("tune.settings")) {
    const double spent = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    const double budget = 1e-6 * static_cast<double>(settings.microseconds("tune.time_budget"));
    found = tune_settings_of(context, std::max(1.0, budget - spent));
  }
  if (!context.json()) {
    const bool zh = context.language() == Language::zh;
    if (kernels) context.print(kernel_text(*kernels, zh));
    if (found) context.print(settings_text(*found, zh));
    return 0;
  }
  nlohmann::json object = {{"settings", nlohmann::json::array()}, {"gain", found ? found->gain : kernels->gain}};
  const auto add = [&](const nlohmann::json& rows) {
    for (const nlohmann::json& row : rows) object["settings"].push_back(row);
  };
  if (kernels) {
    add(kernel_settings_json(*kernels));
    object["kernel_gain"] = kernels->gain;
    object["measured"] = kernel_trials_json(*kernels);
    object["path"] = kernels->path;
  }
  if (found) {
    add(settings_json(*found));
    object["workload"] = found->workload;
    object["goal"] = found->goal;
    object["reused"] = found->reused;
    object["gain_low"] = found->gain_low;
    object["gain_high"] = found->gain_high;
    object["measurements"] = found->measurements;
    object["seconds"] = found->seconds;
    object["results_path"] = found->path;
  }
  context.print_json(object);
  return 0;
}

}  // namespace

const Command kTune = {
    .name = "tune",
    .summary = {"measure which settings are fastest here, and remember them", "测量本机最快的设置并记住"},
    .positionals = {{.name = "MODEL", .help = {"the model that is measured", "要测量的模型"}}},
    .details =
        {"First the kernels: the model's matrices are multiplied with other settings than the default ones, in "
         "alternating pairs, a second or so for each shape; answers do not change by a single bit. Then threads, "
         "affinity, huge pages, KV type, speculation, batching and prefill chunk: the workload is run in processes of "
         "its own, again and again, each choice between runs of the default, most often the most promising ones, until "
         "--time-budget is spent. A choice is kept only if it beats the default in the end in fresh alternating pairs, "
         "beyond three standard deviations; the default wins ties.\n"
         "run, chat, serve and bench --workload use what was found, where nothing else is said, and say so. An "
         "earlier result of the same machine, model, workload and version is checked and kept if it still holds. "
         "Settings given here hold for all measurements. autoglm clean forgets everything.",
         "先测内核：用默认值以外的内核设置计算模型的矩阵乘法，交替成对测量，每种形状约一秒；回答逐位不变。"
         "再测线程数、绑核、大页、KV 类型、推测解码、批处理和预填充分段：在独立进程中反复运行负载，"
         "每个候选都夹在默认设置的运行之间，最有希望的测得最多，直到用完 --time-budget。"
         "只有在最后新的交替成对测量中以三个标准差以上胜过默认值的候选才会保留；不分胜负时用默认值。\n"
         "run、chat、serve 和 bench --workload 在未另行指定时使用测得的设置，并加以说明。"
         "同一机器、模型、负载和版本的旧结果若经检查仍然有效则沿用。此处给出的设置对所有测量生效。"
         "autoglm clean 会清除全部结果。"},
    .examples = {{"autoglm tune smollm2:135m", {"once on a new machine", "在新机器上运行一次"}},
                 {"autoglm tune model.gguf --workload rag --goal throughput --time-budget 5m",
                  {"for long prompts and many tokens a second", "针对长提示和总吞吐量"}},
                 {"autoglm tune model.gguf --json", {"with every trial, for scripts", "列出每次试验，供脚本使用"}}},
    .json_keys =
        "settings[{key, value, default}], gain, gain_low, gain_high, workload, goal, reused, measurements, "
        "seconds, results_path; of the kernels settings[{key, shape, value, default, gain}], kernel_gain, "
        "measured[{shape, trials}], path",
    .run = run,
};

}  // namespace autoglm
