// What `optimize` did and what came of it: the data of its report.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "compress/quality_report.h"
#include "compress/recipe.h"
#include "optimize/effort.h"
#include "optimize/frontier.h"
#include "tune/paired.h"
#include "tune/workload_figures.h"

namespace autoglm {

/// The model with its settings, before or after.
struct OptimizedSide {
  std::string name;
  WorkloadFigures run;
  int64_t file_bytes = 0;
  double bits_per_weight = 0;
  std::optional<DivergenceSummary> quality;  // against the source's exact path; none where only settings were tuned
};

/// A form of the model that was thought of, and perhaps made.
struct FormRecord {
  std::string name;  // "4.50 bits"
  double bits = 0;   // a weight
  Recipe recipe;
  ModelForm form;
  std::string method;  // it was made with; empty: not made
  std::optional<DivergenceSummary> quality;
  std::optional<WorkloadFigures> run;
  std::string damage;  // what is wrong with it
};

/// A setting of the written configuration that is not the default.
struct SettingRecord {
  std::string key, value, default_value;
  std::string reason_en, reason_zh;
};

/// Settings that were tried.
struct TrialRecord {
  std::string settings;  // "kv_cache.type q4"
  double ratio = 1;      // of the default's cost; below 1: cheaper
  int64_t measurements = 1;
  bool kept = false;
};

struct StageRecord {
  Stage stage = Stage::baseline;
  StageCost predicted;
  std::optional<double> seconds;  // none: it was not run
  std::optional<int64_t> memory;  // peak of all processes, as far as the system tells
};

struct TextRecord {
  std::string name;  // a file, or what was written by the model
  std::string sha256;
  int64_t windows = 0;
  bool own = false;  // the model wrote it
};

/// Why the report recommends what it recommends.
enum class Verdict : uint8_t {
  improved,     // a smaller form, tuned or not
  tuned,        // the source with other settings
  nothing,      // the source with default settings is the best
  interrupted,  // the best so far
};

struct OptimizeReport {
  static constexpr int kSchemaVersion = 1;
  std::string source;  // as the user named it
  std::filesystem::path source_path;
  std::string source_types;
  bool source_quantized = false;
  bool requantized = false;
  OptimizeGoal goal = OptimizeGoal::balanced;
  Limits limits;
  std::string workload;
  double budget = 0, seconds = 0;
  Effort effort;
  std::vector<Shrunk> shrunk;
  std::vector<StageRecord> stages;
  OptimizedSide before, after;
  std::optional<PairedRatio> comparison;  // of the end-to-end medians, after by before
  std::optional<QualityReport> quality;
  std::vector<FormRecord> forms;
  std::optional<size_t> chosen;  // of the forms; none: the source
  std::vector<SettingRecord> settings;
  std::vector<TrialRecord> trials;
  TextRecord calibration, evaluation;
  std::string model;                // in the folder, or where the source lies
  std::string config;               // autoglm.yaml
  bool linked = false;              // model.gguf is another name of the source
  std::vector<int64_t> bf16_bytes;  // of a quantized source: what forms of 4.5 and 8.5 bits would take
  Verdict verdict = Verdict::nothing;
};

}  // namespace autoglm
