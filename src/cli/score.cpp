#include "cli/score.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"

namespace autoglm {
namespace {

constexpr int64_t kRows = 256;
constexpr int64_t kLogitRows = 64;  // a row of logits is wide: 600 KB for GLM's vocabulary

}  // namespace

LoadOptions scoring_options(LoadOptions options, int64_t tokens, int64_t wanted) {
  options.batch_sequences = 1;
  options.batch_rows = std::clamp<int64_t>(tokens, 1, kRows);
  options.logit_rows = std::clamp<int64_t>(wanted, 1, kLogitRows);
  return options;
}

void check_tokens(std::span<const int32_t> tokens, int64_t vocabulary) {
  for (const int32_t token : tokens) {
    if (token >= 0 && token < vocabulary) continue;
    fail(Code::bad_request, fmt::format("token {} is outside the vocabulary", token),
         fmt::format("token ids go from 0 to {}", vocabulary - 1));
  }
}

void score(Model& model, std::span<const int32_t> tokens, int64_t first, const std::function<void(int64_t)>& step,
           const std::function<void(int64_t, std::span<const float>)>& row) {
  const auto count = static_cast<int64_t>(tokens.size());
  const auto vocabulary = static_cast<size_t>(model.spec().vocabulary);
  const std::unique_ptr<KvCache> kv = model.make_kv_cache();
  const SequenceId sequence = kv->create();
  std::vector<int32_t> logit_rows;
  for (int64_t done = 0; done < count;) {
    // Rows before `first` go by the batch; the others by what the logits' buffer holds.
    const int64_t most = done < first ? std::min(model.max_rows(), first - done) : model.max_logit_rows();
    const int64_t rows = std::min({most, count - done, model.max_rows()});
    logit_rows.clear();
    for (int64_t i = 0; i < rows; ++i) {
      if (done + i >= first) logit_rows.push_back(static_cast<int32_t>(i));
    }
    AUTOGLM_CHECK(kv->append(sequence, rows), "the KV cache was planned for these tokens");
    const BatchSequence part{.sequence = sequence, .row_begin = 0, .rows = rows, .adapter = 0};
    const std::span<const float> logits =
        model.forward({.tokens = tokens.subspan(static_cast<size_t>(done), static_cast<size_t>(rows)),
                       .embeddings = {},
                       .positions = {},
                       .sequences = {&part, 1},
                       .logit_rows = logit_rows},
                      *kv);
    for (size_t i = 0; i < logit_rows.size(); ++i) {
      row(done + logit_rows[i], logits.subspan(i * vocabulary, vocabulary));
    }
    done += rows;
    step(done);
  }
}

}  // namespace autoglm
