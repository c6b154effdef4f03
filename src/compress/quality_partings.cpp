#include "compress/quality_partings.h"

#include <algorithm>
#include <cmath>

#include "text/utf8.h"

namespace autoglm {
namespace {

constexpr int64_t kContextTokens = 32;

ScoredToken score(const Tokenizer& tokenizer, int32_t id, std::span<const float> a, std::span<const float> b) {
  return {id, utf8::lossy(tokenizer.piece(id, true)), std::exp(log_probability(a, id)),
          std::exp(log_probability(b, id))};
}

}  // namespace

void PartingKeeper::offer(int64_t window, int64_t position, std::span<const int32_t> tokens, const RowDivergence& row,
                          std::span<const float> logits_a, std::span<const float> logits_b,
                          const EvaluationText& text) {
  const auto place = std::upper_bound(kept_.begin(), kept_.end(), row.kld,
                                      [](double kld, const Parting& other) { return kld > other.kld; });
  if (place == kept_.end() && kept_.size() >= most_) return;
  Parting one;
  one.source = text.name;
  one.kind = text.kind;
  one.window = window;
  one.position = position;
  one.kld = row.kld;
  const int64_t from = std::max<int64_t>(0, position + 1 - kContextTokens);
  const Tokenizer& tokenizer = *a_->tokenizer;
  one.context = utf8::lossy(
      tokenizer.decode(tokens.subspan(static_cast<size_t>(from), static_cast<size_t>(position + 1 - from)), true));
  one.expected = score(tokenizer, tokens[static_cast<size_t>(position) + 1], logits_a, logits_b);
  one.choice_a = score(tokenizer, row.best_a[0], logits_a, logits_b);
  one.choice_b = score(tokenizer, row.best_b[0], logits_a, logits_b);
  kept_.insert(place, std::move(one));
  if (kept_.size() > most_) kept_.pop_back();
}

}  // namespace autoglm
