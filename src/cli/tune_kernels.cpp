#include "cli/tune_kernels.h"

#include <fmt/format.h>

#include <cmath>

#include "cli/kernel_tunings.h"
#include "cli/model_store.h"
#include "cli/open.h"
#include "cli/tuned_settings.h"

namespace autoglm {
namespace {

std::string shape_name(const TunedShape& shape) {
  return fmt::format("{} {}x{}", info(shape.type).name, shape.rows, shape.cols);
}

/// Mean of the shapes' gains by their share of the model's weights.
double mean_gain(const std::vector<KernelReport::Tuned>& shapes) {
  double logs = 0.0, weights = 0.0;
  for (const KernelReport::Tuned& tuned : shapes) {
    const double weight = static_cast<double>(tuned.shape.rows * tuned.shape.cols * tuned.shape.matrices);
    logs += weight * std::log(tuned.result.gain);
    weights += weight;
  }
  return weights > 0.0 ? std::exp(logs / weights) : 1.0;
}

}  // namespace

KernelReport tune_kernels(Context& context) {
  const std::shared_ptr<const ModelSource> source = open_source(context);
  const Runtime runtime = open_runtime(context);
  KernelTuning tuning = remembered_tuning(context, runtime);
  KernelReport report;
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
  if (const auto store = open_tuning_store(context)) {
    report.path = tuning_store_path(*cache_folder(context)).string();
    store->put_kernels(kernel_key(runtime), tuning);
  }
  return report;
}

nlohmann::json kernel_settings_json(const KernelReport& report) {
  nlohmann::json settings = nlohmann::json::array();
  for (const KernelReport::Tuned& tuned : report.shapes) {
    for (const TuningField& field : tuning_fields()) {
      const int32_t value = tuned.result.tuning.*field.value, usual = ShapeTuning{}.*field.value;
      if (value == usual) continue;
      settings.push_back({{"key", "kernel." + std::string(field.name)},
                          {"shape", shape_name(tuned.shape)},
                          {"value", value},
                          {"default", usual},
                          {"gain", tuned.result.gain}});
    }
  }
  return settings;
}

nlohmann::json kernel_trials_json(const KernelReport& report) {
  nlohmann::json measured = nlohmann::json::array();
  for (const KernelReport::Tuned& tuned : report.shapes) {
    nlohmann::json trials = nlohmann::json::array();
    for (const TuningTrial& trial : tuned.result.trials) {
      nlohmann::json row = {{"ratio", trial.ratio}, {"kept", trial.kept}};
      for (const TuningField& field : tuning_fields()) row[field.name] = trial.tuning.*field.value;
      trials.push_back(std::move(row));
    }
    measured.push_back({{"shape", shape_name(tuned.shape)}, {"trials", std::move(trials)}});
  }
  return measured;
}

std::string kernel_text(const KernelReport& report, bool zh) {
  std::string out;
  for (const KernelReport::Tuned& tuned : report.shapes) {
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

}  // namespace autoglm
