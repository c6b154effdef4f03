#include "optimize/judge.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "text/chat_spec.h"

namespace autoglm {
namespace {

constexpr uint64_t kCalibrationSeed = 1;
constexpr uint64_t kEvaluationSeed = 2;
constexpr double kMostOverlap = 0.01;  // phrases that all texts of a kind share

std::string joined(const Tokenizer& tokenizer, const std::vector<std::vector<int32_t>>& windows) {
  std::string out;
  for (const std::vector<int32_t>& window : windows) out += tokenizer.decode(window) + "\n\n";
  return out;
}

}  // namespace

void Judge::tell(const char* en, const char* zh, int64_t done, int64_t total) const {
  if (options_.check) options_.check();
  if (options_.progress) options_.progress(options_.language == Language::zh ? zh : en, done, total);
}

LoadOptions Judge::load_options() const { return quality_load_options({}, options_.window); }

int64_t Judge::memory() const {
  LoadOptions exact = load_options();
  exact.precision = Precision::f32;
  exact.kv_type = KvType::f32;
  return Model::plan(*inputs_.source, *inputs_.runtime, exact).total_bytes +
         Model::plan(*inputs_.source, *inputs_.runtime, load_options()).total_bytes;
}

Windows Judge::write_own(int64_t windows, uint64_t seed) {
  const CalibrationShape shape{.windows = windows, .length = options_.window, .seed = seed};
  const Tokenizer& tokenizer = *inputs_.tokenizer;
  return own_windows(inputs_.source, *inputs_.runtime, tokenizer, load_chat_model(*inputs_.source, tokenizer), shape,
                     options_.check,
                     [&](int64_t done, int64_t total) { tell("writing text", "生成文本", done, total); });
}

void Judge::prepare(const Effort& effort) {
  // Sensitivity reads windows of the calibration text even where rounding needs none.
  const int64_t wanted = std::max<int64_t>(effort.calibration_windows, effort.sensitivity_windows);
  const bool calibrated = !options_.calibration_file.empty();
  if (calibrated) {
    calibration_ = file_windows(*inputs_.tokenizer, *inputs_.source, options_.calibration_text,
                                options_.calibration_file, {.windows = wanted, .length = options_.window});
    calibration_record_ = {options_.calibration_file, quality_sha256(options_.calibration_text),
                           std::ssize(calibration_), false};
  }
  evaluation_ = options_.evaluation;
  std::string all;
  for (const EvaluationText& text : evaluation_) {
    all += text.text;
    evaluation_record_.name += (evaluation_record_.name.empty() ? "" : ", ") + text.name;
  }
  if (!evaluation_.empty()) {
    evaluation_record_.sha256 = quality_sha256(all);
    evaluation_record_.windows = effort.evaluation_windows;
  }
  if (calibrated && !evaluation_.empty()) {
    const double overlap = TextFingerprint(options_.calibration_text).overlap(all);
    if (overlap > kMostOverlap) {
      fail(Code::bad_file,
           fmt::format("{:.1f} % of the text to judge by is in {}, which forms are calibrated with", 100 * overlap,
                       options_.calibration_file),
           "give texts that do not share passages");
    }
  }
  if (!calibrated) {
    calibration_ = write_own(wanted, kCalibrationSeed);
    calibration_record_ = {fmt::format("own text, seed {}", kCalibrationSeed),
                           quality_sha256(joined(*inputs_.tokenizer, calibration_)), std::ssize(calibration_), true};
  }
  if (evaluation_.empty()) {
    // A text that was decoded may be fewer tokens when it is read again.
    const int64_t spare = effort.evaluation_windows + effort.evaluation_windows / 8 + 1;
    const std::string text = joined(*inputs_.tokenizer, write_own(spare, kEvaluationSeed));
    evaluation_ = {{fmt::format("own text, seed {}", kEvaluationSeed), "own", text}};
    evaluation_record_ = {evaluation_.front().name, quality_sha256(text), spare, true};
  }
}

QualityReport Judge::judge(const std::shared_ptr<const ModelSource>& form, const std::string& name, int64_t windows,
                           KvType kv_type) {
  Runtime& runtime = *inputs_.runtime;
  LoadOptions exact = load_options();
  exact.precision = Precision::f32;
  exact.kv_type = KvType::f32;
  LoadOptions used = load_options();
  used.kv_type = kv_type;
  const std::unique_ptr<Model> a = Model::load(inputs_.source, runtime, exact);
  const std::unique_ptr<Model> b = Model::load(form, runtime, used);
  const std::unique_ptr<Tokenizer> tokenizer = load_tokenizer(*form);
  AUTOGLM_CHECK(tokenizer != nullptr, "a form has its source's tokenizer");
  const QualityModel side_a{a.get(), inputs_.tokenizer, inputs_.source.get(), options_.source_name};
  const QualityModel side_b{b.get(), tokenizer.get(), form.get(), name};
  QualityOptions quality;
  quality.window = options_.window;
  quality.max_windows = windows;
  quality.speed = false;
  quality.calibration_sha256 = calibration_record_.sha256;
  quality.progress = [&](QualityStage, int64_t done, int64_t total) { tell("judging", "评估质量", done, total); };
  return make_quality_report(side_a, side_b, evaluation_, runtime, quality);
}

}  // namespace autoglm
