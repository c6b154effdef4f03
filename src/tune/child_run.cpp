#include "tune/child_run.h"

#include <fmt/format.h>
#include <sched.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/process.h"

namespace autoglm {
namespace {

/// This thread on these processors; a process that it starts inherits them.
class OnProcessors {
 public:
  explicit OnProcessors(const std::vector<int>& cpus) {
    CPU_ZERO(&before_);
    if (cpus.empty() || ::sched_getaffinity(0, sizeof before_, &before_) != 0) return;
    cpu_set_t wanted;
    CPU_ZERO(&wanted);
    for (const int cpu : cpus) {
      if (cpu >= 0 && cpu < CPU_SETSIZE) CPU_SET(static_cast<size_t>(cpu), &wanted);
    }
    changed_ = ::sched_setaffinity(0, sizeof wanted, &wanted) == 0;
  }
  ~OnProcessors() {
    if (changed_) ::sched_setaffinity(0, sizeof before_, &before_);
  }
  OnProcessors(const OnProcessors&) = delete;
  OnProcessors& operator=(const OnProcessors&) = delete;

 private:
  cpu_set_t before_;
  bool changed_ = false;
};

std::string text_of(const nlohmann::json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

// The child's own words where it has any.
[[noreturn]] void fail_as_child(const ProcessResult& result) {
  const nlohmann::json object = nlohmann::json::parse(result.out, nullptr, false);
  if (object.is_object() && object.contains("error") && object["error"].is_object()) {
    const nlohmann::json& error = object["error"];
    const std::string name = text_of(error, "code");
    Code code = Code::work_failed;
    for (int i = 0; i <= static_cast<int>(Code::unauthorized); ++i) {
      if (info(static_cast<Code>(i)).name == name) code = static_cast<Code>(i);
    }
    fail(code, text_of(error, "message"), text_of(error, "hint"));
  }
  const size_t line = result.err.find_last_not_of('\n');
  const std::string tail =
      line == std::string::npos ? "it said nothing" : result.err.substr(result.err.rfind('\n', line) + 1, 400);
  fail(Code::work_failed, fmt::format("a measurement ended with exit code {}: {}", result.exit_code, tail));
}

}  // namespace

std::string bench_in_child(const ChildRun& run, const SettingWords& words) {
  SettingWords all = {run.program, "bench", "--json", "--quiet"};
  if (!run.model.empty()) all.push_back(run.model);
  all.insert(all.end(), words.begin(), words.end());
  ProcessOptions options;
  if (run.interrupted) options.tick = [&] { return !run.interrupted(); };
  const OnProcessors scope(run.cpus);
  ProcessResult result = run_process(all, options);
  if (run.interrupted && run.interrupted()) fail(Code::interrupted, "interrupted");
  if (result.exit_code != 0) fail_as_child(result);
  return std::move(result.out);
}

WorkloadFigures run_in_child(const ChildRun& run, const SettingWords& settings) {
  SettingWords words = {"--workload", run.workload, "--no-probe", "--tuned", "none"};
  words.insert(words.end(), run.common.begin(), run.common.end());
  words.insert(words.end(), settings.begin(), settings.end());
  return workload_figures(bench_in_child(run, words));
}

SettingsComparison compare_settings(const ChildRun& run, const SettingWords& a, const SettingWords& b, Goal goal,
                                    int pairs, bool warm_up) {
  SettingsComparison out;
  int warm = warm_up ? 2 : 0;
  out.ratio = compare_in_pairs(
      [&](int side) {
        const WorkloadFigures figures = run_in_child(run, side == 0 ? a : b);
        if (warm > 0) {
          --warm;
        } else {
          (side == 0 ? out.a : out.b).push_back(figures);
        }
        return cost_of(figures, goal);
      },
      pairs, warm_up);
  return out;
}

const WorkloadFigures& median_run(const std::vector<WorkloadFigures>& runs, Goal goal) {
  AUTOGLM_CHECK(!runs.empty(), "there is a run");
  std::vector<const WorkloadFigures*> sorted;
  for (const WorkloadFigures& one : runs) sorted.push_back(&one);
  std::ranges::sort(sorted, {}, [&](const WorkloadFigures* one) { return cost_of(*one, goal); });
  return *sorted[(sorted.size() - 1) / 2];
}

}  // namespace autoglm
