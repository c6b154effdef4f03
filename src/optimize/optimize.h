// The automatic pipeline: a model, a machine and a wish in; a smaller, faster model, its configuration and a report
// that proves both out.
//
// What comes out is never worse than what went in: the source with default settings is a candidate, wins ties, and is
// what is written when nothing beats it within the limits. Ctrl-C leaves the best so far.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "compress/quality_texts.h"
#include "format/model_source.h"
#include "model/model.h"
#include "model/runtime.h"
#include "optimize/report.h"
#include "optimize/runs.h"
#include "text/tokenizer.h"

namespace autoglm {

struct OptimizeOptions {
  std::filesystem::path folder;  // OUT; made if its parent is there
  std::string source_name;       // as the user named the model
  OptimizeGoal goal = OptimizeGoal::balanced;
  Limits limits;
  std::string workload = "chat";
  double budget = 600;  // seconds
  Effort full{};        // from which effort shrinks
  int64_t window = 512;
  bool requantize = false;
  std::vector<SettingRecord> fixed{};  // settings that the user asks of the result
  std::vector<SettingRecord> sized{};  // for this workload; not with the default, where nothing is better
  Metadata tokenizer{};                // as in ConvertOptions
  /// Texts of the user; empty: the model writes its own.
  std::string calibration_file, calibration_text;
  std::vector<EvaluationText> evaluation;
  Language language = Language::en;
  double int8_gops = 0, read_gbps = 0;  // probed
  /// How a run of the workload loads a model: on default settings, and with those choices of the tuner that take the
  /// most memory. Memory is predicted by them.
  LoadOptions run{}, tried{};
  std::function<void(const std::string& line)> say{};  // a line for people; may be empty
  std::function<void(const std::string& label, int64_t done, int64_t total)> progress{};  // may be empty
  std::function<void()> check{};                                                          // may throw (Ctrl-C)
};

/// Everything outlives the call.
struct OptimizeInputs {
  std::shared_ptr<const ModelSource> source;
  const Tokenizer* tokenizer = nullptr;
  Runtime* runtime = nullptr;
  WorkloadRuns* runs = nullptr;
};

/// What would be done, with each stage's predicted time, memory and disk. Measures nothing but one request of the
/// workload, by which the others are predicted; with `measure` false not even that. Errors: bad_flag where no form can
/// obey the limits, or the budget is too short (the hint says what would do); disk_full; out_of_memory.
OptimizeReport plan_optimize(const OptimizeInputs& inputs, const OptimizeOptions& options, bool measure);

/// Does it, and writes the folder: model.gguf, autoglm.yaml, report.md, report.html, report.json. A folder that holds
/// something else is refused. After Ctrl-C the best so far is written and the report's verdict is `interrupted`; before
/// anything was measured the Error is thrown and nothing is left.
OptimizeReport optimize(const OptimizeInputs& inputs, const OptimizeOptions& options);

/// The lines that are printed before the work: a stage each, then what was shrunk.
std::vector<std::string> plan_words(const OptimizeReport& report, Language language);

}  // namespace autoglm
