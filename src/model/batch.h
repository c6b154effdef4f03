// One step's work: a ragged batch over paged KV. One request is a batch of one; no row is ever padding.
#pragma once

#include <cstdint>
#include <span>

namespace autoglm {

using SequenceId = int32_t;

/// Rows [row_begin, row_begin + rows) of the batch continue this sequence at its present length.
struct BatchSequence {
  SequenceId sequence = 0;
  int64_t row_begin = 0;
  int64_t rows = 0;
  int32_t adapter = 0;  // 0: the model itself
};

/// n rows. Either `tokens` (n ids) or `embeddings` (n * hidden floats) is given. `positions` is [1 or 3][n]; empty
/// means each sequence counts on from its length. `logit_rows` says which rows need logits, ascending; the last layer's
/// result is computed for them only, unless `hidden` says that Model::hidden() will be asked for rows of this step.
struct Batch {
  std::span<const int32_t> tokens;
  std::span<const float> embeddings;
  std::span<const int32_t> positions;
  std::span<const BatchSequence> sequences;
  std::span<const int32_t> logit_rows;
  bool hidden = false;
  int64_t rows() const;
};

}  // namespace autoglm
