#include "optimize/optimize.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/mmap.h"
#include "base/settings.h"
#include "compress/quality_words.h"
#include "compress/quantize.h"
#include "compress/sensitivity.h"
#include "hw/resident.h"
#include "model/families/family.h"
#include "model/tensor_table.h"
#include "optimize/folder.h"
#include "optimize/forms.h"
#include "optimize/judge.h"
#include "optimize/writers.h"
#include "tune/child_run.h"

namespace autoglm {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

constexpr double kPlannedRequests = 2;  // by which the time of all others is predicted

double since(Clock::time_point begin) { return std::chrono::duration<double>(Clock::now() - begin).count(); }

// GPTQ moves weights that calibration hardly reaches far from where they were, block by block, to make up for others:
// what that costs is in the divergence. A block of zeros is nothing that it makes.
bool carried_on(const TensorFault& fault, QuantizeMethod method) {
  return method == QuantizeMethod::gptq && fault.kind == TensorFaultKind::blocks && std::abs(fault.factor) > 0.05;
}

/// The whole way from a model to its folder.
class Story {
 public:
  Story(const OptimizeInputs& inputs, const OptimizeOptions& options)
      : in_(inputs), options_(options), judge_(inputs, options), spec_(read_spec(*inputs.source)) {
    r_.source = options.source_name;
    r_.source_path = fs::absolute(inputs.source->path()).lexically_normal();
    r_.source_types = types_of(*inputs.source);
    r_.source_quantized = is_quantized(*inputs.source);
    r_.requantized = r_.source_quantized && options.requantize;
    r_.goal = options.goal;
    r_.limits = options.limits;
    r_.workload = options.workload;
    r_.budget = options.budget;
    r_.before.name = options.source_name;
    r_.settings = options.fixed;
    r_.settings.insert(r_.settings.end(), options.sized.begin(), options.sized.end());
    for (const WeightFile& file : inputs.source->weight_files()) r_.before.file_bytes += std::ssize(file.bytes);
    settings_only_ = r_.source_quantized && !options.requantize;
    measure_bytes();
  }

  void plan(bool measure);
  void run();
  OptimizeReport take() { return std::move(r_); }

 private:
  void measure_bytes();
  void refuse_impossible() const;
  void refuse_no_room() const;
  void baseline();
  void prepare_texts();
  void find_forms();
  void make_forms();
  void make_form(FormRecord& form, const fs::path& file);
  void note_more_forms(int64_t made);
  void search_settings();
  void compare();
  void settle();
  void refuse_nothing_obeys() const;
  void keep(OptimizeFolder& folder, bool quick);
  void write(OptimizeFolder& folder);

  template <typename F>
  void stage(Stage which, F&& body);
  void say(const std::string& line) const {
    if (options_.say) options_.say(line);
  }
  void check() const {
    if (options_.check) options_.check();
  }
  int64_t tuned() const { return std::ssize(r_.settings) - std::ssize(options_.fixed); }
  WorkloadFigures run_workload(const RunSubject& subject);
  double left() const { return r_.budget - since(begin_); }
  bool zh() const { return options_.language == Language::zh; }
  std::vector<ModelForm> known_forms() const;
  FormFigures source_figures() const;
  std::optional<size_t> best() const;
  RunSubject subject() const;
  SettingValues found_settings() const;

  const OptimizeInputs& in_;
  const OptimizeOptions& options_;
  Judge judge_;
  ArchSpec spec_;
  OptimizeReport r_;
  WorkSize size_;
  SourceFigures source_;
  OptimizeFolder* folder_ = nullptr;
  std::optional<size_t> kept_;  // of the forms: what lies in best_
  fs::path best_;               // the best form's file so far
  Clock::time_point begin_ = Clock::now();
  int64_t beside_ = 0;  // bytes of a file that are no matrices
  int64_t least_ = 0;   // of the smallest form
  bool settings_only_ = false;
  int64_t run_memory_ = 0;  // most that a run of this stage and this process took together
  bool measured_ = false;   // the baseline
};

template <typename F>
void Story::stage(Stage which, F&& body) {
  const auto begin = Clock::now();
  say(fmt::format("{} …", title(which).in(options_.language)));
  const bool own = forget_resident_peak();
  run_memory_ = 0;
  body();
  const ResidentMemory memory = resident_memory();
  for (StageRecord& record : r_.stages) {
    if (record.stage != which) continue;
    record.seconds = since(begin);
    if (own) record.memory = std::max(memory.peak, run_memory_);
  }
}

void Story::measure_bytes() {
  int64_t all = 0;
  std::vector<TensorCost> matrices_of;
  for (const LocatedTensor& t : locate_tensors(spec_, *in_.source)) {
    if (t.row->form != Form::matrix || t.row->role == Role::router) continue;
    matrices_of.push_back({.name = t.name, .values = t.shape.elements(), .types = {}});
    source_.matrix_bytes += t.bytes();
    const bool tied = t.row->role == Role::token_embedding && spec_.tied_head;
    if (t.layer >= 0) size_.add_layer_matrix(t.row->role, t.shape);
    if (t.row->role == Role::output || tied) size_.head_values += t.shape.elements();
  }
  for (const TensorEntry& tensor : in_.source->tensors()) all += std::ssize(tensor.data);
  if (r_.before.file_bytes == 0) r_.before.file_bytes = all;
  int64_t values = 0;
  for (const TensorEntry& tensor : in_.source->tensors()) values += tensor.elements();
  r_.before.bits_per_weight = 8.0 * static_cast<double>(all) / static_cast<double>(std::max<int64_t>(1, values));
  beside_ = bytes_beside(*in_.source, matrices_of, options_.tokenizer);
  least_ = settings_only_ ? r_.before.file_bytes : least_bytes(*in_.source, beside_, true);
  const int64_t parameters = size_.linear_values + size_.head_values;
  if (settings_only_) {
    for (const double bits : {4.5, 8.5}) {
      r_.bf16_bytes.push_back(static_cast<int64_t>(bits / 8 * static_cast<double>(parameters)) + beside_);
    }
  }
}

void Story::refuse_impossible() const {
  const Limits& limits = options_.limits;
  if (limits.max_bytes > 0 && least_ > limits.max_bytes) {
    fail(Code::bad_flag,
         fmt::format("no form of this model is as small as --max-bytes {}", format_bytes(limits.max_bytes)),
         settings_only_ ? "an already quantized model stays as it is; start from its BF16 source, or use --requantize"
                        : fmt::format("the smallest possible takes {}", format_bytes(least_)));
  }
  // Weights and the least that a run needs beside them.
  LoadOptions shortest;
  shortest.context = std::min<int64_t>(512, spec_.train_context);
  const MemoryPlan plan = Model::plan(*in_.source, *in_.runtime, shortest);
  const int64_t beside = std::max<int64_t>(0, plan.total_bytes - plan.weights_bytes);
  if (limits.max_memory > 0 && least_ + beside > limits.max_memory) {
    fail(Code::bad_flag,
         fmt::format("no form of this model runs within --memory-limit {}", format_bytes(limits.max_memory)),
         fmt::format("the smallest is predicted to take {}; a smaller context needs less: autoglm inspect MODEL --fit",
                     format_bytes(least_ + beside)));
  }
}

void Story::refuse_no_room() const {
  int64_t disk = 0, memory = 0;
  for (const StageRecord& record : r_.stages) {
    disk = std::max(disk, record.predicted.disk);
    memory = std::max(memory, record.predicted.memory);
  }
  const int64_t limit = in_.runtime->ledger->limit();
  if (limit > 0 && memory > limit) {
    fail(Code::out_of_memory,
         fmt::format("judging forms needs {} and {} may be used", format_bytes(memory), format_bytes(limit)),
         "use a machine with more memory; `autoglm quantize` works layer by layer, without the proof");
  }
  const fs::path above = fs::absolute(options_.folder).lexically_normal().parent_path();
  std::error_code error;
  const fs::space_info space = fs::space(above, error);
  if (!error && disk > static_cast<int64_t>(space.available)) {
    fail(Code::disk_full,
         fmt::format("{} are needed in {} while it works and {} are free", format_bytes(disk), above.string(),
                     format_bytes(static_cast<int64_t>(space.available))),
         "free some space, or give a folder on another disk with -o");
  }
}

void Story::plan(bool measure) {
  check_optimize_folder(options_.folder);
  size_.layers = spec_.layers;
  size_.hidden = spec_.hidden;
  size_.vocabulary = spec_.vocabulary;
  size_.source_bytes = r_.before.file_bytes;
  size_.window = options_.window;
  size_.own_calibration = options_.calibration_file.empty();
  size_.own_evaluation = options_.evaluation.empty();
  size_.settings_only = settings_only_;
  size_.int8_gops = std::max(1.0, options_.int8_gops);
  size_.read_gbps = std::max(0.1, options_.read_gbps);
  size_.own_memory = resident_memory().now;
  size_.run_memory = Model::plan(*in_.source, *in_.runtime, options_.run).total_bytes;
  size_.tried_memory = Model::plan(*in_.source, *in_.runtime, options_.tried).total_bytes;
  size_.evaluation_memory = settings_only_ ? 0 : judge_.memory();
  refuse_impossible();
  if (measure) {
    const WorkloadFigures figures = in_.runs->run({r_.source_path, {}}, static_cast<int64_t>(kPlannedRequests));
    size_.request_seconds = figures.seconds / kPlannedRequests;
  } else {
    // A prompt of 200 tokens and an answer of 100, bound by reading the weights.
    const double reads = 110 * static_cast<double>(size_.source_bytes) / (0.6e9 * size_.read_gbps);
    size_.request_seconds = reads;
  }
  const FittedEffort fitted = fit_effort(size_, options_.full, options_.budget - since(begin_));
  r_.effort = fitted.effort;
  r_.shrunk = fitted.shrunk;
  for (size_t i = 0; i < kStages; ++i) {
    const auto stage = static_cast<Stage>(i);
    const bool weights = stage == Stage::texts || stage == Stage::sensitivity || stage == Stage::forms;
    if (settings_only_ && weights) continue;
    r_.stages.push_back({stage, fitted.costs[i], std::nullopt, std::nullopt});
  }
  if (!fitted.fits) {
    const double needed = total_seconds(fitted.costs) / 0.95 + since(begin_);
    fail(Code::bad_flag, fmt::format("a --time-budget of {:.0f} s is too short for this model here", options_.budget),
         fmt::format("the least that can be done is predicted to take {:.0f} s", std::ceil(needed)));
  }
  refuse_no_room();
}

std::vector<ModelForm> Story::known_forms() const {
  std::vector<ModelForm> out;
  for (const FormRecord& record : r_.forms) out.push_back(record.form);
  return out;
}

FormFigures Story::source_figures() const { return source_.figures; }

std::optional<size_t> Story::best() const {
  return best_form(known_forms(), source_figures(), options_.limits, options_.goal);
}

SettingValues Story::found_settings() const {
  SettingValues out;
  for (const SettingRecord& record : r_.settings) out.emplace_back(record.key, record.value);
  return out;
}

RunSubject Story::subject() const { return {kept_ ? best_ : r_.source_path, found_settings()}; }

WorkloadFigures Story::run_workload(const RunSubject& subject) {
  const int64_t own = resident_memory().now;
  WorkloadFigures figures = in_.runs->run(subject, r_.effort.requests);
  run_memory_ = std::max(run_memory_, own + figures.peak_rss_bytes);
  return figures;
}

void Story::baseline() {
  r_.before.run = run_workload({r_.source_path, {}});
  const WorkloadFigures& run = r_.before.run;
  FormFigures& figures = source_.figures;
  figures.bytes = r_.before.file_bytes;
  figures.memory = run.peak_rss_bytes;
  figures.ms = run.end_to_end_ms.p50;
  if (figures.ms > 0) source_.decode_share = std::clamp(1 - run.first_token_ms.p50 / figures.ms, 0.0, 1.0);
  r_.after = r_.before;
  measured_ = true;
}

void Story::prepare_texts() {
  judge_.prepare(r_.effort);
  r_.calibration = judge_.calibration_record();
  r_.evaluation = judge_.evaluation_record();
  const QualityReport own = judge_.judge(in_.source, options_.source_name, r_.effort.evaluation_windows, KvType::q8);
  source_.figures.kld = own.total.kld_mean;
  r_.before.quality = r_.after.quality = own.total;
  r_.quality = own;
}

void Story::find_forms() {
  if (r_.effort.sensitivity_windows == 0) {
    r_.forms = uniform_forms(*in_.source, beside_, source_);
    return;
  }
  SensitivityOptions measure;
  const auto& windows = judge_.calibration();
  const auto count = std::min<size_t>(windows.size(), static_cast<size_t>(r_.effort.sensitivity_windows));
  measure.windows.assign(windows.begin(), windows.begin() + static_cast<std::ptrdiff_t>(count));
  measure.check = options_.check;
  measure.progress = [&](std::string_view, int64_t done, int64_t total) {
    if (options_.progress) options_.progress(zh() ? "测量敏感度" : "measuring", done, total);
  };
  const std::vector<TensorCost> costs = measure_sensitivity(*in_.source, *in_.runtime, measure);
  r_.forms = knapsack_forms(costs, beside_, source_, options_.limits);
}

void Story::make_form(FormRecord& form, const fs::path& file) {
  QuantizeOptions quantize;
  quantize.recipe = form.recipe;
  quantize.method = r_.effort.method;
  quantize.requantize = options_.requantize;
  quantize.tokenizer = options_.tokenizer;
  const auto& windows = judge_.calibration();
  const auto count = std::min<size_t>(windows.size(), static_cast<size_t>(r_.effort.calibration_windows));
  if (quantize.method != QuantizeMethod::rtn) {
    quantize.windows.assign(windows.begin(), windows.begin() + static_cast<std::ptrdiff_t>(count));
  }
  quantize.check = options_.check;
  quantize.progress = [&](std::string_view, int64_t done, int64_t total) {
    if (options_.progress) options_.progress(zh() ? "量化" : "quantizing", done, total);
  };
  FormFigures figures;
  figures.bytes = quantize_model(*in_.source, *in_.runtime, file, quantize).bytes;
  form.method = name(quantize.method);
  const std::shared_ptr<const ModelSource> made = open_model(file);
  QualityReport quality =
      judge_.judge(made, fmt::format("model.gguf ({})", form.name), r_.effort.evaluation_windows, KvType::q8);
  for (const TensorFigures& tensor : quality.tensors.tensors) {
    if (!tensor.fault || carried_on(*tensor.fault, quantize.method)) continue;
    form.form.damaged = true;
    form.damage = fmt::format("{}: {}", tensor.name, fault_text(*tensor.fault, options_.language));
  }
  figures.kld = quality.total.kld_mean;
  form.quality = quality.total;
  const WorkloadFigures run = run_workload({file, found_settings()});
  figures.ms = run.end_to_end_ms.p50;
  figures.memory = run.peak_rss_bytes;
  form.run = run;
  form.form.measured = figures;
  const auto chosen = best();
  if (!chosen || &r_.forms[*chosen] != &form) return;
  fs::rename(file, best_);
  kept_ = chosen;
  r_.quality = std::move(quality);
}

// The report says what was shrunk in the end.
void Story::note_more_forms(int64_t made) {
  r_.effort.forms = made;
  for (Shrunk& shrunk : r_.shrunk) {
    if (shrunk.what == Shrunk::What::forms) shrunk.to = static_cast<double>(made);
  }
  std::erase_if(r_.shrunk, [](const Shrunk& shrunk) { return shrunk.to == shrunk.from; });
}

void Story::make_forms() {
  const fs::path file = folder_->scratch() / "form.gguf";
  best_ = folder_->scratch() / "best.gguf";
  const double comparison = predict(size_, r_.effort, options_.budget)[static_cast<size_t>(Stage::comparison)].seconds;
  const double tuning = r_.effort.tuning_share * options_.budget;
  const int64_t planned = r_.effort.forms;
  double slowest = 0;
  for (int64_t made = 0; made < options_.full.forms; ++made) {
    const auto next = next_form(known_forms(), source_figures(), options_.limits, options_.goal);
    if (!next) break;
    // Work that went faster than predicted leaves time for forms beyond the plan; tuning's part of it only where no
    // form obeys the limits yet, since settings alone gain less.
    const double rest = comparison + (made >= planned && kept_ ? tuning : 0);
    if (made > 0 && left() < slowest + rest) {
      say(zh() ? "时间预算不足以再做一个候选" : "the time budget has no room for another form");
      break;
    }
    if (made >= planned) note_more_forms(made + 1);
    const auto begin = Clock::now();
    FormRecord& form = r_.forms[*next];
    try {
      make_form(form, file);
    } catch (const Error& error) {
      if (error.code() != Code::numeric) throw;
      form.form.damaged = true;
      form.damage = error.what();
    }
    std::error_code ignored;
    fs::remove(file, ignored);
    slowest = std::max(slowest, since(begin));
    if (form.form.measured) {
      const FormFigures& m = *form.form.measured;
      say(fmt::format("  {}: {}, KLD {}, {:.0f} ms, {}{}", form.name, format_bytes(m.bytes), small_number(m.kld), m.ms,
                      format_bytes(m.memory), kept_ && &r_.forms[*kept_] == &form ? " *" : ""));
    }
  }
  // Runs of the workload are processes of their own, and take memory beside what was read here.
  for (const WeightFile& weights : in_.source->weight_files()) forget_pages(weights.bytes);
}

void Story::search_settings() {
  const double reserve = predict(size_, r_.effort, options_.budget)[static_cast<size_t>(Stage::comparison)].seconds;
  const double seconds = std::min(r_.effort.tuning_share * options_.budget, left() - reserve);
  if (seconds < 1) return;
  FoundSettings found = in_.runs->search(subject(), options_.goal, r_.effort.requests, seconds);
  run_memory_ = std::max(run_memory_, resident_memory().now + found.peak_rss_bytes);
  r_.trials = std::move(found.trials);
  for (SettingRecord& record : found.settings) r_.settings.push_back(std::move(record));
}

void Story::compare() {
  if (!kept_ && tuned() == 0) return;
  const RunSubject before{r_.source_path, {}};
  const RunSubject after = subject();
  std::vector<WorkloadFigures> runs[2];
  int64_t done = 0;
  const auto cost = [&](int side) {
    check();
    if (options_.progress) options_.progress(zh() ? "对比" : "comparing", done++, 2 * r_.effort.pairs + 2);
    runs[side].push_back(run_workload(side == 0 ? before : after));
    return std::max(1e-6, runs[side].back().end_to_end_ms.p50);
  };
  r_.comparison = compare_in_pairs(cost, static_cast<int>(r_.effort.pairs));
  r_.before.run = median_run(runs[0], Goal::latency);
  r_.after.run = median_run(runs[1], Goal::latency);
}

// What the last comparison says goes before all else: what is not better there is not recommended.
void Story::settle() {
  if (r_.verdict == Verdict::interrupted) {
    r_.settings = options_.fixed;
    if (kept_) r_.settings.insert(r_.settings.end(), options_.sized.begin(), options_.sized.end());
    if (kept_ && r_.forms[*kept_].run) r_.after.run = *r_.forms[*kept_].run;
  } else if (kept_ || tuned() > 0) {
    FormFigures& source = source_.figures;
    source.ms = r_.before.run.end_to_end_ms.p50;
    source.memory = r_.before.run.peak_rss_bytes;
    FormFigures after = kept_ ? *r_.forms[*kept_].form.measured : source;
    after.ms = r_.after.run.end_to_end_ms.p50;
    after.memory = r_.after.run.peak_rss_bytes;
    if (kept_) r_.forms[*kept_].form.measured = after;
    const bool forced = refusal(source, options_.limits) != Refusal::none && !settings_only_;
    const bool timed = options_.goal == OptimizeGoal::latency || settings_only_;
    const bool slower =
        timed && r_.comparison && (r_.comparison->pairs >= 6 ? r_.comparison->high : r_.comparison->ratio) >= 1;
    const bool better =
        score(after, source, options_.limits, options_.goal) < score(source, source, options_.limits, options_.goal);
    if (!forced && (slower || !better)) {
      kept_.reset();
      r_.settings = options_.fixed;
    }
  }
  if (r_.verdict != Verdict::interrupted) {
    r_.verdict = kept_ ? Verdict::improved : tuned() > 0 ? Verdict::tuned : Verdict::nothing;
  }
  r_.chosen = kept_;
  if (!kept_ && tuned() == 0) r_.after = r_.before;
  r_.after.name = kept_ ? fmt::format("model.gguf ({})", r_.forms[*kept_].name) : options_.source_name;
  if (kept_) {
    const FormRecord& form = r_.forms[*kept_];
    r_.after.file_bytes = form.form.measured->bytes;
    r_.after.bits_per_weight = form.bits;
    r_.after.quality = form.quality;
  } else if (!settings_only_ && r_.quality) {
    r_.after.quality = r_.before.quality;
  }
}

void Story::refuse_nothing_obeys() const {
  const Limits& limits = options_.limits;
  if (kept_ || settings_only_ || r_.verdict == Verdict::interrupted) return;
  const Refusal why = refusal(source_figures(), limits);
  if (why != Refusal::bytes && why != Refusal::memory) return;
  const FormRecord* nearest = nullptr;
  for (const FormRecord& form : r_.forms) {
    if (!form.form.measured || form.form.damaged) continue;
    if (!nearest || form.form.measured->kld < nearest->form.measured->kld) nearest = &form;
  }
  fail(Code::work_failed, "no form obeys all limits, nor does the model as it is",
       nearest ? fmt::format("the nearest takes {} on disk and {} of memory and loses {} a token: allow that with "
                             "--max-kld, or more bytes",
                             format_bytes(nearest->form.measured->bytes), format_bytes(nearest->form.measured->memory),
                             small_number(nearest->form.measured->kld))
               : "allow more with --max-kld, --max-bytes or --memory-limit");
}

void Story::keep(OptimizeFolder& folder, bool quick) {
  r_.model = "./model.gguf";
  if (kept_) {
    folder.keep_form(best_);
  } else {
    const bool one_file = in_.source->container() == Container::gguf && in_.source->weight_files().size() == 1;
    if (!one_file || !folder.keep_source(r_.source_path, !quick, r_.linked)) {
      folder.drop_model();
      r_.model = r_.source_path.string();
    }
  }
  r_.config = (folder.path() / "autoglm.yaml").string();
}

void Story::write(OptimizeFolder& folder) {
  r_.seconds = since(begin_);
  const Language language = options_.language;
  folder.write("autoglm.yaml", configuration_yaml(r_, language));
  folder.write("report.md", optimize_markdown(r_, language));
  folder.write("report.html", optimize_html(r_, language));
  folder.write("report.json", optimize_json(r_).dump(1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n");
}

void Story::run() {
  OptimizeFolder folder(options_.folder);  // the first run already keeps its pack there; a refusal removes it all
  folder_ = &folder;
  plan(true);
  for (const std::string& line : plan_words(r_, options_.language)) say(line);
  try {
    stage(Stage::baseline, [&] { baseline(); });
    if (!settings_only_) {
      stage(Stage::texts, [&] { prepare_texts(); });
      stage(Stage::sensitivity, [&] { find_forms(); });
      stage(Stage::forms, [&] { make_forms(); });
    }
    if (r_.effort.tuning_share > 0) stage(Stage::tuning, [&] { search_settings(); });
    stage(Stage::comparison, [&] { compare(); });
  } catch (const Error& error) {
    if (error.code() != Code::interrupted || !measured_) throw;
    r_.verdict = Verdict::interrupted;
  }
  settle();
  refuse_nothing_obeys();
  keep(folder, r_.verdict == Verdict::interrupted);
  write(folder);
}

}  // namespace

OptimizeReport plan_optimize(const OptimizeInputs& inputs, const OptimizeOptions& options, bool measure) {
  Story story(inputs, options);
  story.plan(measure);
  return story.take();
}

OptimizeReport optimize(const OptimizeInputs& inputs, const OptimizeOptions& options) {
  Story story(inputs, options);
  story.run();
  return story.take();
}

}  // namespace autoglm
