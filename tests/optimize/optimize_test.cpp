// The whole pipeline on a tiny model, with runs of the workload made up from a form's size.
#include "optimize/optimize.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/settings.h"
#include "compress/altered_model.h"
#include "compress/quantize.h"
#include "model/model_support.h"
#include "optimize/folder.h"
#include "optimize/writers.h"
#include "support/errors.h"
#include "support/read_file.h"
#include "support/temporary_folder.h"

namespace autoglm {
namespace {

using testing::HasSubstr;
namespace fs = std::filesystem;

/// Cost follows the file's size; a form can be made slow, a setting fast.
class MadeUpRuns : public WorkloadRuns {
 public:
  WorkloadFigures run(const RunSubject& subject, int64_t requests) override {
    ++runs;
    if (runs == interrupt_at) fail(Code::interrupted, "interrupted");
    const auto bytes = static_cast<double>(fs::file_size(subject.model));
    WorkloadFigures out;
    const double slow = subject.model.filename() == "source.gguf" ? 1 : forms_slower;
    const double cost = bytes / 1e4 * slow * (subject.settings.empty() ? 1 : 0.8) * (runs % 2 == 0 ? 1.01 : 1);
    out.end_to_end_ms = {cost, cost * 1.2, cost * 1.5};
    out.first_token_ms = {cost / 4, cost / 3, cost / 2};
    out.gap_ms = {cost / 100, cost / 90, cost / 80};
    out.throughput_tps = 1e5 / cost;
    out.requests = requests;
    out.seconds = cost / 1e6;
    out.peak_rss_bytes = static_cast<int64_t>(bytes) + 1'000'000;
    return out;
  }
  FoundSettings search(const RunSubject&, OptimizeGoal, int64_t, double) override { return found; }

  int runs = 0, interrupt_at = -1;
  double forms_slower = 1;
  FoundSettings found;
};

class Pipeline : public testing::Test {
 protected:
  Pipeline() {
    write(*test::random_source(test::tiny_llama(), Type::bf16));
    options_.folder = folder_ / "out";
    options_.source_name = "tiny";
    options_.window = 64;
    options_.full = {.requests = 2,
                     .calibration_windows = 16,
                     .sensitivity_windows = 2,
                     .evaluation_windows = 6,
                     .forms = 3,
                     .method = QuantizeMethod::gptq,
                     .tuning_share = 0.1,
                     .pairs = 6};
    options_.limits.max_kld = 0.05;
    options_.goal = OptimizeGoal::latency;
    options_.int8_gops = 100;
    options_.read_gbps = 10;
    options_.say = [&](const std::string& line) { said_.push_back(line); };
  }

  void write(const ModelSource& model) {
    write_random_model(model, folder_ / "source.gguf", {});
    source_ = open_model(folder_ / "source.gguf");
    tokenizer_ = load_tokenizer(*source_);
  }

  OptimizeReport run() { return optimize({source_, tokenizer_.get(), &runtime_, &runs_}, options_); }

  nlohmann::json report() const { return nlohmann::json::parse(test::read_file(options_.folder / "report.json")); }
  std::string read(const char* name) const { return test::read_file(options_.folder / name); }

  test::TemporaryFolder folder_;
  std::shared_ptr<const ModelSource> source_;
  std::unique_ptr<Tokenizer> tokenizer_;
  Runtime runtime_ = test::test_runtime("auto", 2);
  MadeUpRuns runs_;
  OptimizeOptions options_;
  std::vector<std::string> said_;
};

TEST_F(Pipeline, GivesASmallerModelAConfigurationAndTheProof) {
  runs_.found.settings = {{"runtime.threads", "1", "auto", "faster here", "本机更快"}};
  runs_.found.trials = {{"runtime.threads 1", 0.8, 3, true}};
  const std::string before = test::read_file(folder_ / "source.gguf");
  const OptimizeReport got = run();
  EXPECT_EQ(got.verdict, Verdict::improved);
  ASSERT_TRUE(got.chosen) << optimize_markdown(got, Language::en);
  EXPECT_EQ(test::read_file(folder_ / "source.gguf"), before) << "the source is never changed";
  for (const char* name : {"model.gguf", "autoglm.yaml", "report.md", "report.html", "report.json"}) {
    EXPECT_TRUE(fs::exists(options_.folder / name)) << name;
  }
  EXPECT_FALSE(fs::exists(options_.folder / ".work"));
  const nlohmann::json json = report();
  EXPECT_EQ(json["verdict"], "improved");
  for (const auto& [key, value] : json["before"].items()) EXPECT_TRUE(json["after"].contains(key)) << key;
  EXPECT_EQ(json["before"].size(), json["after"].size());
  EXPECT_LE(json["after"]["kld_mean"], options_.limits.max_kld);
  EXPECT_EQ(json["quality"]["kld_mean"], json["after"]["kld_mean"]);
  EXPECT_EQ(json["after"]["file_bytes"], fs::file_size(options_.folder / "model.gguf"));
  EXPECT_LT(json["after"]["file_bytes"], json["before"]["file_bytes"]);
  EXPECT_LT(json["comparison"]["high"], 1);
  EXPECT_NE(json["calibration"]["sha256"], json["evaluation"]["sha256"]);
  // The recipe that is told is the one that was used.
  const Recipe recipe = parse_recipe(json["recipe"].get<std::string>());
  const auto made = open_model(options_.folder / "model.gguf");
  for (const TensorEntry& tensor : made->tensors()) {
    if (tensor.shape.size() > 1)
      EXPECT_EQ(tensor.type, type_for_columns(recipe.type_of(tensor.name), tensor.columns()));
  }
  // Every stage was predicted before it was run.
  EXPECT_THAT(said_.front(), HasSubstr("plan"));
  for (const auto& stage : json["stages"]) {
    EXPECT_FALSE(stage["taken_ms"].is_null()) << stage;
    EXPECT_GT(stage["taken_memory_bytes"], 1'000'000) << stage;
  }
}

TEST_F(Pipeline, TheConfigurationIsReadBackWhereverTheFolderLies) {
  runs_.found.settings = {{"kv_cache.max_bytes", "64MiB", "auto", "enough\nfor this", "足够"}};
  run();
  const fs::path moved = folder_ / "elsewhere";
  fs::rename(options_.folder, moved);
  Settings settings;
  settings.load_file(moved / "autoglm.yaml");
  EXPECT_EQ(settings.text("model"), (moved / "model.gguf").string());
  EXPECT_EQ(settings.bytes("kv_cache.max_bytes"), 64 << 20);
}

TEST_F(Pipeline, WhereNothingIsBetterTheDefaultIsWritten) {
  runs_.forms_slower = 5;
  const OptimizeReport got = run();
  EXPECT_EQ(got.verdict, Verdict::nothing);
  EXPECT_FALSE(got.chosen);
  EXPECT_EQ(test::read_file(options_.folder / "model.gguf"), test::read_file(folder_ / "source.gguf"));
  EXPECT_TRUE(got.linked);
  EXPECT_EQ(fs::hard_link_count(folder_ / "source.gguf"), 2u);
  EXPECT_THAT(read("report.md"), HasSubstr("Nothing that was tried is better"));
  const nlohmann::json json = report();
  EXPECT_EQ(json["before"]["end_to_end_ms"], json["after"]["end_to_end_ms"]);
  EXPECT_EQ(json["settings"].size(), 0u);
}

TEST_F(Pipeline, AFormThatLosesInTheLastComparisonIsNotRecommended) {
  class TurnsSlow : public MadeUpRuns {
   public:
    WorkloadFigures run(const RunSubject& subject, int64_t requests) override {
      WorkloadFigures out = MadeUpRuns::run(subject, requests);
      if (subject.model.filename() == "best.gguf") out.end_to_end_ms.p50 *= 20;
      return out;
    }
  } runs;
  const OptimizeReport got = optimize({source_, tokenizer_.get(), &runtime_, &runs}, options_);
  EXPECT_EQ(got.verdict, Verdict::nothing);
  EXPECT_EQ(test::read_file(options_.folder / "model.gguf"), test::read_file(folder_ / "source.gguf"));
}

TEST_F(Pipeline, LimitsAreObeyed) {
  const auto source = static_cast<int64_t>(fs::file_size(folder_ / "source.gguf"));
  options_.limits.max_bytes = source * 2 / 5;
  options_.limits.max_kld = 1;
  options_.goal = OptimizeGoal::quality;
  const OptimizeReport got = run();
  ASSERT_TRUE(got.chosen) << optimize_markdown(got, Language::en);
  EXPECT_LE(static_cast<int64_t>(fs::file_size(options_.folder / "model.gguf")), options_.limits.max_bytes);
  // The finest that is small enough: the form made for just this size is among them.
  EXPECT_GT(got.after.file_bytes, options_.limits.max_bytes * 4 / 5);
}

TEST_F(Pipeline, ImpossibleLimitsAreRefusedBeforeAnyWork) {
  options_.limits.max_bytes = 1000;
  EXPECT_ERROR(run(), Code::bad_flag, "as small as");
  options_.limits.max_bytes = 0;
  options_.limits.max_memory = 1000;
  EXPECT_ERROR(run(), Code::bad_flag, "runs within");
  options_.limits.max_memory = 0;
  options_.budget = 1e-3;
  EXPECT_ERROR(run(), Code::bad_flag, "too short");
  EXPECT_FALSE(fs::exists(options_.folder));
}

TEST_F(Pipeline, LimitsThatOnlyContradictEachOtherAreToldWithTheNearest) {
  options_.limits.max_bytes = static_cast<int64_t>(fs::file_size(folder_ / "source.gguf")) * 2 / 5;
  options_.limits.max_kld = 1e-6;
  EXPECT_ERROR(run(), Code::work_failed, "no form obeys all limits");
  EXPECT_FALSE(fs::exists(options_.folder));
}

TEST_F(Pipeline, CtrlCLeavesTheBestSoFar) {
  // Runs: one for the plan, the baseline, then one a form; the comparison is where it is interrupted.
  runs_.interrupt_at = 2 + 3 + 1;
  const OptimizeReport got = run();
  EXPECT_EQ(got.verdict, Verdict::interrupted);
  ASSERT_TRUE(got.chosen) << optimize_markdown(got, Language::en);
  EXPECT_LT(fs::file_size(options_.folder / "model.gguf"), fs::file_size(folder_ / "source.gguf"));
  EXPECT_THAT(read("report.html"), HasSubstr("Interrupted"));
  EXPECT_EQ(report()["verdict"], "interrupted");
  EXPECT_FALSE(fs::exists(options_.folder / ".work"));
}

TEST_F(Pipeline, CtrlCWhileTheFirstFormIsMadeLeavesTheModelAsItWas) {
  bool making = false;
  options_.progress = [&](const std::string& label, int64_t, int64_t) { making |= label == "quantizing"; };
  options_.check = [&] {
    if (making) fail(Code::interrupted, "interrupted");
  };
  const OptimizeReport got = run();
  EXPECT_EQ(got.verdict, Verdict::interrupted);
  EXPECT_FALSE(got.chosen);
  EXPECT_EQ(test::read_file(options_.folder / "model.gguf"), test::read_file(folder_ / "source.gguf"));
}

TEST_F(Pipeline, CtrlCBeforeAnythingWasMeasuredLeavesNothing) {
  runs_.interrupt_at = 2;
  EXPECT_ERROR(run(), Code::interrupted, "interrupted");
  EXPECT_FALSE(fs::exists(options_.folder));
}

TEST_F(Pipeline, AQuantizedSourceOnlyGetsSettings) {
  write(*test::random_source(test::tiny_llama(), Type::q4_0));
  runs_.found.settings = {{"runtime.threads", "1", "auto", "faster here", "本机更快"}};
  const OptimizeReport got = run();
  EXPECT_EQ(got.verdict, Verdict::tuned);
  EXPECT_EQ(test::read_file(options_.folder / "model.gguf"), test::read_file(folder_ / "source.gguf"));
  EXPECT_THAT(read("autoglm.yaml"), HasSubstr("threads: 1"));
  EXPECT_THAT(read("report.md"), HasSubstr("BF16 source would give"));
  EXPECT_TRUE(report()["forms"].empty());

  options_.requantize = true;
  options_.limits.max_kld = 10;
  EXPECT_FALSE(run().forms.empty());
  EXPECT_THAT(read("report.md"), HasSubstr("both roundings add up"));
}

TEST_F(Pipeline, TextsOfTheUserAreKeptApart) {
  std::string text;
  for (int i = 0; i < 600; ++i) text += "word number " + std::to_string(i * 7919 % 1000) + " of this text. ";
  options_.calibration_file = "calib.txt";
  options_.calibration_text = text;
  options_.evaluation = {{"eval.txt", "text", text}};
  EXPECT_ERROR(run(), Code::bad_file, "calibrated with");
  EXPECT_FALSE(fs::exists(options_.folder));
  options_.evaluation.clear();
  const OptimizeReport got = run();
  EXPECT_FALSE(got.calibration.own);
  EXPECT_TRUE(got.evaluation.own);
}

TEST_F(Pipeline, NotANumberBlocksTheFile) {
  const auto poisoned = std::make_shared<test::AlteredModel>(*source_, Type::bf16,
                                                             [](const TensorEntry& tensor, std::vector<float>& values) {
                                                               if (tensor.name == "blk.1.ffn_down.weight")
                                                                 values[77] = NAN;
                                                             });
  write_random_model(*poisoned, folder_ / "source.gguf", {});
  source_ = open_model(folder_ / "source.gguf");
  EXPECT_ERROR(run(), Code::numeric, "");
  EXPECT_FALSE(fs::exists(options_.folder / "model.gguf"));
}

TEST_F(Pipeline, ASecondRunReplacesTheFirstAndForeignFilesAreLeftAlone) {
  run();
  options_.limits.max_kld = 1;
  run();
  EXPECT_EQ(report()["limits"]["max_kld"], 1);
  std::ofstream(options_.folder / "notes.txt") << "mine";
  EXPECT_ERROR(run(), Code::bad_flag, "notes.txt");
  options_.folder = folder_ / "none" / "out";
  EXPECT_ERROR(run(), Code::bad_flag, "is not there");
  options_.folder = folder_ / "source.gguf";
  EXPECT_ERROR(run(), Code::bad_flag, "is not a folder");
}

TEST_F(Pipeline, APlanAloneWritesNothing) {
  const OptimizeReport got = plan_optimize({source_, tokenizer_.get(), &runtime_, &runs_}, options_, false);
  EXPECT_EQ(runs_.runs, 0);
  EXPECT_FALSE(fs::exists(options_.folder));
  EXPECT_EQ(got.stages.size(), kStages);
  for (const Language language : {Language::en, Language::zh}) {
    EXPECT_EQ(plan_words(got, language).size(), 1 + kStages + got.shrunk.size());
  }
}

TEST_F(Pipeline, MemoryIsPredictedFromHowTheWorkloadIsRun) {
  const auto planned = [&] { return plan_optimize({source_, tokenizer_.get(), &runtime_, &runs_}, options_, false); };
  const auto memory = [](const OptimizeReport& report, Stage stage) {
    return std::ranges::find(report.stages, stage, &StageRecord::stage)->predicted.memory;
  };
  const OptimizeReport one = planned();
  options_.run.batch_sequences = options_.tried.batch_sequences = 200;
  options_.tried.kv_type = KvType::f32;
  const OptimizeReport many = planned();
  const int64_t more =
      Model::plan(*source_, runtime_, options_.run).total_bytes - Model::plan(*source_, runtime_, {}).total_bytes;
  ASSERT_GT(more, 1 << 20);
  // This process' own memory is part of both, and is not the same twice.
  EXPECT_NEAR(static_cast<double>(memory(many, Stage::baseline) - memory(one, Stage::baseline)),
              static_cast<double>(more), 0.05 * static_cast<double>(more));
  EXPECT_EQ(memory(many, Stage::baseline), memory(many, Stage::comparison));
  EXPECT_GT(memory(many, Stage::tuning), memory(many, Stage::baseline));
}

// A plan for one form because the machine was taken for slow; the work goes faster, and what is left makes the others.
TEST_F(Pipeline, TimeThatIsLeftMakesMoreForms) {
  const auto count_made = [](const OptimizeReport& report) {
    return std::ranges::count_if(report.forms, [](const FormRecord& form) { return form.form.measured.has_value(); });
  };
  const auto forms_given_up = [](const OptimizeReport& report) {
    return std::ranges::any_of(report.shrunk, [](const Shrunk& shrunk) { return shrunk.what == Shrunk::What::forms; });
  };
  options_.limits.max_kld = 0.02;
  const OptimizeReport roomy = run();
  ASSERT_GE(count_made(roomy), 2);
  options_.int8_gops = 1;
  const OptimizeInputs inputs{source_, tokenizer_.get(), &runtime_, &runs_};
  OptimizeReport plan;
  for (options_.budget = 600; options_.budget > 1; options_.budget *= 0.95) {
    plan = plan_optimize(inputs, options_, false);
    if (plan.effort.forms == 1) break;
  }
  ASSERT_EQ(plan.effort.forms, 1);
  ASSERT_TRUE(forms_given_up(plan));
  const OptimizeReport got = run();
  EXPECT_EQ(count_made(got), count_made(roomy)) << optimize_markdown(got, Language::en);
  EXPECT_EQ(got.effort.forms, std::max<int64_t>(1, count_made(got)));
  EXPECT_EQ(forms_given_up(got), count_made(got) < options_.full.forms);
}

TEST_F(Pipeline, ReportsStandAloneInBothLanguages) {
  options_.source_name = "<script>alert(1)</script>|";
  const OptimizeReport got = run();
  for (const Language language : {Language::en, Language::zh}) {
    const std::string page = optimize_html(got, language);
    EXPECT_EQ(page.find("<script"), std::string::npos);
    for (const char* outside : {"http:", "https:", "src=", "href=", "url(", "@import", "<link"}) {
      EXPECT_EQ(page.find(outside), std::string::npos) << outside;
    }
    EXPECT_THAT(page, HasSubstr("<circle class=\"chosen\""));
    EXPECT_EQ(page.find("nan"), std::string::npos);
    EXPECT_EQ(optimize_markdown(got, language).find("<script"), std::string::npos);
  }
  EXPECT_NE(optimize_html(got, Language::zh), optimize_html(got, Language::en));
  // The table comes first.
  const std::string markdown = optimize_markdown(got, Language::en);
  EXPECT_LT(markdown.find("end to end, p50"), markdown.find("same first choice"));
}

}  // namespace
}  // namespace autoglm
