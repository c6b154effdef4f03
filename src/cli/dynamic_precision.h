// What `precision: {strategy: dynamic}` and `kv_cache: {type: auto}` come to for a model on this machine, and why.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "base/language.h"
#include "format/model_source.h"
#include "model/model.h"

namespace autoglm {

/// "Q4_K, Q8_0": of the matrices.
std::string weight_types(const ModelSource& source);

/// The precision of activations against these weights, and where it is computed, in a few words.
std::string activation_words(const ModelSource& source, Precision precision, std::string_view isa, Language language);

struct KvChoice {
  KvType type = KvType::q8;
  std::string reason;
};

/// What is known before a type is chosen.
struct KvQuestion {
  int64_t wanted = 0;                   // tokens of the context
  int64_t kv_max_bytes = 0;             // kv_cache.max_bytes; 0: no such limit
  std::function<int64_t(KvType)> held;  // max_kv_tokens() of that limit
  /// The memory plan with a type: of the context if it was asked for, else of what the default rule comes to. Asked
  /// only of types that hold at least as much as q8 does, where that holds the context within kv_max_bytes, else of
  /// none: make_plan() refuses a cache that is too small for the context.
  std::function<MemoryPlan(KvType)> plan;
};

/// What --kv-type auto takes: q8 if memory and kv_cache.max_bytes hold the context so, else q4, which holds more.
/// Nothing above q8 is ever taken: bf16 and f16 decode at less than half of its speed behind 4,096 tokens and read
/// prompts at three quarters, and what q8 costs is a fifth of what int8 activations do (docs/PERFORMANCE.md, "Keys and
/// values in memory").
KvChoice choose_kv_type(const KvQuestion& question, Language language);

}  // namespace autoglm
