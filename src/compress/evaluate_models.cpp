#include "compress/evaluate_models.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <memory>

#include "base/error.h"

namespace autoglm {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int64_t kSpeedSteps = 9;
constexpr size_t kSpeedPrompt = 64;

double seconds_since(Clock::time_point begin) { return std::chrono::duration<double>(Clock::now() - begin).count(); }

std::span<const float> forward(Model& model, KvCache& kv, SequenceId sequence, std::span<const int32_t> tokens,
                               std::span<const int32_t> logit_rows) {
  const auto rows = std::ssize(tokens);
  AUTOGLM_CHECK(kv.append(sequence, rows), "the KV cache was planned for these tokens");
  const BatchSequence part{.sequence = sequence, .row_begin = 0, .rows = rows, .adapter = 0};
  return model.forward(
      {.tokens = tokens, .embeddings = {}, .positions = {}, .sequences = {&part, 1}, .logit_rows = logit_rows}, kv);
}

[[noreturn]] void fail_logits(const QualityModel& side, int64_t position, const std::string& suspect) {
  std::string message =
      fmt::format("{} computed a logit that is not a finite number (position {} of a window)", side.name, position);
  if (!suspect.empty()) message += fmt::format("; of its weights, tensor '{}' is farthest from the other's", suspect);
  fail(Code::numeric, message, "the weights may be damaged: check the file's hash");
}

}  // namespace

LockstepReader::LockstepReader(const QualityModel& a, const QualityModel& b, WorkerPool& pool, std::string suspect)
    : a_(a),
      b_(b),
      pool_(pool),
      suspect_(std::move(suspect)),
      kv_a_(a.model->make_kv_cache()),
      kv_b_(b.model->make_kv_cache()) {
  figures_.resize(static_cast<size_t>(std::min(a.model->max_logit_rows(), b.model->max_logit_rows())));
}

LockstepReader::~LockstepReader() = default;

std::span<const float> LockstepReader::step(const QualityModel& side, KvCache& kv, SequenceId sequence,
                                            std::span<const int32_t> tokens, double& seconds) {
  const Clock::time_point begin = Clock::now();
  const std::span<const float> logits = forward(*side.model, kv, sequence, tokens, logit_rows_);
  seconds += seconds_since(begin);
  return logits;
}

void LockstepReader::read(
    std::span<const int32_t> tokens, int64_t first, const std::function<void(int64_t done)>& check,
    const std::function<void(int64_t, const RowDivergence&, std::span<const float>, std::span<const float>)>& visit) {
  // The last token only says what should have come before it.
  const auto count = std::ssize(tokens) - 1;
  const auto vocabulary = static_cast<size_t>(a_.model->spec().vocabulary);
  const int64_t most_rows = std::min(a_.model->max_rows(), b_.model->max_rows());
  const SequenceId in_a = kv_a_->create();
  const SequenceId in_b = kv_b_->create();
  for (int64_t done = 0; done < count;) {
    const int64_t most = done < first ? std::min(most_rows, first - done) : std::ssize(figures_);
    const int64_t rows = std::min({most, count - done, most_rows});
    const auto part = tokens.subspan(static_cast<size_t>(done), static_cast<size_t>(rows));
    logit_rows_.clear();
    for (int64_t i = 0; done >= first && i < rows; ++i) logit_rows_.push_back(static_cast<int32_t>(i));
    const std::span<const float> logits_a = step(a_, *kv_a_, in_a, part, seconds_a_);
    const std::span<const float> logits_b = step(b_, *kv_b_, in_b, part, seconds_b_);
    rows_ += rows;
    const auto row_of = [&](std::span<const float> logits, int64_t i) {
      return logits.subspan(static_cast<size_t>(i) * vocabulary, vocabulary);
    };
    pool_.parallel_for(std::ssize(logit_rows_), 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        figures_[static_cast<size_t>(i)] =
            compare_rows(row_of(logits_a, i), row_of(logits_b, i), tokens[static_cast<size_t>(done + i) + 1]);
      }
    });
    for (int64_t i = 0; i < std::ssize(logit_rows_); ++i) {
      const RowDivergence& figures = figures_[static_cast<size_t>(i)];
      if (!figures.finite_a) fail_logits(a_, done + i, suspect_);
      if (!figures.finite_b) fail_logits(b_, done + i, suspect_);
      visit(done + i, figures, row_of(logits_a, i), row_of(logits_b, i));
    }
    done += rows;
    check(done);
  }
  kv_a_->free(in_a);
  kv_b_->free(in_b);
}

DecodeSpeed measure_decoding(const QualityModel& a, const QualityModel& b, std::span<const int32_t> prompt,
                             const std::function<void(int64_t done, int64_t total)>& progress) {
  prompt = prompt.first(std::min(prompt.size(), kSpeedPrompt));
  const std::unique_ptr<KvCache> kv_a = a.model->make_kv_cache();
  const std::unique_ptr<KvCache> kv_b = b.model->make_kv_cache();
  const SequenceId in_a = kv_a->create();
  const SequenceId in_b = kv_b->create();
  const size_t most = static_cast<size_t>(std::min(a.model->max_rows(), b.model->max_rows()));
  const int64_t steps = std::min<int64_t>(kSpeedSteps, std::ssize(prompt) / 2);
  const auto before = prompt.first(prompt.size() - static_cast<size_t>(steps));
  for (size_t begin = 0; begin < before.size(); begin += most) {
    const auto part = before.subspan(begin, std::min(most, before.size() - begin));
    forward(*a.model, *kv_a, in_a, part, {});
    forward(*b.model, *kv_b, in_b, part, {});
  }
  const int32_t row = 0;
  std::vector<double> times_a, times_b;
  for (int64_t i = 0; i < steps; ++i) {
    const auto token = prompt.subspan(before.size() + static_cast<size_t>(i), 1);
    Clock::time_point begin = Clock::now();
    forward(*a.model, *kv_a, in_a, token, {&row, 1});
    times_a.push_back(seconds_since(begin));
    begin = Clock::now();
    forward(*b.model, *kv_b, in_b, token, {&row, 1});
    times_b.push_back(seconds_since(begin));
    if (progress) progress(i + 1, steps);
  }
  const auto rate = [](std::vector<double>& times) {
    if (times.empty()) return 0.0;
    std::nth_element(times.begin(), times.begin() + std::ssize(times) / 2, times.end());
    return 1.0 / std::max(1e-9, times[times.size() / 2]);
  };
  return {rate(times_a), rate(times_b)};
}

}  // namespace autoglm
