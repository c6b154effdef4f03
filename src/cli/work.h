// What computing one token costs, and what this machine could do: the two sides of every statement about speed.
#pragma once

#include <cstdint>

#include "base/pool.h"
#include "format/model_source.h"
#include "model/arch_spec.h"

namespace autoglm {

struct TokenWork {
  int64_t layer_weights = 0;  // multiplied for every token (of a mixture of experts: the chosen ones)
  int64_t head_weights = 0;   // multiplied for every row of logits
  int64_t bytes = 0;          // of the file's weights, read for one decoded token
  double quantized_bits = 0;  // bits a weight, on average
};

TokenWork token_work(const ArchSpec& spec, const ModelSource& source);

/// Sustained read bandwidth of all workers together, in GB/s (about 100 ms).
double probe_read_gbps(WorkerPool& pool);

/// int8 multiply-adds of all workers together, in 1e9 operations a second (1 multiply-add = 2).
double probe_int8_gops(WorkerPool& pool);

}  // namespace autoglm
