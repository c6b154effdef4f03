// Which form of a model to try next, and which to take: pure functions over what is known of each form.
//
// Forms lie on a frontier of size, speed and quality. Before one is made its figures are predicted; the figures of
// those that were made correct the predictions of the others. What is taken has been measured and obeys every limit.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

namespace autoglm {

enum class OptimizeGoal : uint8_t { latency, memory, quality, balanced };

std::string_view name(OptimizeGoal goal);
std::optional<OptimizeGoal> goal_from_name(std::string_view name);

struct Limits {
  int64_t max_bytes = 0;   // of the file; 0: none
  int64_t max_memory = 0;  // peak of a run; 0: none
  double max_kld = 0.02;   // mean divergence from the source's exact answers, nats a token
};

/// What a form costs. Divergence of the source itself is what its default settings lose against the exact path.
struct FormFigures {
  int64_t bytes = 0;   // of the file
  int64_t memory = 0;  // peak
  double ms = 0;       // a request of the workload, end to end
  double kld = 0;
};

struct ModelForm {
  FormFigures predicted;
  std::optional<FormFigures> measured;
  bool damaged = false;  // made, and found unfit: it is never taken
};

/// Why a form may not be taken.
enum class Refusal : uint8_t { none, bytes, memory, quality, damaged };
Refusal refusal(const FormFigures& figures, const Limits& limits);

/// What every form is expected to cost, given what was measured of some. Forms are ordered by predicted divergence,
/// coarse or fine first, but monotonously. Between two measured forms divergence is interpolated, both on logarithmic
/// scales; outside them it keeps the ratio of the nearest. Times and memory keep the nearest form's ratio.
std::vector<FormFigures> estimate(std::span<const ModelForm> forms);

/// Less is better. `source` has the figures of the model as given.
double score(const FormFigures& figures, const FormFigures& source, const Limits& limits, OptimizeGoal goal);

/// The form whose measurement promises most: unmeasured, expected to obey the limits and to beat the best that was
/// measured. Nothing: no form promises anything.
std::optional<size_t> next_form(std::span<const ModelForm> forms, const FormFigures& source, const Limits& limits,
                                OptimizeGoal goal);

/// The best of the measured forms that obey the limits; nothing if the source itself is as good, or none obeys.
std::optional<size_t> best_form(std::span<const ModelForm> forms, const FormFigures& source, const Limits& limits,
                                OptimizeGoal goal);

/// Whether no other of these is as good in size and divergence and better in one.
bool on_frontier(std::span<const FormFigures> all, size_t index);

}  // namespace autoglm
