// tune: settings by measurement. So far those of the kernels.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "cli/kernel_tunings.h"
#include "cli/open.h"
#include "tune/kernel_tuner.h"

namespace autoglm {
namespace {

struct Tuned {
  TunedShape shape;
  TuningResult result;
};

struct Report {
  std::vector<Tuned> shapes;
  double gain = 1.0;
  std::string path;  // where it is remembered; empty with --no-cache
};

std::string shape_name(const TunedShape& shape) {
  return fmt::format("{} {}x{}", info(shape.type).name, shape.rows, shape.cols);
}

/// Mean of the shapes' gains by their share of the model's weights.
double mean_gain(const std::vector<Tuned>& shapes) {
  double logs = 0.0, weights = 0.0;
  for (const Tuned& tuned : shapes) {
    const double weight = static_cast<double>(tuned.shape.rows * tuned.shape.cols * tuned.shape.matrices);
    logs += weight * std::log(tuned.result.gain);
    weights += weight;
  }
  return weights > 0.0 ? std::exp(logs / weights) : 1.0;
}

Report tune(Context& context) {
  const std::shared_ptr<const ModelSource> source = open_source(context);
  const Runtime runtime = open_runtime(context);
  KernelTuning tuning = remembered_tuning(context, runtime);
  Report report;
  std::vector<TunedShape> shapes = shapes_to_tune(*source);
  {
    Progress progress = context.progress("measuring", std::ssize(shapes), false);
    for (TunedShape& shape : shapes) {
      ShapeBench bench(*runtime.backend, shape);
      const TuningResult result = tune_shape([&](const ShapeTuning& current) { return bench.choices(current); },
                                             [&](const ShapeTuning& one, int64_t rows) {
                                               context.interrupt().check();
                                               return bench.seconds(one, rows);
                                             });
      // A default too: it replaces what an earlier run found.
      tuning.set({shape.type, shape.rows, shape.cols, result.tuning});
      report.shapes.push_back({std::move(shape), result});
      progress.update(std::ssize(report.shapes));
    }
  }
  report.gain = mean_gain(report.shapes);
  if (context.settings().boolean("cache.enabled")) {
    report.path = tuning_file(context, runtime).string();
    write_tuning(report.path, tuning_key(runtime), tuning);
  }
  return report;
}

nlohmann::json to_json(const Report& report) {
  nlohmann::json settings = nlohmann::json::array(), measured = nlohmann::json::array();
  for (const Tuned& tuned : report.shapes) {
    for (const TuningField& field : tuning_fields()) {
      const int32_t value = tuned.result.tuning.*field.value, usual = ShapeTuning{}.*field.value;
      if (value == usual) continue;
      settings.push_back({{"key", "kernel." + std::string(field.name)},
                          {"shape", shape_name(tuned.shape)},
                          {"value", value},
                          {"default", usual},
                          {"gain", tuned.result.gain}});
    }
    nlohmann::json trials = nlohmann::json::array();
    for (const TuningTrial& trial : tuned.result.trials) {
      nlohmann::json row = {{"ratio", trial.ratio}, {"kept", trial.kept}};
      for (const TuningField& field : tuning_fields()) row[field.name] = trial.tuning.*field.value;
      trials.push_back(std::move(row));
    }
    measured.push_back({{"shape", shape_name(tuned.shape)}, {"trials", std::move(trials)}});
  }
  return {{"settings", settings}, {"gain", report.gain}, {"measured", measured}, {"path", report.path}};
}

std::string to_text(const Report& report, bool zh) {
  std::string out;
  for (const Tuned& tuned : report.shapes) {
    std::string changes;
    for (const TuningField& field : tuning_fields()) {
      const int32_t value = tuned.result.tuning.*field.value, usual = ShapeTuning{}.*field.value;
      if (value == usual) continue;
      changes += fmt::format(fmt::runtime(zh ? "{}{} {}（默认 {}）" : "{}{} {} (default {})"),
                             changes.empty() ? "" : ", ", field.name, value, usual);
    }
    if (changes.empty()) {
      changes = zh ? "默认值最快" : "the defaults are fastest";
    } else {
      changes += fmt::format(": {:.2f}x", tuned.result.gain);
    }
    out += fmt::format("{:<22} {}\n", shape_name(tuned.shape), changes);
  }
  if (report.shapes.empty())
    out = zh ? "这个模型没有可调的量化权重。\n" : "This model has no quantized weights to tune.\n";
  if (!report.path.empty()) out += fmt::format(fmt::runtime(zh ? "已保存到 {}\n" : "remembered in {}\n"), report.path);
  return out;
}

int run(Context& context) {
  const Report report = tune(context);
  if (context.json()) {
    context.print_json(to_json(report));
  } else {
    context.print(to_text(report, context.language() == Language::zh));
  }
  return 0;
}

}  // namespace

const Command kTune = {
    .name = "tune",
    .summary = {"measure which kernel settings are fastest here, and remember them", "测量本机最快的内核设置并记住"},
    .positionals = {{.name = "MODEL",
                     .help = {"the model whose matrix shapes are measured", "要测量其矩阵形状的模型"}}},
    .details =
        {"Multiplies the model's matrices with other settings of the kernels than the default ones, in alternating "
         "pairs, a second or so for each shape. A setting is kept only if it wins every pair and 3 % on the whole, "
         "twice; so the result is never slower than the default, and on a busy machine it is the default. Answers "
         "do not change by a single bit. Every later command on this machine with the same instruction set and "
         "number of threads uses what was found; autoglm clean forgets it.",
         "用默认值以外的内核设置计算模型的矩阵乘法，交替成对测量，每种形状约一秒。只有每一对都更快、总体快 3 % "
         "以上、并且复测成立的设置才会保留；因此结果不会比默认值慢，机器繁忙时就是默认值。回答逐位不变。"
         "之后在本机以相同指令集和线程数运行的每个命令都会使用测得的设置；autoglm clean 会清除它们。"},
    .examples = {{"autoglm tune smollm2:135m", {"once on a new machine", "在新机器上运行一次"}},
                 {"autoglm tune model.gguf --json", {"with every trial, for scripts", "列出每次试验，供脚本使用"}}},
    .json_keys = "settings[{key, shape, value, default, gain}], gain, measured[{shape, trials}], path",
    .run = run,
};

}  // namespace autoglm
