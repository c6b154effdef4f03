// The buffers between the phases of a layer. Rows are tokens of the batch.
#pragma once

#include <vector>

#include "kernels/backend.h"
#include "model/arch_spec.h"

namespace autoglm {

/// Layers of equal width share a buffer: these are handles.
struct LayerActivations {
  Buffer q;         // [n, heads * key_dim]
  Buffer k;         // [n, kv_heads * key_dim]
  Buffer v;         // [n, kv_heads * value_dim]
  Buffer q_low;     // [n, q_rank]: MLA
  Buffer latent;    // [n, kv_rank + rope_dim]: MLA
  Buffer attended;  // [n, heads * value_dim]
  Buffer ffn;       // [n, ffn], empty in a layer of experts
};

struct Activations {
  Buffer x;       // [n, hidden], the residual stream
  Buffer logits;  // [logit rows, vocabulary]
  Buffer hidden;  // [logit rows, hidden], the final normed states
  std::vector<LayerActivations> layers;
};

/// Float32 values that the buffers of `rows` tokens and `logit_rows` head rows hold, host copies of the logits
/// included.
int64_t activation_values(const ArchSpec& spec, int64_t rows, int64_t logit_rows);

Activations make_activations(const ArchSpec& spec, Backend& backend, int64_t rows, int64_t logit_rows);

/// The largest step, as backends size their scratch from it.
StepLimits step_limits(const ArchSpec& spec, int64_t rows, int64_t context);

}  // namespace autoglm
