#include "tune/measure.h"

#include <algorithm>
#include <chrono>
#include <vector>

#include "base/error.h"

namespace autoglm {
namespace {

using Clock = std::chrono::steady_clock;

double since(Clock::time_point begin) { return std::chrono::duration<double>(Clock::now() - begin).count(); }

/// Feeds rows to one sequence.
class Feeder {
 public:
  explicit Feeder(Model& model) : model_(model), kv_(model.make_kv_cache()), sequence_(kv_->create()) {}

  // `rows` more tokens; logits of the last. Which tokens does not matter, only that a mixture of experts sees many.
  double feed(int64_t rows) {
    const Clock::time_point begin = Clock::now();
    for (int64_t done = 0; done < rows;) {
      const int64_t part = std::min(rows - done, model_.max_rows());
      tokens_.clear();
      for (int64_t i = 0; i < part; ++i) tokens_.push_back(next());
      done += part;
      AUTOGLM_CHECK(kv_->append(sequence_, part), "the run was planned for this context");
      const BatchSequence sequence{.sequence = sequence_, .row_begin = 0, .rows = part, .adapter = 0};
      const int32_t last = static_cast<int32_t>(part) - 1;
      model_.forward({.tokens = tokens_,
                      .embeddings = {},
                      .positions = {},
                      .sequences = {&sequence, 1},
                      .logit_rows = {&last, done == rows ? size_t{1} : size_t{0}}},
                     *kv_);
    }
    return since(begin);
  }
  void clear() { kv_->truncate(sequence_, 0); }
  int64_t length() const { return kv_->length(sequence_); }

 private:
  int32_t next() {
    state_ = state_ * 6364136223846793005ULL + 1442695040888963407ULL;
    return static_cast<int32_t>((state_ >> 33) % static_cast<uint64_t>(model_.spec().vocabulary));
  }

  Model& model_;
  std::unique_ptr<KvCache> kv_;
  SequenceId sequence_;
  std::vector<int32_t> tokens_;
  uint64_t state_ = 1;
};

}  // namespace

ShortRun measure_run(Model& model, const std::function<void()>& check) {
  constexpr double kDecodeSeconds = 1.5;
  constexpr int64_t kLeastSteps = 8;
  ZoneClock zones("run");
  const ZoneClockScope scope(zones);
  Feeder feeder(model);
  ShortRun run;
  run.prompt = std::clamp<int64_t>(model.context() / 2, 1, kShortRunContext / 2);
  feeder.feed(std::min<int64_t>(run.prompt, 16));
  feeder.clear();
  model.settle(/*wait=*/true);
  check();
  run.prefill_seconds = feeder.feed(run.prompt);
  check();
  const int64_t most = std::min(model.context(), kShortRunContext) - run.prompt;
  const ZoneTotals before = zones.totals();
  while (run.decoded < most && (run.decoded < kLeastSteps || run.decode_seconds < kDecodeSeconds)) {
    run.decode_seconds += feeder.feed(1);
    ++run.decoded;
    check();
  }
  run.decode_zones = zones.totals() - before;
  return run;
}

}  // namespace autoglm
