#include "optimize/effort.h"

#include <fmt/format.h>

#include <algorithm>
#include <ranges>

namespace autoglm {
namespace {

// Shares of the probed int8 rate that the work reaches, measured with SmolLM2-135M and a shape of 1.45 B parameters on
// two cores with AVX-512.
constexpr double kExact = 0.06;              // float32 path, many rows
constexpr double kFast = 0.35;               // int8 path, many rows
constexpr double kLayers = 0.2;              // BF16, layer by layer
constexpr double kProducts = 0.05;           // sums of the inputs' products, one of each two
constexpr double kFactor = 0.022;            // their inverse's factor, in doubles
constexpr double kMoved = 0.08;              // errors that move on to later columns
constexpr double kRounding = 8e-6;           // a value whose scales are searched, in values a probed operation
constexpr double kRead = 0.6;                // of the read bandwidth, generating text
constexpr double kWriteBytes = 300e6;        // a second
constexpr double kLoadSeconds = 1.0;         // starting a program and its model, beside reading it
constexpr int64_t kSensitivityTokens = 128;  // of a window (compress/sensitivity.h)
constexpr int64_t kSensitivityScored = 32;
constexpr double kMapsOfLayer = 4;
constexpr int64_t kGeneratedTogether = 16;
constexpr double kSpareTime = 0.05;  // of the budget, for what no stage is

double values(const WorkSize& size) { return static_cast<double>(size.linear_values + size.head_values); }

// Seconds of `rows` rows on a path, `logits` of them with logits.
double forward_seconds(const WorkSize& size, double share, double rows, double logits) {
  const double operations =
      2 * (static_cast<double>(size.linear_values) * rows + static_cast<double>(size.head_values) * logits);
  return operations / (share * 1e9 * size.int8_gops);
}

double rounding_seconds(const WorkSize& size) { return values(size) / (kRounding * 1e9 * size.int8_gops); }

double evaluation_seconds(const WorkSize& size, int64_t windows) {
  const auto rows = static_cast<double>(windows * size.window);
  return forward_seconds(size, kExact, rows, rows / 2) + forward_seconds(size, kFast, rows, rows / 2) +
         2 * kLoadSeconds;
}

double quantize_seconds(const WorkSize& size, const Effort& effort) {
  const auto rows = static_cast<double>(effort.calibration_windows * size.window);
  double seconds = rounding_seconds(size) + 2 * static_cast<double>(size.source_bytes) / 3 / kWriteBytes;
  if (effort.method != QuantizeMethod::rtn) seconds += forward_seconds(size, kLayers, rows, 0);
  if (effort.method != QuantizeMethod::gptq) return seconds;
  // A second walk through what is quantized; a Cholesky factor and its inverse take n^3 / 3 operations each.
  const double rate = 1e9 * size.int8_gops;
  return seconds + forward_seconds(size, kLayers, rows, 0) + rows * size.input_squares / (kProducts * rate) +
         2.0 / 3 * size.input_cubes / (kFactor * rate) + size.moved / (kMoved * rate);
}

double sensitivity_seconds(const WorkSize& size, const Effort& effort) {
  if (effort.sensitivity_windows == 0) return 0;
  const auto rows = static_cast<double>(effort.sensitivity_windows * kSensitivityTokens);
  const auto scored = static_cast<double>(effort.sensitivity_windows * kSensitivityScored);
  // Each set of maps alone: half of the layers on average, then the head.
  const double sets = kMapsOfLayer * static_cast<double>(size.layers) + 2;
  return sets * forward_seconds(size, kLayers, rows / 2, scored) + rounding_seconds(size);
}

int64_t generated_tokens(const WorkSize& size, const Effort& effort) {
  int64_t windows = size.own_calibration ? std::max(effort.calibration_windows, effort.sensitivity_windows) : 0;
  if (size.own_evaluation) windows += effort.evaluation_windows + effort.evaluation_windows / 8 + 1;
  return windows * size.window;
}

double texts_seconds(const WorkSize& size, const Effort& effort) {
  const auto tokens = static_cast<double>(generated_tokens(size, effort));
  if (tokens == 0) return 0;
  const double steps = tokens / static_cast<double>(kGeneratedTogether);
  return kLoadSeconds + std::max(steps * static_cast<double>(size.source_bytes) / (kRead * 1e9 * size.read_gbps),
                                 forward_seconds(size, kExact, tokens, tokens));
}

using What = Shrunk::What;

/// One step down. Returns whether there was one to take.
struct Step {
  What what;
  double to;
};

// In the order in which things are given up: what costs much and proves little goes first.
constexpr Step kSteps[] = {
    {What::pairs, 6},       {What::forms, 4},
    {What::evaluation, 24}, {What::calibration, 32},
    {What::requests, 6},    {What::forms, 3},
    {What::tuning, 0.15},   {What::sensitivity, 4},
    {What::evaluation, 16}, {What::calibration, 24},
    {What::requests, 4},    {What::forms, 2},
    {What::sensitivity, 2}, {What::calibration, 16},
    {What::evaluation, 12}, {What::tuning, 0.1},
    {What::requests, 3},    {What::forms, 1},
    {What::calibration, 8}, {What::evaluation, 8},
    {What::sensitivity, 1}, {What::method, static_cast<double>(QuantizeMethod::importance)},
    {What::requests, 2},    {What::sensitivity, 0},
    {What::tuning, 0},      {What::calibration, 4},
    {What::evaluation, 4},  {What::method, static_cast<double>(QuantizeMethod::rtn)},
    {What::pairs, 3},       {What::evaluation, 2},
    {What::pairs, 2},       {What::requests, 1},
};

constexpr What kThings[] = {What::pairs,    What::forms,  What::evaluation,  What::calibration,
                            What::requests, What::tuning, What::sensitivity, What::method};

double value_of(const Effort& effort, What what) {
  switch (what) {
    case What::forms:
      return static_cast<double>(effort.forms);
    case What::evaluation:
      return static_cast<double>(effort.evaluation_windows);
    case What::calibration:
      return static_cast<double>(effort.calibration_windows);
    case What::sensitivity:
      return static_cast<double>(effort.sensitivity_windows);
    case What::tuning:
      return effort.tuning_share;
    case What::requests:
      return static_cast<double>(effort.requests);
    case What::pairs:
      return static_cast<double>(effort.pairs);
    case What::method:
      break;
  }
  return static_cast<double>(effort.method);
}

void set_value(Effort& effort, What what, double value) {
  const auto whole = static_cast<int64_t>(value);
  switch (what) {
    case What::forms:
      effort.forms = whole;
      break;
    case What::evaluation:
      effort.evaluation_windows = whole;
      break;
    case What::calibration:
      effort.calibration_windows = whole;
      break;
    case What::sensitivity:
      effort.sensitivity_windows = whole;
      break;
    case What::tuning:
      effort.tuning_share = value;
      break;
    case What::requests:
      effort.requests = whole;
      break;
    case What::pairs:
      effort.pairs = whole;
      break;
    case What::method:
      effort.method = static_cast<QuantizeMethod>(whole);
      break;
  }
}

bool concerns_weights(What what) { return what != What::tuning && what != What::requests && what != What::pairs; }

// Whether inputs are summed for this one: maps that read the same share them, and those of experts' second maps are not
// seen (compress/layer_walk.h).
bool has_own_input(Role role) {
  constexpr Role kFirst[] = {Role::q,    Role::q_a,  Role::q_b,         Role::attention_output,
                             Role::gate, Role::down, Role::expert_gate, Role::shared_down};
  return std::ranges::find(kFirst, role) != std::end(kFirst);
}

}  // namespace

void WorkSize::add_layer_matrix(Role role, const TensorShape& shape) {
  linear_values += shape.elements();
  const auto columns = static_cast<double>(shape.cols);
  moved += static_cast<double>(shape.elements()) * columns;
  if (!has_own_input(role)) return;
  input_squares += columns * columns;
  input_cubes += columns * columns * columns;
}

std::string_view name(Stage stage) {
  constexpr std::string_view kNames[] = {"baseline", "texts", "sensitivity", "forms", "tuning", "comparison"};
  return kNames[static_cast<size_t>(stage)];
}

Text title(Stage stage) {
  constexpr Text kTitles[] = {
      {"baseline: the model as given, default settings", "基线：原模型，默认设置"},
      {"texts: to calibrate with and to judge by; what default settings lose", "文本：用于校准和评估；默认设置的损失"},
      {"sensitivity: what each tensor costs", "敏感度：每个张量的代价"},
      {"forms: quantize and judge", "候选：量化并评估"},
      {"tuning: settings by measurement", "调优：通过测量选择设置"},
      {"comparison: before against after", "对比：优化前后"},
  };
  return kTitles[static_cast<size_t>(stage)];
}

double total_seconds(const StageCosts& costs) {
  double sum = 0;
  for (const StageCost& cost : costs) sum += cost.seconds;
  return sum;
}

double form_seconds(const WorkSize& size, const Effort& effort) {
  return quantize_seconds(size, effort) + evaluation_seconds(size, effort.evaluation_windows) + kLoadSeconds +
         static_cast<double>(effort.requests) * size.request_seconds / 2;
}

StageCosts predict(const WorkSize& size, const Effort& effort, double budget) {
  StageCosts out{};
  const auto at = [&](Stage stage) -> StageCost& { return out[static_cast<size_t>(stage)]; };
  const double runs = static_cast<double>(effort.requests) * size.request_seconds;
  const int64_t run_memory = size.own_memory + size.run_memory;
  at(Stage::baseline) = {kLoadSeconds + runs, run_memory, 0};
  if (!size.settings_only) {
    at(Stage::texts) = {texts_seconds(size, effort) + evaluation_seconds(size, effort.evaluation_windows),
                        size.evaluation_memory, 0};
    const int64_t rows = effort.sensitivity_windows * kSensitivityTokens;
    const int64_t logits = effort.sensitivity_windows * kSensitivityScored * size.vocabulary * 4;
    at(Stage::sensitivity).seconds = sensitivity_seconds(size, effort);
    if (rows > 0) {
      at(Stage::sensitivity).memory = size.source_bytes + 3 * logits + (size.layers + 8) * rows * size.hidden * 4;
    }
    // What is being made lies there tensor by tensor, then as a file, beside the best form so far.
    at(Stage::forms) = {static_cast<double>(effort.forms) * form_seconds(size, effort),
                        std::max(size.evaluation_memory, run_memory), 2 * size.source_bytes};
  }
  at(Stage::tuning) = {effort.tuning_share * budget, effort.tuning_share > 0 ? size.own_memory + size.tried_memory : 0,
                       0};
  at(Stage::comparison) = {static_cast<double>(effort.pairs + 1) *
                               (2 * kLoadSeconds + 1.6 * static_cast<double>(effort.requests) * size.request_seconds),
                           run_memory, 0};
  return out;
}

FittedEffort fit_effort(const WorkSize& size, const Effort& full, double budget) {
  FittedEffort out{.effort = full, .shrunk = {}, .costs = predict(size, full, budget), .fits = false};
  const auto fits = [&] { return total_seconds(out.costs) <= (1 - kSpareTime) * budget; };
  std::vector<Step> undo;
  for (const Step& step : kSteps) {
    if (fits()) break;
    if (size.settings_only && concerns_weights(step.what)) continue;
    const double before = value_of(out.effort, step.what);
    if (step.to >= before) continue;
    set_value(out.effort, step.what, step.to);
    out.costs = predict(size, out.effort, budget);
    undo.push_back({step.what, before});
  }
  out.fits = fits();
  // The last step may have made far more room than was needed: what was given up last comes back first.
  for (const Step& step : std::views::reverse(undo)) {
    const FittedEffort smaller = out;
    set_value(out.effort, step.what, step.to);
    out.costs = predict(size, out.effort, budget);
    if (!out.fits || !fits()) out = smaller;
  }
  for (const What what : kThings) {
    const double from = value_of(full, what), to = value_of(out.effort, what);
    if (to < from) out.shrunk.push_back({what, from, to});
  }
  return out;
}

std::string shrunk_words(const Shrunk& shrunk, Language language) {
  const bool zh = language == Language::zh;
  const auto counted = [&](std::string_view en, std::string_view zh_words) {
    return fmt::format(fmt::runtime(zh ? zh_words : en), shrunk.to, shrunk.from);
  };
  switch (shrunk.what) {
    case What::forms:
      return counted("forms made: at most {:.0f} instead of {:.0f}", "最多 {:.0f} 个候选，而不是 {:.0f} 个");
    case What::evaluation:
      return counted("quality by {:.0f} windows instead of {:.0f}", "用 {:.0f} 个窗口评估质量，而不是 {:.0f} 个");
    case What::calibration:
      return counted("calibration by {:.0f} windows instead of {:.0f}", "用 {:.0f} 个窗口校准，而不是 {:.0f} 个");
    case What::sensitivity:
      if (shrunk.to == 0) {
        return std::string(zh ? "不测量敏感度：每个候选的所有张量使用同一类型"
                              : "no sensitivity: all tensors of a form get one type");
      }
      return counted("sensitivity by {:.0f} windows instead of {:.0f}", "用 {:.0f} 个窗口测量敏感度，而不是 {:.0f} 个");
    case What::tuning:
      return counted("tuning takes {:.2f} of the budget instead of {:.2f}", "调优占时间预算的 {:.2f}，而不是 {:.2f}");
    case What::requests:
      return counted("{:.0f} requests a measurement instead of {:.0f}", "每次测量 {:.0f} 个请求，而不是 {:.0f} 个");
    case What::pairs:
      return counted("{:.0f} pairs in the comparison instead of {:.0f}", "对比用 {:.0f} 对测量，而不是 {:.0f} 对");
    case What::method:
      break;
  }
  return fmt::format(fmt::runtime(zh ? "量化方法 {}，而不是 {}" : "method {} instead of {}"),
                     name(static_cast<QuantizeMethod>(static_cast<int>(shrunk.to))),
                     name(static_cast<QuantizeMethod>(static_cast<int>(shrunk.from))));
}

}  // namespace autoglm
