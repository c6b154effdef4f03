// Logits of many positions of one sequence, in pieces that fit.
#pragma once

#include <cstdint>
#include <functional>
#include <span>

#include "model/model.h"

namespace autoglm {

/// Sets batch_rows and logit_rows for score() over `tokens` tokens, `wanted` of which need logits.
LoadOptions scoring_options(LoadOptions options, int64_t tokens, int64_t wanted);

/// Error bad_request for an id outside the vocabulary.
void check_tokens(std::span<const int32_t> tokens, int64_t vocabulary);

/// Calls row(position, logits) for each position from `first` on, in order; step(done) after each piece.
void score(Model& model, std::span<const int32_t> tokens, int64_t first, const std::function<void(int64_t)>& step,
           const std::function<void(int64_t, std::span<const float>)>& row);

}  // namespace autoglm
