// What computing one token costs: one side of every statement about speed. The other side is kernels/probe.h.
#pragma once

#include <cstdint>

#include "format/model_source.h"
#include "model/arch_spec.h"

namespace autoglm {

struct TokenWork {
  int64_t layer_weights = 0;  // multiplied for every token (of a mixture of experts: the chosen ones)
  int64_t last_weights = 0;   // of these, what the last layer multiplies for rows with logits only: all but its keys
                              // and values
  int64_t head_weights = 0;   // multiplied for every row of logits
  int64_t bytes = 0;          // of the file's weights, read for one decoded token
  double bits = 0;            // a weight, on average

  /// Multiply-adds of a step of so many rows, `logit_rows` of them with logits. Attention over keys is not in it.
  double products(double rows, double logit_rows) const {
    return rows * static_cast<double>(layer_weights - last_weights) +
           logit_rows * static_cast<double>(last_weights + head_weights);
  }
};

TokenWork token_work(const ArchSpec& spec, const ModelSource& source);

}  // namespace autoglm
