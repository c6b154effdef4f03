// Runs of the pipeline as processes of this program, and its settings by the tuner.
#pragma once

#include "optimize/runs.h"
#include "tune/child_run.h"
#include "tune/settings_tuner.h"

namespace autoglm {

class ChildRuns : public WorkloadRuns {
 public:
  /// `base` has program, workload, and what all runs share; model and settings come with each call. `fields`: what may
  /// be searched.
  ChildRuns(ChildRun base, std::vector<TunedField> fields) : base_(std::move(base)), fields_(std::move(fields)) {}
  WorkloadFigures run(const RunSubject& subject, int64_t requests) override;
  FoundSettings search(const RunSubject& subject, OptimizeGoal goal, int64_t requests, double seconds) override;

 private:
  ChildRun with(const RunSubject& subject) const;
  ChildRun base_;
  std::vector<TunedField> fields_;
};

/// As a command line has them: {"--threads", "2"}.
SettingWords setting_words(const SettingValues& settings);

}  // namespace autoglm
