// Running a workload on an engine: every request is answered to its length, conversations go on from their answers, and
// neither the batch nor speculation changes what is said.
#include "tune/workload_run.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "engine/dummy.h"
#include "support/errors.h"

namespace autoglm {
namespace {

using test::DummyStepper;

class WorkloadRunTest : public testing::Test {
 protected:
  Workload make(std::string_view name, WorkloadOptions options = {}) const {
    options.context = 256;
    return make_workload(name, options, {.encode = [this](std::string_view t) { return tokenizer_->encode(t); }});
  }
  WorkloadFigures run(const Workload& workload, EngineOptions options, const WorkloadRunOptions& how = {}) {
    auto stepper = std::make_unique<DummyStepper>();
    stepper->block_count = 256;
    Engine engine(std::move(stepper), *tokenizer_, {}, options);
    return run_workload(engine, workload, how);
  }
  std::unique_ptr<Tokenizer> tokenizer_ = word_tokenizer(50);
};

TEST_F(WorkloadRunTest, AnswersEveryRequestToItsLength) {
  for (const std::string_view name : workload_names()) {
    const Workload workload = make(name, {.requests = 10});
    int64_t steps = 0;
    const WorkloadFigures figures = run(workload, {.max_sequences = 4}, {.step = [&](const WorkloadStep& step) {
                                          ++steps;
                                          EXPECT_GT(step.shape.prefill_rows + step.shape.decode_rows, 0);
                                        }});
    EXPECT_EQ(figures.requests, 10) << name;
    EXPECT_EQ(figures.completion_tokens, workload.answer_tokens()) << name;
    EXPECT_GE(figures.prompt_tokens, workload.prompt_tokens()) << name;
    EXPECT_GT(steps, 0);
    EXPECT_GT(figures.throughput_tps, 0);
    EXPECT_LE(figures.end_to_end_ms.p50, figures.end_to_end_ms.p99);
    EXPECT_LE(figures.first_token_ms.p50, figures.end_to_end_ms.p99);
    EXPECT_GT(figures.peak_rss_bytes, 0);
  }
}

TEST_F(WorkloadRunTest, SettingsChangeNoAnswer) {
  const Workload workload = make("chat", {.requests = 12, .users = 3});
  const std::string alone = run(workload, {.max_sequences = 1}).answers_hash;
  EXPECT_EQ(run(workload, {.max_sequences = 8}).answers_hash, alone);
  EXPECT_EQ(run(workload, {.max_sequences = 8, .policy = {.prefix_cache = false}}).answers_hash, alone);
  EXPECT_EQ(run(workload, {.max_sequences = 3, .speculation = Speculation::always}).answers_hash, alone);
  EXPECT_NE(run(make("chat", {.requests = 12, .seed = 2}), {.max_sequences = 1}).answers_hash, alone);
}

TEST_F(WorkloadRunTest, AConversationReusesItsBeginning) {
  Workload workload;
  std::vector<int32_t> prompt(60);
  for (size_t i = 0; i < prompt.size(); ++i) prompt[i] = static_cast<int32_t>(i % 50);
  workload.requests.push_back({.prompt = prompt, .max_tokens = 40});
  workload.requests.push_back({.prompt = {1, 2, 3}, .max_tokens = 5, .follows = 0});
  const WorkloadFigures figures = run(workload, {.max_sequences = 2});
  EXPECT_EQ(figures.prompt_tokens, 60 + 60 + 40 + 3);
  EXPECT_GE(figures.cached_tokens, 96 / kKvBlock * kKvBlock);
}

TEST_F(WorkloadRunTest, AnOpenLoopCountsFromTheArrival) {
  Workload workload;
  workload.users = 0;
  for (int i = 0; i < 3; ++i) workload.requests.push_back({.prompt = {1, 2}, .max_tokens = 2, .after = 0.03 * i});
  const WorkloadFigures figures = run(workload, {.max_sequences = 1});
  EXPECT_EQ(figures.requests, 3);
  EXPECT_GE(figures.seconds, 0.06);
}

TEST_F(WorkloadRunTest, AFailedRequestFailsTheRun) {
  Workload workload;
  workload.requests.push_back({.prompt = std::vector<int32_t>(300, 1), .max_tokens = 2});
  EXPECT_ERROR(run(workload, {}), Code::context_exceeded, "300");
}

TEST_F(WorkloadRunTest, ItsFiguresSurviveJson) {
  WorkloadFigures figures = run(make("batch", {.requests = 4}), {.max_sequences = 4});
  figures.joules = 12.5;
  figures.planned_bytes = 77;
  const WorkloadFigures back = workload_figures(to_json(figures).dump());
  EXPECT_EQ(back.answers_hash, figures.answers_hash);
  EXPECT_EQ(back.gap_ms.p95, figures.gap_ms.p95);
  EXPECT_EQ(back.peak_rss_bytes, figures.peak_rss_bytes);
  EXPECT_EQ(back.joules, figures.joules);
  EXPECT_EQ(cost_of(back, Goal::latency), figures.end_to_end_ms.p50);
  EXPECT_NEAR(cost_of(back, Goal::throughput), 1e3 / figures.throughput_tps, 1e-9);
  EXPECT_ERROR(workload_figures("{}"), Code::bad_file, "first_token_ms");
  EXPECT_ERROR(workload_figures("nonsense"), Code::bad_file, "no JSON object");
}

TEST(PercentilesTest, AreOfTheNearestRank) {
  std::vector<double> values;
  for (int i = 100; i >= 1; --i) values.push_back(i);
  const Percentiles p = percentiles(values);
  EXPECT_EQ(p.p50, 50);
  EXPECT_EQ(p.p95, 95);
  EXPECT_EQ(p.p99, 99);
  EXPECT_EQ(percentiles({3}).p99, 3);
  EXPECT_EQ(percentiles({}).p50, 0);
}

}  // namespace
}  // namespace autoglm
