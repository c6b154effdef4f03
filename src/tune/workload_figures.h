// What came of running a workload, and its JSON: what `bench --workload --json` prints and child_run.h reads.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace autoglm {

/// Milliseconds, nearest rank.
struct Percentiles {
  double p50 = 0, p95 = 0, p99 = 0;
};
Percentiles percentiles(std::vector<double> values);

struct WorkloadFigures {
  Percentiles first_token_ms;  // from a request's arrival to its first token, waiting included
  Percentiles gap_ms;          // between an answer's tokens; one a token
  Percentiles end_to_end_ms;   // from arrival to the last token
  double throughput_tps = 0;   // answered tokens a second over the whole run
  double requests_per_second = 0;
  double seconds = 0;  // of the whole run
  int64_t requests = 0;
  int64_t prompt_tokens = 0;
  int64_t cached_tokens = 0;  // of them, those that the prefix cache had
  int64_t completion_tokens = 0;
  int64_t drafted_tokens = 0, accepted_tokens = 0;  // of speculation
  int64_t preemptions = 0;
  int64_t peak_rss_bytes = 0;   // of the process
  int64_t anonymous_bytes = 0;  // of them at the end of the run, its own alone: without mapped weights
  int64_t planned_bytes = 0;
  std::optional<double> joules;  // of the packages (RAPL) while it ran, with all that else ran; none: not readable
  std::string answers_hash;      // XXH3 of every answer's tokens in the order of requests: settings must not change it
};

/// `first_token_ms{p50, p95, p99}, gap_ms{...}, end_to_end_ms{...}, throughput_tps, ...`.
nlohmann::json to_json(const WorkloadFigures& figures);

/// Error bad_file where a figure is missing or is no number.
WorkloadFigures workload_figures(std::string_view json);

/// What a run is judged by.
enum class Goal : uint8_t { latency, throughput };

/// Smaller is better. latency: the median end to end in milliseconds; throughput: milliseconds an answered token.
double cost_of(const WorkloadFigures& figures, Goal goal);

}  // namespace autoglm
