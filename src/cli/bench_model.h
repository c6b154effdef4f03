// The model that `bench` measures: one that is there, or random weights of a known shape.
#pragma once

#include <memory>

#include "base/ledger.h"
#include "cli/open.h"

namespace autoglm {

/// What is measured, and how much of its weights came to lie on huge pages.
struct BenchModel {
  std::unique_ptr<OpenedModel> opened;
  Reservation source_memory{};  // of random weights, beside what the model takes; in the ledger of `opened`
  int64_t huge_bytes = 0;
};

/// Random weights as --shape and --type say, not loaded: opened->source and the runtime alone.
BenchModel make_bench_model(Context& context);

/// MODEL or --shape, loaded. `with_tokenizer`: the model's, or where it has none a stand-in (word_tokenizer). `here`:
/// MODEL, if it is open already.
BenchModel open_bench_model(Context& context, const LoadOptions& options, bool with_tokenizer,
                            std::unique_ptr<OpenedModel> here = nullptr);

}  // namespace autoglm
