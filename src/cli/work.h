// What computing one token costs: one side of every statement about speed. The other side is kernels/probe.h.
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
  double bits = 0;            // a weight, on average
};

TokenWork token_work(const ArchSpec& spec, const ModelSource& source);

/// Read bandwidth of all workers together in GB/s, over a buffer of `bytes` (bounded to 64 to 256 MiB) that is made for
/// it; some 100 ms. kernels/probe.h measures better and takes longer.
double quick_read_gbps(WorkerPool& pool, int64_t bytes);

}  // namespace autoglm
