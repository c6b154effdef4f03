// Runs a workload on an engine, as a server's loop would: what has arrived is submitted, a step is made, what it said
// is noted. One thread, so that nothing but the engine is measured.
#pragma once

#include <filesystem>
#include <functional>
#include <vector>

#include "engine/engine.h"
#include "tune/workload.h"
#include "tune/workload_figures.h"

namespace autoglm {

/// A step, for those who compare it with the machine's roofs.
struct WorkloadStep {
  StepShape shape;
  double seconds = 0;
};

struct WorkloadRunOptions {
  std::function<void()> check{};                         // between steps; may throw (Ctrl-C)
  std::function<void(int64_t done)> progress{};          // requests that have ended
  std::function<void(const WorkloadStep& step)> step{};  // of every step that computed something
  std::filesystem::path root = "/";                      // where RAPL's counters lie below
};

/// Error: that of a request that failed. Memory is not measured here: planned_bytes stays 0.
WorkloadFigures run_workload(Engine& engine, const Workload& workload, const WorkloadRunOptions& options = {});

}  // namespace autoglm
