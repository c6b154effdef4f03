#include "cli/bench_run.h"

#include <fmt/format.h>
#include <xxhash.h>

#include <algorithm>
#include <chrono>

#include "base/error.h"
#include "engine/sampler.h"

namespace autoglm {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point begin) { return std::chrono::duration<double>(Clock::now() - begin).count(); }

}  // namespace

LoadOptions bench_options(LoadOptions options, const BenchShape& shape) {
  const int64_t needed = shape.depth + std::max(shape.prompt, shape.gen);
  if (options.context > 0 && needed > options.context) {
    fail(Code::context_exceeded, fmt::format("the benchmark needs {} tokens and --ctx is {}", needed, options.context),
         "give a smaller --depth, --prompt or --gen, or a larger --ctx");
  }
  if (options.context == 0) options.context = std::max<int64_t>(needed, kKvBlock);
  options.batch_sequences = shape.batch;
  options.logit_rows = shape.batch;
  options.logits_bytes = [](int64_t vocabulary) { return 4 * vocabulary; };  // last_row_
  return options;
}

BenchRun::BenchRun(Model& model, const BenchShape& shape, std::function<void()> check)
    : model_(&model), shape_(shape), check_(std::move(check)), kv_(model.make_kv_cache()) {
  for (int64_t i = 0; i < shape_.batch; ++i) sequences_.push_back(kv_->create());
  model.settle(/*wait=*/true);  // no step that is timed pays for the first touch of its memory
  feed(shape_.depth, false);
}

int32_t BenchRun::token(int64_t sequence, int64_t position) const {
  const auto bits = philox({static_cast<uint32_t>(position), static_cast<uint32_t>(sequence), 0, 0},
                           {static_cast<uint32_t>(shape_.seed), static_cast<uint32_t>(shape_.seed >> 32)});
  return static_cast<int32_t>(bits[0] % static_cast<uint64_t>(model_->spec().vocabulary));
}

// `count` more tokens for every sequence, in batches as large as the model takes; logits of each one's last row.
void BenchRun::feed(int64_t count, bool logits) {
  const Clock::time_point begin = Clock::now();
  first_token_ = 0;
  size_t sequence = 0;
  int64_t offset = 0;
  while (sequence < sequences_.size() && count > 0) {
    tokens_.clear();
    parts_.clear();
    logit_rows_.clear();
    while (sequence < sequences_.size() && static_cast<int64_t>(tokens_.size()) < model_->max_rows()) {
      const int64_t past = kv_->length(sequences_[sequence]);
      const int64_t rows = std::min(count - offset, model_->max_rows() - static_cast<int64_t>(tokens_.size()));
      parts_.push_back({.sequence = sequences_[sequence],
                        .row_begin = static_cast<int64_t>(tokens_.size()),
                        .rows = rows,
                        .adapter = 0});
      for (int64_t i = 0; i < rows; ++i) tokens_.push_back(token(static_cast<int64_t>(sequence), past + i));
      AUTOGLM_CHECK(kv_->append(sequences_[sequence], rows), "the cache was planned for this benchmark");
      offset += rows;
      if (offset < count) continue;
      offset = 0;
      ++sequence;
      if (logits) logit_rows_.push_back(static_cast<int32_t>(tokens_.size()) - 1);
    }
    const std::span<const float> rows = model_->forward(
        {.tokens = tokens_, .embeddings = {}, .positions = {}, .sequences = parts_, .logit_rows = logit_rows_}, *kv_);
    if (!rows.empty()) {
      if (first_token_ == 0) first_token_ = seconds_since(begin);
      const auto vocabulary = static_cast<int64_t>(model_->spec().vocabulary);
      last_row_.assign(rows.end() - vocabulary, rows.end());
    }
    check_();
  }
}

void BenchRun::rewind() {
  for (const SequenceId sequence : sequences_) kv_->truncate(sequence, shape_.depth);
}

double BenchRun::prefill() {
  const ZoneClockScope scope(zones_);
  const ZoneTotals before = zones_.totals();
  const Clock::time_point begin = Clock::now();
  feed(shape_.prompt, true);
  const double seconds = seconds_since(begin);
  prefill_zones_ += zones_.totals() - before;
  rewind();
  return seconds;
}

std::vector<double> BenchRun::decode() {
  const ZoneClockScope scope(zones_);
  const ZoneTotals before = zones_.totals();
  std::vector<double> steps;
  const double first = first_token_;
  for (int64_t i = 0; i < shape_.gen; ++i) {
    const Clock::time_point begin = Clock::now();
    feed(1, true);
    steps.push_back(seconds_since(begin));
  }
  decode_zones_ += zones_.totals() - before;
  first_token_ = first;
  rewind();
  return steps;
}

std::string BenchRun::logits_hash() const {
  return fmt::format("{:016x}", XXH3_64bits(last_row_.data(), last_row_.size() * sizeof(float)));
}

}  // namespace autoglm
