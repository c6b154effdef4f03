// Runs of the pipeline as processes of this program, and its settings by the tuner.
#pragma once

#include "optimize/runs.h"
#include "tune/child_run.h"

namespace autoglm {

class ChildRuns : public WorkloadRuns {
 public:
  /// `base` has program, workload, and what all runs share; model and settings come with each call.
  explicit ChildRuns(ChildRun base) : base_(std::move(base)) {}
  WorkloadFigures run(const RunSubject& subject, int64_t requests) override;
  FoundSettings search(const RunSubject& subject, OptimizeGoal goal, double seconds) override;

 private:
  ChildRun base_;
};

/// As a command line has them: {"--threads", "2"}.
SettingWords setting_words(const SettingValues& settings);

}  // namespace autoglm
