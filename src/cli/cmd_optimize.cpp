// optimize: a model, a machine and a wish; out come a smaller, faster model, its settings and the proof.
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "cli/display.h"
#include "cli/open.h"
#include "kernels/probe.h"
#include "optimize/child_runs.h"
#include "optimize/folder.h"
#include "optimize/optimize.h"
#include "optimize/words.h"
#include "optimize/writers.h"
#include "text/tokenizer_export.h"
#include "tune/workload.h"

namespace autoglm {
namespace {

void read_texts(const Context& context, OptimizeOptions& options) {
  if (const auto file = context.settings().text_if("optimize.calibration")) {
    options.calibration_file = *file;
    options.calibration_text = read_text(*file);
    check_utf8(options.calibration_text, *file);
  }
  const auto file = context.settings().text_if("optimize.text");
  if (!file) return;
  std::string text = read_text(*file);
  if (file->ends_with(".jsonl")) {
    options.evaluation = read_text_lines(text, *file, "text");
  } else {
    check_utf8(text, *file);
    options.evaluation = {{*file, "text", std::move(text)}};
  }
}

// Room for more requests than the workload ever has is memory that nobody uses.
void size_for_workload(const Context& context, OptimizeOptions& options) {
  constexpr std::string_view kKey = "batching.max_batch_size";
  const Settings& settings = context.settings();
  if (options.workload.ends_with(".jsonl") || settings.given(kKey)) return;
  const int64_t users = workload_defaults(options.workload).users;
  const int64_t usual = settings.integer(kKey);
  if (users < 1 || users >= usual) return;
  options.sized.push_back({std::string(kKey), std::to_string(users), std::to_string(usual),
                           fmt::format("the workload has {} requests at once; room for more takes memory", users),
                           fmt::format("该负载同时有 {} 个请求；为更多请求预留空间会占用内存", users)});
}

OptimizeOptions optimize_options(const Context& context, const ModelSource& source) {
  const Settings& settings = context.settings();
  OptimizeOptions options;
  options.folder = settings.text_if("optimize.out").value_or("");
  if (options.folder.empty()) fail(Code::bad_flag, "optimize needs a folder to write to", "give one with -o OUT");
  options.source_name = context.argument("MODEL");
  options.goal = *goal_from_name(settings.text("optimize.goal"));
  options.limits.max_kld = settings.real("optimize.max_kld");
  options.limits.max_bytes = settings.bytes_if("optimize.max_bytes").value_or(0);
  options.workload = settings.text("optimize.workload");
  options.budget = static_cast<double>(settings.microseconds("optimize.time_budget")) / 1e6;
  options.requantize = settings.boolean("optimize.requantize");
  options.language = context.language();
  if (!settings.boolean("optimize.tune")) options.full.tuning_share = 0;
  if (settings.given("runtime.memory_limit")) {
    options.limits.max_memory = settings.bytes("runtime.memory_limit");
    options.fixed.push_back({"runtime.memory_limit", settings.to_yaml_value("runtime.memory_limit"), "auto",
                             "asked for with --memory-limit", "由 --memory-limit 指定"});
  }
  size_for_workload(context, options);
  if (source.container() == Container::safetensors) options.tokenizer = tokenizer_metadata(source);
  read_texts(context, options);
  return options;
}

// What the user said of the machine holds for every run.
ChildRun child_run(const Context& context, const OptimizeOptions& options) {
  const Settings& settings = context.settings();
  ChildRun run;
  run.workload = options.workload;
  for (const std::string_view key : {"runtime.threads", "runtime.isa", "runtime.affinity", "runtime.priority"}) {
    if (!settings.given(key)) continue;
    run.common.emplace_back(find_setting(key)->flag);
    run.common.push_back(settings.as_word(key));
  }
  // Packs of forms that are soon gone do not belong into the user's cache.
  run.common.insert(run.common.end(), {"--cache-dir", (options.folder / ".work" / "cache").string()});
  for (const LogicalCpu& cpu : context.machine().allowed) run.cpus.push_back(cpu.cpu);
  run.interrupted = [&context] { return context.interrupt().requested(); };
  return run;
}

// What the tuner may change; what the user has set stays.
std::vector<TunedField> fields_of(const Context& context, const OptimizeOptions& options) {
  const bool file = options.workload.ends_with(".jsonl");
  auto fields =
      search_space(context.settings(), context.machine(), file ? 0 : workload_defaults(options.workload).users);
  std::erase_if(fields, [&](const TunedField& field) {
    const auto same = [&](const SettingRecord& record) { return record.key == field.setting->key; };
    return std::ranges::any_of(options.fixed, same) || std::ranges::any_of(options.sized, same);
  });
  return fields;
}

// With each field at the value that takes the most memory.
LoadOptions largest_options(const Settings& given, const std::vector<TunedField>& fields, const ModelSource& source,
                            const Runtime& runtime) {
  Settings largest = given;
  for (const TunedField& field : fields) {
    const std::string_view key = field.setting->key;
    std::pair<int64_t, std::string> most{-1, field.values.front()};
    for (const std::string& value : field.values) {
      largest.set(key, value, Origin::flag, "tried");
      most = std::max(most, {Model::plan(source, runtime, workload_load_options(largest)).total_bytes, value});
    }
    largest.set(key, most.second, Origin::flag, "tried");
  }
  return workload_load_options(largest);
}

/// A line of progress for each label.
class Line {
 public:
  explicit Line(const Context& context) : context_(context) {}
  void operator()(const std::string& label, int64_t done, int64_t total) {
    if (!progress_ || label != label_) {
      progress_.reset();  // clears its line
      progress_.emplace(context_.progress(label, total, false));
      label_ = label;
    }
    progress_->set_total(total);
    progress_->update(done);
  }
  void end() { progress_.reset(); }

 private:
  const Context& context_;
  std::optional<Progress> progress_;
  std::string label_;
};

std::string padded(const std::string& text, int width, bool right) {
  const std::string space(static_cast<size_t>(std::max(0, width - display_width(text))), ' ');
  return right ? space + text : text + space;
}

void print_report(const Context& context, const OptimizeReport& report) {
  const OptimizeWords words = optimize_words(report, context.language());
  std::string out = words.title + "\n\n";
  std::vector<std::vector<std::string>> rows = words.summary.rows;
  rows.insert(rows.begin(), words.summary.head);
  std::vector<int> widths(words.summary.head.size());
  for (const auto& row : rows) {
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], display_width(row[i]));
  }
  for (const auto& row : rows) {
    for (size_t i = 0; i < row.size(); ++i)
      out += padded(row[i], widths[i], i > 0) + (i + 1 < row.size() ? "  " : "\n");
  }
  out += "\n";
  for (const std::string& line : words.verdict) out += line + "\n";
  out += "\n";
  for (const std::string& line : words.undo) out += line + "\n";
  context.print(out);
}

int print_plan(const Context& context, const OptimizeReport& report) {
  if (context.json()) {
    nlohmann::json object = optimize_json(report);
    context.print_json(
        {{"stages", object["stages"]}, {"shrunk", object["shrunk"]}, {"budget_ms", object["budget_ms"]}});
    return 0;
  }
  for (const std::string& line : plan_words(report, context.language())) context.print(line + "\n");
  return 0;
}

int run(Context& context) {
  const std::shared_ptr<const ModelSource> source = open_source(context);
  const std::unique_ptr<Tokenizer> tokenizer = open_tokenizer(*source);
  OptimizeOptions options = optimize_options(context, *source);
  check_optimize_folder(options.folder);
  const std::vector<TunedField> fields = fields_of(context, options);
  ChildRuns runs(child_run(context, options), fields);
  // --memory-limit is what the result may take; the work itself takes what the machine has.
  Runtime runtime = open_runtime(context, context.machine().usable_memory());
  options.int8_gops = probe_int8_gops(*runtime.pool, runtime.backend->name());
  options.read_gbps = probe_read_gbps(*runtime.pool, runtime.backend->name(), probe_read_bytes(0));
  options.run = workload_load_options(context.settings());
  options.tried = largest_options(context.settings(), fields, *source, runtime);
  const OptimizeInputs inputs{source, tokenizer.get(), &runtime, &runs};
  if (context.settings().boolean("optimize.dry_run")) return print_plan(context, plan_optimize(inputs, options, false));
  Line line(context);
  options.progress = [&](const std::string& label, int64_t done, int64_t total) { line(label, done, total); };
  options.say = [&](const std::string& text) {
    line.end();
    context.note(text);
  };
  options.check = [&] { context.interrupt().check(); };
  const OptimizeReport report = optimize(inputs, options);
  line.end();
  if (context.json()) {
    context.print_json(optimize_json(report));
  } else {
    print_report(context, report);
  }
  return report.verdict == Verdict::interrupted ? info(Code::interrupted).exit_code : 0;
}

}  // namespace

const Command kOptimize = {
    .name = "optimize",
    .summary = {"make a model smaller and faster by itself, with proof", "自动让模型更小更快，并给出证明"},
    .positionals = {{.name = "MODEL", .required = true, .help = {"a BF16, F16 or F32 model", "BF16、F16 或 F32 模型"}}},
    .details =
        {"Measures the model as it is, finds what each tensor costs, makes the forms that promise most, judges each "
         "against the source's exact answers, searches settings, and compares before and after in alternation. OUT "
         "holds model.gguf, autoglm.yaml and the report; `autoglm serve --config OUT/autoglm.yaml` uses it. Where "
         "nothing is better the default is written. Ctrl-C leaves the best so far. An already quantized model only "
         "gets "
         "settings. docs/OPTIMIZE.md shows a run.",
         "先测量原模型，找出每个张量的代价，制作最有希望的几种形式，逐一与来源的精确结果比较，搜索设置，最后交替对比优"
         "化前后。"
         "OUT 中有 model.gguf、autoglm.yaml 和报告；用 `autoglm serve --config OUT/autoglm.yaml` "
         "使用。没有更好的结果时写出默认值。"
         "Ctrl-C 会保留目前最好的结果。已量化的模型只优化设置。docs/OPTIMIZE.zh.md 展示了完整过程。"},
    .examples = {{"autoglm optimize model-bf16.gguf -o out --goal latency --max-kld 0.05",
                  {"as fast as the limit allows", "在限制内尽可能快"}},
                 {"autoglm optimize model-bf16.gguf -o out --memory-limit 1GiB --time-budget 30m",
                  {"to fit a small machine", "适应小内存机器"}},
                 {"autoglm optimize model-bf16.gguf -o out --dry-run", {"what it would take", "需要多少资源"}}},
    .json_keys = "before{}, after{} (the same keys), quality{}, config, forms, settings, stages",
    .run = run,
};

}  // namespace autoglm
