// The quality report: what a model B has lost against a model A, with proof. `compare` prints it, and whatever writes
// a changed model makes one.
//
// Goals: both models see the same windows of the same texts, in step, and no logits are kept: a chunk of rows of both
// is compared where the models left it, so that memory does not grow with the text beyond 36 bytes a scored token.
// Same inputs, same report, on any number of threads (times apart). Not a goal: judging answers.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "compress/quality_tasks.h"
#include "compress/quality_tensors.h"
#include "compress/quality_texts.h"
#include "model/model.h"
#include "text/tokenizer.h"

namespace autoglm {

/// One side of the comparison. Everything outlives the call. Loaded with batch_rows and logit_rows as
/// quality_load_options() says.
struct QualityModel {
  Model* model = nullptr;
  const Tokenizer* tokenizer = nullptr;
  const ModelSource* source = nullptr;
  std::string name;  // for people: a path or a catalogue name
};

enum class QualityStage : uint8_t { tensors, windows, speed, tasks };

struct QualityOptions {
  int64_t window = 512;     // tokens of a window; positions window/2 .. window-2 are scored, as llama.cpp does it
  int64_t max_windows = 0;  // 0: all; else this many, spread evenly over the texts
  uint64_t seed = 1;        // of the bootstrap
  int resamples = 2000;     // of the bootstrap
  int most_tensors = 10;    // worst tensors that are listed
  int most_partings = 12;   // places where the models part that are shown
  bool speed = true;        // measure a few decoded tokens of both
  std::vector<QualityTask> tasks;
  /// SHA-256 of the text that B was calibrated with; empty: none or not known. quality_texts.h finds overlaps.
  std::string calibration_sha256;
  double calibration_overlap = 0;  // share of the evaluation texts' bytes that the calibration text has, too
  std::function<void(QualityStage, int64_t done, int64_t total)> progress;  // may be empty; may throw (Ctrl-C)
};

/// A 95 % interval.
struct Interval {
  double low = 0;
  double high = 0;
};

/// Scored tokens of a group in numbers. Divergences are KL(A || B) in nats.
struct DivergenceSummary {
  int64_t tokens = 0;
  double kld_mean = 0, kld_median = 0, kld_p90 = 0, kld_p99 = 0, kld_max = 0;
  Interval kld_mean_ci;
  double top1_agreement = 0;                   // share of tokens where both find the same token likeliest
  double top5_agreement = 0;                   // share of A's five likeliest that are among B's five
  double ppl_a = 0, ppl_b = 0, ppl_ratio = 0;  // ratio: B / A
  Interval ppl_ratio_ci;
};

struct QualityGroup {
  std::string name;  // "256-319", or a kind of text
  DivergenceSummary figures;
};

/// A likely next token, with what each model gives it.
struct ScoredToken {
  int32_t id = 0;
  std::string text;
  double probability_a = 0, probability_b = 0;
};

/// A place where the models find another token likeliest.
struct Parting {
  std::string source;  // the text's name
  std::string kind;
  int64_t window = 0, position = 0;
  double kld = 0;
  std::string context;  // what stood before, in the text's own words
  ScoredToken expected, choice_a, choice_b;
};

/// How a side is stored and how fast it went here.
struct SideFigures {
  std::string name, architecture, precision, kv_type;
  int64_t parameters = 0;
  int64_t weight_bytes = 0;  // of the tensors in the file
  int64_t file_bytes = 0;
  double bits_per_weight = 0;
  int64_t planned_bytes = 0;                           // memory of a run with these windows
  double prefill_tps = 0;                              // over the windows
  std::optional<double> decode_tps;                    // median of single steps, none with speed = false
  std::vector<std::pair<std::string, int64_t>> types;  // bytes by type, largest first
  std::string scaling;                                 // of channels, as the file says (compress/scaling.h), or empty
};

struct TextFigures {
  std::string name, kind, sha256;
  int64_t bytes = 0, tokens = 0, windows = 0;  // windows: those that were evaluated
};

/// A point of the curve of divergences: `share` of the tokens have at most `kld`.
struct QuantilePoint {
  double share = 0, kld = 0;
};

/// What a reader must know of the figures; quality_words.h says it.
struct QualityWarning {
  enum class Kind : uint8_t { few_tokens, overlap, unread_text };
  Kind kind = Kind::few_tokens;
  double value = 0;                // tokens scored; or the share of the texts that was calibrated with
  std::string text, kind_of_text;  // that fills no window
};

struct QualityReport {
  static constexpr int kSchemaVersion = 1;
  SideFigures a, b;
  int64_t vocabulary = 0, window = 0, first_scored = 0, last_scored = 0, windows = 0;
  uint64_t seed = 0;
  int resamples = 0;
  std::string resampled;     // "windows", or "runs of 32 tokens" where there are few windows
  int64_t memory_bytes = 0;  // kept for the figures, beside the models
  DivergenceSummary total;
  std::vector<QualityGroup> by_position, by_kind;
  std::vector<QuantilePoint> quantiles;
  std::vector<double> kld_by_window;
  TensorComparison tensors;
  std::vector<Parting> partings;
  std::optional<TaskFigures> tasks;
  std::vector<TextFigures> texts;
  std::string calibration_sha256;
  double calibration_overlap = 0;
  std::vector<QualityWarning> warnings;
};

/// batch_rows and logit_rows for a comparison of windows of this length; context too, unless it is given.
LoadOptions quality_load_options(LoadOptions options, int64_t window);

/// Reads sources and tokenizers only, so that it can be asked before anything is loaded. Errors: bad_request (other
/// vocabularies or tokenizers: the first difference is named).
void check_comparable(const QualityModel& a, const QualityModel& b);

/// Compares. Errors: those of check_comparable(); numeric (NaN or infinity in weights or logits: the tensor is named);
/// bad_file (no text fills a window); interrupted, by options.progress. Both models use `runtime`.
QualityReport make_quality_report(const QualityModel& a, const QualityModel& b,
                                  const std::vector<EvaluationText>& texts, Runtime& runtime,
                                  const QualityOptions& options);

}  // namespace autoglm
