#include "optimize/forms.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "compress/quantize.h"

namespace autoglm {
namespace {

constexpr double kBits[] = {3.0, 3.25, 3.5, 3.75, 4.0, 4.25, 4.5, 4.75, 5.0, 5.5, 6.0, 6.6, 7.5, 8.5};
// What carrying errors on (GPTQ) leaves of the divergence that rounding alone costs; about, the first form corrects it.
constexpr double kAfterMethod = 0.6;
// Divergence of a small model with all matrices in one type, where nothing was measured.
constexpr std::pair<Type, double> kUniform[] = {
    {Type::q3_k, 0.25}, {Type::iq4_nl, 0.1}, {Type::q5_0, 0.03}, {Type::q6_k, 0.01}, {Type::q8_0, 0.003}};
// A prompt is bound by arithmetic: int8 against bf16, and against float32.
constexpr double kPromptShare = 0.55;

FormFigures predict_figures(const SourceFigures& source, int64_t bytes, double divergence) {
  FormFigures out = source.figures;
  const double ratio = static_cast<double>(bytes) / static_cast<double>(std::max<int64_t>(1, source.figures.bytes));
  out.bytes = bytes;
  out.memory = std::max<int64_t>(bytes, source.figures.memory - source.figures.bytes + bytes);
  out.ms = source.figures.ms * (source.decode_share * ratio + (1 - source.decode_share) * kPromptShare);
  out.kld = source.figures.kld + divergence;
  return out;
}

FormRecord knapsack_form(const std::vector<TensorCost>& costs, const Recipe& recipe, int64_t beside,
                         const SourceFigures& source) {
  int64_t bytes = 0, values = 0;
  double divergence = 0;
  for (const TensorCost& tensor : costs) {
    const Type type = recipe.type_of(tensor.name);
    const auto found = std::ranges::find(tensor.types, type, &TypeCost::type);
    bytes += found->bytes;
    divergence += found->divergence;
    values += tensor.values;
  }
  FormRecord out;
  out.bits = 8.0 * static_cast<double>(bytes) / static_cast<double>(std::max<int64_t>(1, values));
  out.name = fmt::format("{:.2f} bits", out.bits);
  out.recipe = recipe;
  out.form.predicted = predict_figures(source, bytes + beside, kAfterMethod * divergence);
  return out;
}

}  // namespace

std::vector<FormRecord> knapsack_forms(const std::vector<TensorCost>& costs, int64_t beside,
                                       const SourceFigures& source, const Limits& limits) {
  int64_t values = 0, least = 0;
  for (const TensorCost& tensor : costs) {
    values += tensor.values;
    least += std::ranges::min_element(tensor.types, {}, &TypeCost::bytes)->bytes;
  }
  std::vector<int64_t> budgets;
  for (const double bits : kBits) budgets.push_back(static_cast<int64_t>(bits * static_cast<double>(values) / 8));
  if (limits.max_bytes > 0) budgets.push_back(limits.max_bytes - beside);
  std::vector<FormRecord> out;
  for (const int64_t budget : budgets) {
    if (budget < least) continue;
    FormRecord form = knapsack_form(costs, choose_recipe(costs, budget), beside, source);
    const bool known = std::ranges::any_of(
        out, [&](const FormRecord& other) { return other.form.predicted.bytes == form.form.predicted.bytes; });
    if (!known && form.form.predicted.bytes < source.figures.bytes) out.push_back(std::move(form));
  }
  std::ranges::sort(out, {}, [](const FormRecord& form) { return form.form.predicted.bytes; });
  return out;
}

std::vector<FormRecord> uniform_forms(const ModelSource& source, int64_t beside, const SourceFigures& figures) {
  std::vector<FormRecord> out;
  for (const auto& [type, divergence] : kUniform) {
    QuantizeOptions options;
    options.recipe = uniform_recipe(type);
    options.requantize = true;
    const QuantizeResult plan = plan_quantize(source, options);
    FormRecord form;
    form.bits = plan.bits_per_weight;
    form.name = std::string(info(type).name);
    form.recipe = options.recipe;
    form.form.predicted = predict_figures(figures, plan.bytes + beside, divergence);
    const bool smaller = plan.bytes + beside < figures.figures.bytes;
    if (smaller && (out.empty() || out.back().form.predicted.bytes < form.form.predicted.bytes)) {
      out.push_back(std::move(form));
    }
  }
  return out;
}

int64_t least_bytes(const ModelSource& source, int64_t beside, bool requantize) {
  QuantizeOptions options;
  options.recipe = {.matrix = Type::q2_k, .tensors = {}};
  options.requantize = requantize;
  return plan_quantize(source, options).bytes + beside;
}

bool is_quantized(const ModelSource& source) {
  return std::ranges::any_of(source.tensors(), [](const TensorEntry& tensor) {
    return tensor.shape.size() > 1 && info(tensor.type).quantized;
  });
}

std::string types_of(const ModelSource& source) {
  std::map<Type, int64_t> bytes;
  int64_t all = 0;
  for (const TensorEntry& tensor : source.tensors()) {
    bytes[tensor.type] += std::ssize(tensor.data);
    all += std::ssize(tensor.data);
  }
  std::vector<std::pair<int64_t, Type>> sorted;
  for (const auto& [type, size] : bytes) sorted.emplace_back(size, type);
  std::ranges::sort(sorted, std::greater{});
  std::string out;
  for (const auto& [size, type] : sorted) {
    const double share = static_cast<double>(size) / static_cast<double>(std::max<int64_t>(1, all));
    if (share < 0.005 && !out.empty()) continue;
    out += fmt::format("{}{} {:.0f} %", out.empty() ? "" : ", ", info(type).name, 100 * share);
  }
  return out;
}

}  // namespace autoglm
