// Text that a model writes itself, to calibrate and to judge with where the user has none.
//
// A sequence begins with one of the openings below (prose, questions, code, lists, in English and Chinese) and goes on
// as the model's own distribution says: temperature 1, nothing cut off, no control token. So the text is what this
// model is about, in the languages that it knows (Liu et al. 2023, "LLM-QAT", do the same). Same model, same seed, same
// tokens on any number of threads.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string_view>
#include <vector>

#include "model/model.h"
#include "text/tokenizer.h"

namespace autoglm {

inline constexpr int64_t kOwnTextTogether = 16;  // sequences in a step

struct OwnTextOptions {
  int64_t windows = 32;                                         // sequences
  int64_t window = 512;                                         // tokens of each
  uint64_t seed = 1;                                            // other seeds give other texts
  std::function<void(int64_t done, int64_t total)> progress{};  // tokens; may be empty; may throw (Ctrl-C)
};

/// What sequences begin with.
std::span<const std::string_view> own_text_openings();

/// Batch, logit rows and context for own_text().
LoadOptions own_text_load_options(LoadOptions options, int64_t window);

/// `windows` sequences of exactly `window` tokens. Error numeric for a logit that is not finite.
std::vector<std::vector<int32_t>> own_text(Model& model, const Tokenizer& tokenizer, const OwnTextOptions& options);

}  // namespace autoglm
