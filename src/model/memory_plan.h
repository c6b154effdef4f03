// What a run will hold, worked out before anything is allocated.
#pragma once

#include <string>
#include <vector>

#include "model/model.h"
#include "model/tensor_table.h"

namespace autoglm {

/// What the plan is made from. All must outlive the call only.
struct PlanInputs {
  const ArchSpec& spec;
  const ModelSource& source;
  const std::vector<LocatedTensor>& tensors;
  const Runtime& runtime;
  const LoadOptions& options;
};

/// What every layer caches for a token, of the wanted type.
std::vector<KvLayerSpec> kv_layers(const ArchSpec& spec, KvType type);

/// KV blocks that `context` tokens of each of `sequences` need.
int64_t kv_blocks(int64_t context, int64_t sequences);

/// Tokens that a KV cache of `bytes` holds, in whole blocks: of all sequences together, so the most that one can have.
/// 0 bytes: no limit, INT64_MAX tokens.
int64_t max_kv_tokens(const ArchSpec& spec, const Backend& backend, KvType type, int64_t bytes);

/// The plan, with the context by the default rule (the model's own, 32,768, or what memory allows) unless it is given.
/// Errors: bad_flag (a context beyond the model's own; kv_max_bytes too small for the context, saying what would do).
MemoryPlan make_plan(const PlanInputs& in);

/// Throws Error out_of_memory, saying what would fit, if the plan does not.
void refuse_what_does_not_fit(const PlanInputs& in, const MemoryPlan& plan);

/// "f32", "f16", "bf16", "q8", "q4"; kv_type() is its inverse, for one of these.
std::string_view name(KvType type);
KvType kv_type(std::string_view name);

}  // namespace autoglm
