// inspect: what a model file holds, and what running it would take.
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <ranges>

#include "cli/commands.h"
#include "cli/open.h"
#include "engine/chat.h"
#include "model/families/family.h"
#include "model/memory_plan.h"

namespace autoglm {
namespace {

// One number if all layers agree, else one a layer.
template <typename T>
nlohmann::json by_layer(const std::vector<T>& values) {
  if (values.empty()) return nullptr;
  const bool same = std::ranges::all_of(values, [&](const T& value) { return value == values.front(); });
  return same ? nlohmann::json(values.front()) : nlohmann::json(values);
}

std::map<std::string, int64_t> bytes_by_type(const ModelSource& source) {
  std::map<std::string, int64_t> bytes;
  for (const TensorEntry& tensor : source.tensors()) {
    bytes[std::string(info(tensor.type).name)] += static_cast<int64_t>(tensor.data.size());
  }
  return bytes;
}

/// The longest context that fits, for each KV type; 0: not even the shortest.
struct Fit {
  KvType type;
  int64_t context = 0;
  MemoryPlan plan;
};

Fit longest_fit(const ModelSource& source, const Runtime& runtime, LoadOptions options, KvType type, int64_t own) {
  options.kv_type = type;
  Fit fit{.type = type, .context = 0, .plan = {}};
  int64_t low = 0;
  int64_t high = own / kKvBlock;
  while (low < high) {
    const int64_t middle = (low + high + 1) / 2;
    options.context = middle * kKvBlock;
    const MemoryPlan plan = Model::plan(source, runtime, options);
    if (plan.fits()) {
      low = middle;
      fit.plan = plan;
    } else {
      high = middle - 1;
    }
  }
  fit.context = low * kKvBlock;
  return fit;
}

struct Report {
  ArchSpec spec;
  MemoryPlan plan;
  std::map<std::string, int64_t> types;
  std::vector<Fit> fits;
  KvType kv_type = KvType::q8;
  std::string precision;
  std::string tokenizer;
  std::string chat_template;
};

Report look(Context& context, const ModelSource& source) {
  Report report;
  report.spec = read_spec(source);
  const Runtime runtime = open_runtime(context);
  LoadOptions options = load_options(context, context.settings().integer("inspect.batch"));
  report.precision = settle_precision(context, source, runtime, options);
  report.kv_type = options.kv_type;
  report.plan = Model::plan(source, runtime, options);
  report.types = bytes_by_type(source);
  if (context.settings().boolean("inspect.fit")) {
    for (const KvType type : std::views::reverse(kKvTypes)) {  // what takes least comes first
      report.fits.push_back(longest_fit(source, runtime, options, type, report.spec.train_context));
    }
  }
  if (const std::unique_ptr<Tokenizer> tokenizer = load_tokenizer(source)) {
    report.tokenizer = fmt::format("{}, {} entries", tokenizer->description(), tokenizer->size());
    report.chat_template = load_chat_model(source, *tokenizer).template_source;
  }
  return report;
}

nlohmann::json memory_json(const Report& report) {
  const MemoryPlan& plan = report.plan;
  return {{"kv_type", name(report.kv_type)},
          {"weights_bytes", plan.weights_bytes},
          {"kv_per_token_bytes", plan.kv_per_token_bytes},
          {"kv_bytes", plan.kv_bytes},
          {"activations_bytes", plan.activations_bytes},
          {"cache_bytes", plan.cache_bytes},
          {"tokenizer_bytes", plan.tokenizer_bytes},
          {"process_bytes", plan.process_bytes},
          {"total_bytes", plan.total_bytes},
          {"limit_bytes", plan.limit_bytes},
          {"context", plan.context},
          {"fits", plan.fits()}};
}

nlohmann::json to_json(const Report& report, const ModelSource& source) {
  const ArchSpec& spec = report.spec;
  nlohmann::json tensors = nlohmann::json::array();
  for (const TensorEntry& tensor : source.tensors()) {
    tensors.push_back({{"name", tensor.name}, {"type", info(tensor.type).name}, {"shape", tensor.shape}});
  }
  nlohmann::json object = {
      {"arch", spec.architecture},
      {"family", spec.family},
      {"parameters", count_parameters(spec)},
      {"layers", spec.layers},
      {"hidden", spec.hidden},
      {"heads", by_layer(spec.heads)},
      {"kv_heads", by_layer(spec.kv_heads)},
      {"vocab", spec.vocabulary},
      {"context", spec.train_context},
      {"types", report.types},
      {"tensors", std::move(tensors)},
      {"memory", memory_json(report)},
      {"tokenizer", report.tokenizer.empty() ? nlohmann::json() : nlohmann::json(report.tokenizer)},
      {"template", report.chat_template.empty() ? nlohmann::json() : nlohmann::json(report.chat_template)},
  };
  for (const Fit& fit : report.fits) {
    object["fit"].push_back(
        {{"kv_type", name(fit.type)}, {"context", fit.context}, {"total_bytes", fit.plan.total_bytes}});
  }
  return object;
}

std::string text_of(const nlohmann::json& value) { return value.dump(); }

std::string to_text(const Report& report, const ModelSource& source) {
  const ArchSpec& spec = report.spec;
  std::string text;
  const auto line = [&text](std::string_view label, const std::string& value) {
    text += fmt::format("{:<14}{}\n", label, value);
  };
  line("architecture", fmt::format("{} (family {})", spec.architecture, spec.family));
  line("parameters", fmt::format("{:.1f} million", static_cast<double>(count_parameters(spec)) / 1e6));
  line("layers", fmt::format("{}{}", spec.layers,
                             spec.mtp_layers > 0 ? fmt::format(" (and {} that are not run)", spec.mtp_layers) : ""));
  line("hidden", std::to_string(spec.hidden));
  line("heads", fmt::format("{}, KV {}", text_of(by_layer(spec.heads)), text_of(by_layer(spec.kv_heads))));
  line("context", fmt::format("{} tokens", spec.train_context));
  line("vocabulary", std::to_string(spec.vocabulary));
  line("tokenizer", report.tokenizer.empty() ? "none in this folder" : report.tokenizer);
  if (!report.chat_template.empty()) line("template", report.chat_template);
  std::string types;
  for (const auto& [type, bytes] : report.types) {
    types += fmt::format("{}{} {}", types.empty() ? "" : ", ", type, format_bytes(bytes));
  }
  line("tensors", fmt::format("{}: {}", source.tensors().size(), types));
  const MemoryPlan& plan = report.plan;
  line("memory", fmt::format("{}: weights {}, KV cache {} ({} tokens, {} a token), activations {}, the rest {}",
                             format_bytes(plan.total_bytes), format_bytes(plan.weights_bytes),
                             format_bytes(plan.kv_bytes), plan.context, format_bytes(plan.kv_per_token_bytes),
                             format_bytes(plan.activations_bytes), format_bytes(plan.rest_bytes())));
  if (plan.limit_bytes > 0) {
    line("", fmt::format("{} in {}", plan.fits() ? "fits" : "does not fit", format_bytes(plan.limit_bytes)));
  }
  line("", report.precision);
  for (const Fit& fit : report.fits) {
    line(fmt::format("fits, {}", name(fit.type)),
         fit.context == 0 ? std::string("not at all")
                          : fmt::format("--ctx {} --kv-type {}: {}", fit.context, name(fit.type),
                                        format_bytes(fit.plan.total_bytes)));
  }
  const bool nothing =
      !report.fits.empty() && std::ranges::all_of(report.fits, [](const Fit& f) { return f.context == 0; });
  if (nothing) {
    // Every format spends its bits on the weights: what is left beside them bounds the bits of one.
    const int64_t beside = plan.total_bytes - plan.weights_bytes - plan.kv_bytes;
    const double bits = 8.0 * static_cast<double>(std::max<int64_t>(0, plan.limit_bytes - beside)) /
                        static_cast<double>(std::max<int64_t>(1, count_parameters(spec)));
    line("", fmt::format("the weights would have to shrink to {:.1f} bits each", bits));
  }
  return text;
}

int run(Context& context) {
  const std::shared_ptr<const ModelSource> source = open_source(context);
  const Report report = look(context, *source);
  if (context.json()) {
    context.print_json(to_json(report, *source));
  } else {
    context.print(to_text(report, *source));
  }
  return 0;
}

}  // namespace

const Command kInspect = {
    .name = "inspect",
    .summary = {"what a model holds and what it needs", "查看模型内容与所需资源"},
    .positionals = {{.name = "MODEL", .required = true, .help = {"the model", "模型"}}},
    .details =
        {"The memory estimate is for --ctx, --kv-type and --batch requests that are each as long as --ctx; --fit "
         "shows what fits this machine. Memory means the peak of what is resident (VmHWM in /proc/self/status: "
         "anonymous memory and the pages of mapped files that were touched), as in the plan that run and serve "
         "print and the peak that they and bench report.",
         "内存估计针对 --ctx、--kv-type 和 --batch 个长度均为 --ctx 的请求；--fit 显示本机放得下的配置。"
         "内存指常驻内存的峰值（/proc/self/status 中的 VmHWM：匿名内存和访问过的映射文件页），"
         "run 和 serve 打印的计划以及它们和 bench 报告的峰值也是如此。"},
    .examples = {{"autoglm inspect model.gguf --fit --memory-limit 2GiB", {"what 2 GiB allow", "2 GiB 内存能做什么"}}},
    .json_keys =
        "arch, parameters, layers, hidden, heads, kv_heads, vocab, context, types, tensors[{name, type, "
        "shape}], memory{weights_bytes, kv_per_token_bytes, kv_bytes, activations_bytes, process_bytes, "
        "total_bytes}",
    .run = run,
};

}  // namespace autoglm
