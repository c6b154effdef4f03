#include "compress/quality_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>

#include "base/error.h"
#include "compress/evaluate_models.h"
#include "compress/quality_partings.h"
#include "compress/quality_statistics.h"
#include "compress/quality_tasks.h"
#include "compress/scaling.h"
#include "model/families/family.h"
#include "model/memory_plan.h"

namespace autoglm {
namespace {

constexpr int64_t kRows = 256;
constexpr int64_t kLogitRows = 64;
constexpr int64_t kBuckets = 4;         // of positions
constexpr int64_t kEnoughWindows = 30;  // to resample whole windows
constexpr int64_t kShortRun = 32;
constexpr int64_t kFewestRuns = 16;
constexpr int64_t kFewTokens = 2000;

SideFigures describe(const QualityModel& side) {
  SideFigures out;
  out.name = side.name;
  out.architecture = side.model->spec().architecture;
  out.precision = side.model->precision() == Precision::f32 ? "f32" : "auto";
  out.kv_type = name(side.model->kv_type());
  std::map<std::string, int64_t> by_type;
  for (const TensorEntry& tensor : side.source->tensors()) {
    out.parameters += tensor.elements();
    out.weight_bytes += std::ssize(tensor.data);
    by_type[std::string(info(tensor.type).name)] += std::ssize(tensor.data);
  }
  out.types.assign(by_type.begin(), by_type.end());
  std::ranges::sort(out.types, [](const auto& x, const auto& y) {
    return std::pair(-x.second, x.first) < std::pair(-y.second, y.first);
  });
  for (const WeightFile& file : side.source->weight_files()) out.file_bytes += std::ssize(file.bytes);
  if (out.file_bytes == 0) out.file_bytes = out.weight_bytes;  // weights made in memory
  out.bits_per_weight = 8.0 * static_cast<double>(out.weight_bytes) / static_cast<double>(out.parameters);
  out.planned_bytes = side.model->memory().total_bytes;
  out.scaling = side.source->metadata().text(kScalingKey, "");
  return out;
}

/// Makes the report of one comparison.
class Evaluation {
 public:
  Evaluation(const QualityModel& a, const QualityModel& b, const std::vector<EvaluationText>& texts, Runtime& runtime,
             const QualityOptions& options)
      : a_(a), b_(b), texts_(texts), runtime_(runtime), options_(options), partings_(a, options.most_partings) {}

  QualityReport run() {
    report_.a = describe(a_);
    report_.b = describe(b_);
    report_.vocabulary = a_.model->spec().vocabulary;
    report_.window = options_.window;
    report_.seed = options_.seed;
    report_.resamples = options_.resamples;
    report_.first_scored = first_ = options_.window / 2;
    report_.last_scored = options_.window - 2;
    report_.calibration_sha256 = options_.calibration_sha256;
    report_.calibration_overlap = options_.calibration_overlap;
    // First the weights: a NaN in them is named here, and not met later in logits that do not say where it came from.
    report_.tensors = compare_tensors(*a_.source, *b_.source, *runtime_.pool,
                                      [&](int64_t done, int64_t total) { tell(QualityStage::tensors, done, total); });
    read_windows();
    summarize_all();
    if (options_.speed) measure_speed();
    if (!options_.tasks.empty()) {
      report_.tasks = run_tasks(a_, b_, options_.tasks,
                                [&](int64_t done, int64_t total) { tell(QualityStage::tasks, done, total); });
    }
    warn();
    return std::move(report_);
  }

 private:
  void tell(QualityStage stage, int64_t done, int64_t total) const {
    if (options_.progress) options_.progress(stage, done, total);
  }

  std::vector<int32_t> window_tokens(const EvaluationWindow& window) const {
    const std::vector<int32_t>& all = cut_.tokens[window.text];
    std::vector<int32_t> part(all.begin() + window.begin, all.begin() + window.begin + options_.window);
    if (a_.tokenizer->adds_bos() && a_.tokenizer->bos()) part[0] = *a_.tokenizer->bos();
    return part;
  }

  void read_windows() {
    cut_ = cut_windows(texts_, *a_.tokenizer, options_.window, options_.max_windows);
    const auto count = std::ssize(cut_.windows);
    const int64_t scored = options_.window - 1 - first_;
    report_.windows = count;
    // The figures, those of a group beside them, and divergences to sort.
    report_.memory_bytes = count * scored * (2 * kTokenBytes + 4);
    const Reservation memory(*runtime_.ledger, MemoryLine::activations, report_.memory_bytes, "figures of tokens");
    tokens_.reserve(static_cast<size_t>(count * scored));
    const std::vector<TensorFigures>& tensors = report_.tensors.tensors;
    std::string suspect;
    if (!tensors.empty()) suspect = tensors[report_.tensors.worst().front()].name;
    LockstepReader reader(a_, b_, *runtime_.pool, suspect);
    for (int64_t w = 0; w < count; ++w) {
      const EvaluationWindow& window = cut_.windows[static_cast<size_t>(w)];
      read_window(reader, w, window_tokens(window), texts_[window.text]);
    }
    report_.a.prefill_tps = static_cast<double>(reader.rows()) / std::max(1e-9, reader.seconds_a());
    report_.b.prefill_tps = static_cast<double>(reader.rows()) / std::max(1e-9, reader.seconds_b());
    report_.partings = partings_.take();
  }

  void read_window(LockstepReader& reader, int64_t number, const std::vector<int32_t>& part,
                   const EvaluationText& text) {
    double sum = 0;
    const int64_t total = std::ssize(cut_.windows) * options_.window;
    const auto check = [&](int64_t done) { tell(QualityStage::windows, number * options_.window + done, total); };
    reader.read(part, first_, check,
                [&](int64_t position, const RowDivergence& row, std::span<const float> logits_a,
                    std::span<const float> logits_b) {
                  TokenFigures figures{static_cast<float>(row.kld), static_cast<float>(row.loss_a),
                                       static_cast<float>(row.loss_b), 0};
                  for (const int32_t id : row.best_a) {
                    if (std::ranges::find(row.best_b, id) != row.best_b.end()) ++figures.agreement;
                  }
                  if (row.best_a[0] == row.best_b[0]) {
                    figures.agreement |= 0x80;
                  } else {
                    partings_.offer(number, position, part, row, logits_a, logits_b, text);
                  }
                  tokens_.push_back(figures);
                  sum += row.kld;
                });
    report_.kld_by_window.push_back(sum / static_cast<double>(options_.window - 1 - first_));
  }

  // Tokens of the windows and of the positions [begin, end) among the scored ones for which `keep(text)` holds.
  template <typename Keep>
  std::vector<TokenFigures> select(int64_t begin, int64_t end, Keep&& keep) const {
    const int64_t scored = options_.window - 1 - first_;
    std::vector<TokenFigures> out;
    for (size_t w = 0; w < cut_.windows.size(); ++w) {
      if (!keep(texts_[cut_.windows[w].text])) continue;
      const auto from = tokens_.begin() + static_cast<int64_t>(w) * scored;
      out.insert(out.end(), from + begin, from + end);
    }
    return out;
  }

  // Tokens that are drawn as one: a window, or shorter runs where there are few windows; at least kFewestRuns of them.
  static int64_t run_length(int64_t tokens, int64_t per_window) {
    if (tokens >= kEnoughWindows * per_window) return per_window;
    return std::clamp<int64_t>(tokens / kFewestRuns, 1, std::min(kShortRun, per_window));
  }

  DivergenceSummary figures_of(std::span<const TokenFigures> tokens, int64_t per_window) const {
    return summarize(tokens, run_length(std::ssize(tokens), per_window), options_.seed, options_.resamples);
  }

  void summarize_all() {
    const int64_t scored = options_.window - 1 - first_;
    report_.total = figures_of(tokens_, scored);
    const int64_t run = run_length(std::ssize(tokens_), scored);
    report_.resampled = run == scored ? "windows" : fmt::format("runs of {} tokens", run);
    report_.quantiles = quantile_curve(tokens_);
    const auto all = [](const EvaluationText&) { return true; };
    const int64_t buckets = std::min(kBuckets, scored);
    for (int64_t i = 0; i < buckets; ++i) {
      const int64_t begin = scored * i / buckets;
      const int64_t end = scored * (i + 1) / buckets;
      report_.by_position.push_back(
          {fmt::format("{}-{}", first_ + begin, first_ + end - 1), figures_of(select(begin, end, all), end - begin)});
    }
    std::vector<std::string> kinds;
    for (const EvaluationText& text : texts_) {
      if (std::ranges::find(kinds, text.kind) == kinds.end()) kinds.push_back(text.kind);
    }
    for (const std::string& kind : kinds) {
      const auto tokens = select(0, scored, [&](const EvaluationText& text) { return text.kind == kind; });
      if (!tokens.empty()) report_.by_kind.push_back({kind, figures_of(tokens, scored)});
    }
    for (size_t i = 0; i < texts_.size(); ++i) {
      const auto windows = std::ranges::count(cut_.windows, i, &EvaluationWindow::text);
      report_.texts.push_back({texts_[i].name, texts_[i].kind, quality_sha256(texts_[i].text),
                               std::ssize(texts_[i].text), std::ssize(cut_.tokens[i]), windows});
    }
  }

  void measure_speed() {
    const DecodeSpeed speed =
        measure_decoding(a_, b_, window_tokens(cut_.windows[0]),
                         [&](int64_t done, int64_t total) { tell(QualityStage::speed, done, total); });
    report_.a.decode_tps = speed.a;
    report_.b.decode_tps = speed.b;
  }

  void warn() {
    using Kind = QualityWarning::Kind;
    if (report_.total.tokens < kFewTokens) {
      report_.warnings.push_back({Kind::few_tokens, static_cast<double>(report_.total.tokens), {}, {}});
    }
    if (report_.calibration_overlap > 0) {
      report_.warnings.push_back({Kind::overlap, report_.calibration_overlap, {}, {}});
    }
    for (const TextFigures& text : report_.texts) {
      if (text.windows == 0 && options_.max_windows == 0) {
        report_.warnings.push_back({Kind::unread_text, 0, text.name, text.kind});
      }
    }
  }

  const QualityModel &a_, &b_;
  const std::vector<EvaluationText>& texts_;
  Runtime& runtime_;
  const QualityOptions& options_;
  PartingKeeper partings_;
  int64_t first_ = 0;
  EvaluationWindows cut_;
  std::vector<TokenFigures> tokens_;
  QualityReport report_;
};

}  // namespace

LoadOptions quality_load_options(LoadOptions options, int64_t window) {
  options.batch_sequences = 1;
  options.batch_rows = std::min(kRows, window);
  options.logit_rows = std::min(kLogitRows, window);
  if (options.context == 0) options.context = window;
  return options;
}

void check_comparable(const QualityModel& a, const QualityModel& b) {
  constexpr const char* kHint = "a comparison needs two forms of one model: its source and what was made of it";
  const int64_t rows_a = read_spec(*a.source).vocabulary;
  const int64_t rows_b = read_spec(*b.source).vocabulary;
  if (rows_a != rows_b) {
    fail(Code::bad_request,
         fmt::format("the models have different vocabularies: {} has {} tokens, {} has {}", a.name, rows_a, b.name,
                     rows_b),
         kHint);
  }
  const auto differ = [&](const std::string& how) {
    fail(Code::bad_request, fmt::format("{} and {} have different tokenizers: {}", a.name, b.name, how), kHint);
  };
  if (a.tokenizer->size() != b.tokenizer->size()) {
    differ(fmt::format("{} and {} entries", a.tokenizer->size(), b.tokenizer->size()));
  }
  for (int32_t id = 0; id < a.tokenizer->size(); ++id) {
    if (a.tokenizer->piece(id, true) != b.tokenizer->piece(id, true)) differ(fmt::format("token {} is another", id));
  }
  if (a.tokenizer->adds_bos() != b.tokenizer->adds_bos()) differ("only one begins a text with BOS");
}

QualityReport make_quality_report(const QualityModel& a, const QualityModel& b,
                                  const std::vector<EvaluationText>& texts, Runtime& runtime,
                                  const QualityOptions& options) {
  check_comparable(a, b);
  AUTOGLM_CHECK(options.window >= 8 && options.resamples >= 0, "bad options of a quality report");
  for (const QualityModel* side : {&a, &b}) {
    if (options.window > side->model->context()) {
      fail(Code::context_exceeded,
           fmt::format("a window of {} tokens does not fit the context of {} ({})", options.window, side->name,
                       side->model->context()),
           "use a smaller --ctx");
    }
  }
  return Evaluation(a, b, texts, runtime, options).run();
}

}  // namespace autoglm
