#include "cli/dynamic_precision.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "base/ledger.h"
#include "format/type.h"
#include "model/memory_plan.h"

namespace autoglm {
namespace {

bool is_matrix(const TensorEntry& tensor) { return tensor.shape.size() > 1; }

bool holds(const MemoryPlan& plan, int64_t wanted) { return plan.fits() && plan.context >= wanted; }

template <typename... T>
std::string say(Language language, const char* en, const char* zh, const T&... values) {
  return fmt::format(fmt::runtime(language == Language::zh ? zh : en), values...);
}

std::string memory_words(const MemoryPlan& plan, Language language) {
  return plan.limit_bytes > 0 ? format_bytes(plan.limit_bytes) : say(language, "no limit", "无上限");
}

}  // namespace

std::string weight_types(const ModelSource& source) {
  std::set<std::string_view> names;
  for (const TensorEntry& tensor : source.tensors()) {
    if (is_matrix(tensor)) names.insert(info(tensor.type).name);
  }
  return fmt::format("{}", fmt::join(names, ", "));
}

std::string activation_words(const ModelSource& source, Precision precision, std::string_view isa, Language language) {
  if (precision == Precision::f32) return say(language, "f32 activations, exact", "f32 激活值，精确");
  std::set<std::string_view> used;
  for (const TensorEntry& tensor : source.tensors()) {
    if (is_matrix(tensor))
      used.insert(info(tensor.type).quantized ? "int8" : tensor.type == Type::f32 ? "f32" : "bf16");
  }
  return say(language, "{} activations ({}), for weights in {}", "{} 激活值（{}），权重为 {}", fmt::join(used, ", "),
             isa, weight_types(source));
}

KvChoice choose_kv_type(const KvQuestion& question, Language language) {
  const int64_t wanted = question.wanted;
  if (const int64_t held = question.held(KvType::q8); held < wanted) {
    return {KvType::q4, say(language, "a KV cache of {} holds {} tokens with q8, {} with q4, of {}",
                            "{} 的键值缓存以 q8 可容纳 {} 个 token，以 q4 可容纳 {} 个，共需 {} 个",
                            format_bytes(question.kv_max_bytes), held, question.held(KvType::q4), wanted)};
  }
  const MemoryPlan q8 = question.plan(KvType::q8);
  if (holds(q8, wanted)) {
    return {KvType::q8, say(language, "{} tokens take {}, {} of memory", "{} 个 token 占 {}，内存 {}", wanted,
                            format_bytes(q8.kv_bytes), memory_words(q8, language))};
  }
  const MemoryPlan q4 = question.plan(KvType::q4);
  return {KvType::q4,
          say(language, "{} tokens would need {} with q8, {} with q4, {} of memory",
              "{} 个 token 以 q8 需要 {}，以 q4 需要 {}，内存 {}", wanted,
              format_bytes(q8.total_bytes + (wanted - q8.context) * q8.kv_per_token_bytes),
              format_bytes(q4.total_bytes + std::max<int64_t>(0, wanted - q4.context) * q4.kv_per_token_bytes),
              memory_words(q4, language))};
}

}  // namespace autoglm
