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

/// What --kv-type auto takes for a context of `wanted` tokens: q8 if it holds them, else q4. Nothing above q8 is ever
/// taken: bf16 and f16 decode at less than half of its speed behind 4,096 tokens and read prompts at three quarters,
/// and what q8 costs is a fifth of what int8 activations do (docs/PERFORMANCE.md, "Keys and values in memory"). `plan`
/// is the memory plan with a type: of that context if it was asked for, else of what the default rule comes to.
KvChoice choose_kv_type(const std::function<MemoryPlan(KvType)>& plan, int64_t wanted, Language language);

}  // namespace autoglm
