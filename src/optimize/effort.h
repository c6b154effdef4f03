// What each stage of `optimize` will take, and how all of them are made to fit a budget: pure functions.
//
// Predicted seconds are operations over the machine's probed rate, with factors measured once (effort.cpp says where).
// They steer how thorough the work is; what a stage really took is in the report beside them.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "base/language.h"
#include "compress/quantize.h"
#include "model/tensor_table.h"

namespace autoglm {

enum class Stage : uint8_t { baseline, texts, sensitivity, forms, tuning, comparison, count_ };
inline constexpr size_t kStages = static_cast<size_t>(Stage::count_);
std::string_view name(Stage stage);  // for JSON
Text title(Stage stage);             // for people

/// How thorough the work is.
struct Effort {
  int64_t requests = 8;              // of each run of the workload
  int64_t calibration_windows = 48;  // that quantizing reads
  int64_t sensitivity_windows = 8;   // 0: no sensitivity; every tensor of a form gets the same type
  int64_t evaluation_windows = 32;   // of each quality report
  int64_t forms = 5;                 // at most, that are made and judged
  QuantizeMethod method = QuantizeMethod::gptq;
  double tuning_share = 0.25;  // of the budget; settings are searched so long
  int64_t pairs = 8;           // of runs in the last comparison
};

/// What has to be known of model and machine.
struct WorkSize {
  int64_t linear_values = 0;  // of matrices in layers; this and the next three by add_layer_matrix()
  int64_t head_values = 0;    // of the matrix that gives logits
  double input_squares = 0;   // columns^2, summed over the inputs of maps in layers
  double input_cubes = 0;     // columns^3
  double moved = 0;           // rows columns^2, summed over the matrices in layers
  int64_t layers = 1;
  int64_t hidden = 0;
  int64_t vocabulary = 0;
  int64_t source_bytes = 0;
  int64_t window = 512;          // tokens
  bool own_calibration = false;  // the model writes it
  bool own_evaluation = false;
  double request_seconds = 1;     // of the workload, on the source
  double int8_gops = 1000;        // probed
  double read_gbps = 20;          // probed
  int64_t own_memory = 0;         // of this process while others run the workload
  int64_t run_memory = 0;         // of a run of the source, planned
  int64_t tried_memory = 0;       // of one with those choices of the tuner that take the most, planned
  int64_t evaluation_memory = 0;  // both sides loaded, planned
  bool settings_only = false;     // the source is not quantized again

  void add_layer_matrix(Role role, const TensorShape& shape);
};

struct StageCost {
  double seconds = 0;
  int64_t memory = 0;  // peak, of all processes
  int64_t disk = 0;    // while it runs
};
using StageCosts = std::array<StageCost, kStages>;

StageCosts predict(const WorkSize& size, const Effort& effort, double budget);
double total_seconds(const StageCosts& costs);

/// Seconds that making one form takes, and judging it.
double form_seconds(const WorkSize& size, const Effort& effort);

/// What was made smaller, from what to what; shrunk_words() says it.
struct Shrunk {
  enum class What : uint8_t { forms, evaluation, calibration, sensitivity, tuning, requests, pairs, method };
  What what = What::forms;
  double from = 0, to = 0;  // of a method its number
};

struct FittedEffort {
  Effort effort;
  std::vector<Shrunk> shrunk;  // one entry a thing: from the full effort to what is left
  StageCosts costs{};
  bool fits = false;  // false: this is the least that can be done, and it takes longer than the budget
};

/// Starts from `full` and gives up what matters least until everything is predicted to end within `budget` seconds.
FittedEffort fit_effort(const WorkSize& size, const Effort& full, double budget);

/// "evaluation: 8 windows instead of 32".
std::string shrunk_words(const Shrunk& shrunk, Language language);

}  // namespace autoglm
