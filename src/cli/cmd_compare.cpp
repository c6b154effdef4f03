// compare: what a model has lost against another form of it (compress/quality_report.h).
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>

#include "cli/commands.h"
#include "cli/display.h"
#include "cli/open.h"
#include "compress/quality_words.h"
#include "compress/quality_writers.h"

namespace autoglm {
namespace {

constexpr double kMostOverlap = 0.01;  // phrases that all texts of a kind share, such as licences

/// A model on its way to be compared.
struct Candidate {
  std::shared_ptr<const ModelSource> source;
  std::unique_ptr<Tokenizer> tokenizer;
  std::unique_ptr<Model> model;
  QualityModel side;
};

void open_candidate(Context& context, const char* argument, Candidate& out) {
  out.source = open_model(model_path(context, context.argument(argument)));
  out.tokenizer = open_tokenizer(*out.source);
  out.side = {nullptr, out.tokenizer.get(), out.source.get(), context.argument(argument)};
}

void add_texts(const std::string& path, const std::string& kind, std::vector<EvaluationText>& out) {
  std::string text = read_text(path);
  if (path.ends_with(".jsonl")) {
    for (EvaluationText& one : read_text_lines(text, path, kind)) out.push_back(std::move(one));
    return;
  }
  if (text.ends_with('\n')) text.pop_back();  // as `perplexity` and llama.cpp do
  check_utf8(text, path);
  out.push_back({path, kind, std::move(text)});
}

std::vector<EvaluationText> evaluation_texts(Context& context) {
  std::vector<EvaluationText> out;
  add_texts(context.argument("FILE"), "text", out);
  for (const std::string& given : context.settings().list("compare.text")) {
    const size_t sign = given.find('=');
    if (sign == 0 || sign == std::string::npos || sign + 1 == given.size()) {
      fail(Code::bad_flag, fmt::format("--text {} is not KIND=FILE", given), "for example --text code=examples.txt");
    }
    add_texts(given.substr(sign + 1), given.substr(0, sign), out);
  }
  return out;
}

// Texts that a model was calibrated with prove nothing about it.
void check_calibration(Context& context, const std::vector<EvaluationText>& texts, QualityOptions& options) {
  const std::optional<std::string> path = context.settings().text_if("compare.calibration");
  if (!path) return;
  const std::string calibration = read_text(*path);
  options.calibration_sha256 = quality_sha256(calibration);
  const TextFingerprint fingerprint(calibration);
  double shared = 0, all = 0;
  for (const EvaluationText& text : texts) {
    shared += fingerprint.overlap(text.text) * static_cast<double>(text.text.size());
    all += static_cast<double>(text.text.size());
  }
  options.calibration_overlap = all > 0 ? shared / all : 0;
  if (options.calibration_overlap > kMostOverlap) {
    fail(Code::bad_file,
         fmt::format("{:.1f} % of the text to judge by is in {}, which B was calibrated with",
                     100 * options.calibration_overlap, *path),
         "give a text that B has not seen");
  }
}

QualityOptions quality_options(Context& context, const std::vector<EvaluationText>& texts) {
  const Settings& settings = context.settings();
  QualityOptions options;
  options.window = settings.integer("compare.window");
  options.max_windows = settings.integer_if("compare.windows").value_or(0);
  options.seed = static_cast<uint64_t>(settings.integer("compare.seed"));
  options.speed = settings.boolean("compare.speed");
  if (const auto tasks = settings.text_if("compare.tasks")) options.tasks = read_tasks(read_text(*tasks), *tasks);
  check_calibration(context, texts, options);
  return options;
}

/// A line of progress a stage, and Ctrl-C.
class Stages {
 public:
  explicit Stages(const Context& context) : context_(context) {}
  void operator()(QualityStage stage, int64_t done, int64_t total) {
    if (!progress_ || stage != stage_) {
      progress_.reset();  // clears its line
      progress_.emplace(context_.progress(label(stage), total, false));
      stage_ = stage;
    }
    progress_->update(done);
    context_.interrupt().check();
  }
  void end() { progress_.reset(); }

 private:
  static std::string label(QualityStage stage) {
    switch (stage) {
      case QualityStage::tensors:
        return "comparing weights";
      case QualityStage::windows:
        return "reading windows, tokens";
      case QualityStage::speed:
        return "measuring speed";
      case QualityStage::tasks:
        break;
    }
    return "tasks";
  }
  const Context& context_;
  std::optional<Progress> progress_;
  QualityStage stage_ = QualityStage::tensors;
};

void load_both(Context& context, Candidate& a, Candidate& b, PackStore* packs, Runtime& runtime, int64_t window) {
  LoadOptions options = quality_load_options(load_options(context), window);
  LoadOptions exact = options;
  if (context.settings().text("compare.reference") == "f32") {
    exact.precision = Precision::f32;
    exact.kv_type = KvType::f32;
  } else {
    exact.precision = Precision::automatic;
  }
  a.model = load_model(context, a.source, packs, runtime, exact, window);
  b.model = load_model(context, b.source, packs, runtime, options, window);
  a.side.model = a.model.get();
  b.side.model = b.model.get();
}

void print_report(const Context& context, const QualityReport& report) {
  const Language language = context.language();
  std::string out = report_title(report, language) + "\n\n";
  for (const std::string& line : report_verdict(report, language)) out += line + "\n";
  const ReportTable summary = report_tables(report, language).front();
  int width = 0;
  for (const auto& row : summary.rows) width = std::max(width, display_width(row[0]));
  out += "\n";
  for (const auto& row : summary.rows) {
    out +=
        fmt::format("{}{}  {}\n", row[0], std::string(static_cast<size_t>(width - display_width(row[0])), ' '), row[1]);
  }
  if (report.tasks) {
    out += fmt::format(fmt::runtime(language == Language::zh ? "\n任务：A 答对 {}，B 答对 {}，共 {}\n"
                                                             : "\ntasks: A {} right, B {} right, of {}\n"),
                       report.tasks->right_a, report.tasks->right_b, report.tasks->count());
  }
  context.print(out);
}

int run(Context& context) {
  const std::optional<std::string> out = context.settings().text_if("compare.report");
  if (out) check_quality_output(*out);
  const std::vector<EvaluationText> texts = evaluation_texts(context);
  QualityOptions options = quality_options(context, texts);
  std::unique_ptr<PackStore> packs;  // like the runtime: outlives the models
  Runtime runtime;
  Candidate a, b;
  open_candidate(context, "A", a);
  open_candidate(context, "B", b);
  check_comparable(a.side, b.side);
  packs = open_packs(context);
  runtime = open_runtime(context);
  load_both(context, a, b, packs.get(), runtime, options.window);
  Stages stages(context);
  options.progress = [&](QualityStage stage, int64_t done, int64_t total) { stages(stage, done, total); };
  const QualityReport report = make_quality_report(a.side, b.side, texts, runtime, options);
  stages.end();
  if (out) {
    for (const std::filesystem::path& path : write_quality_report(report, *out, context.language())) {
      context.note(fmt::format("report: {}", path.string()));
    }
  }
  if (context.json()) {
    context.print_json(quality_json(report));
  } else {
    print_report(context, report);
  }
  const bool fault =
      std::ranges::any_of(report.tensors.tensors, [](const TensorFigures& t) { return t.fault.has_value(); });
  return fault ? 1 : 0;
}

}  // namespace

const Command kCompare = {
    .name = "compare",
    .summary = {"quality of a model against its source", "比较模型与其来源的质量"},
    .positionals = {{.name = "A",
                     .required = true,
                     .help = {"the model to judge by, read exactly", "作为标准的模型（精确计算）"}},
                    {.name = "B", .required = true, .help = {"the model to be judged", "被评估的模型"}},
                    {.name = "FILE",
                     .required = true,
                     .help = {"a text, or a JSONL file with \"text\" and \"kind\" in each line",
                              "文本文件，或每行含 \"text\" 和 \"kind\" 的 JSONL 文件"}}},
    .details =
        {"Both models read the same windows of --ctx tokens; the second half of each is scored, as `perplexity` does "
         "it. "
         "Tells divergence, agreement and perplexity with intervals, by position and kind of text, the places where "
         "the "
         "models part, and the tensors that are farthest off; a tensor that is damaged, not just rounded, is named and "
         "the exit code is 1.",
         "两个模型读取相同的窗口（--ctx 个 token），与 `perplexity` "
         "一样对后半部分计分。给出散度、一致率和困惑度及其区间，"
         "并按位置和文本种类细分，还列出分歧之处和误差最大的张量；若张量是损坏而非舍入误差，会指出其名称，退出码为 "
         "1。"},
    .examples = {{"autoglm compare model-bf16.gguf model-q4_0.gguf text.txt --report report.html",
                  {"a page to read", "生成可阅读的网页"}},
                 {"autoglm compare a.gguf b.gguf prose.txt --text code=code.txt --windows 40",
                  {"two kinds of text", "两种文本"}}},
    .json_keys = "kld_mean, kld_p99, top1_agreement, ppl_a, ppl_b, ppl_ratio, ppl_ratio_ci",
    .run = run,
};

}  // namespace autoglm
