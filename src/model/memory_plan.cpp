#include "model/memory_plan.h"

#include <algorithm>
#include <bit>
#include <limits>

#include "base/error.h"
#include "base/ledger.h"
#include "model/activations.h"
#include "model/weights.h"

namespace autoglm {
namespace {

constexpr int64_t kLeastContext = 256;  // below this a model is of no use to a person

// The program's code, libraries, heap and thread stacks before a model is loaded, as measured.
constexpr int64_t kProcessBytes = 12 << 20;

// What a string takes beside its object: short ones lie in it, others in a chunk of the heap.
int64_t outside(const std::string& text) {
  constexpr size_t kInside = 15;
  const auto size = static_cast<int64_t>(text.size());
  return text.size() <= kInside ? 0 : std::max<int64_t>(32, (size + 1 + 8 + 15) / 16 * 16);
}

int64_t array_bytes(const MetaArray& array) {
  const auto* texts = std::get_if<std::vector<std::string>>(&array);
  if (!texts) return std::visit([](const auto& numbers) { return 8 * static_cast<int64_t>(numbers.size()); }, array);
  int64_t bytes = static_cast<int64_t>(texts->size() * sizeof(std::string));
  for (const std::string& text : *texts) bytes += outside(text);
  return bytes;
}

int64_t slots_for(size_t entries) { return static_cast<int64_t>(std::bit_ceil(entries * 3 / 2 + 2)); }

// The tokenizer's own vocabulary and merges (text/vocab.h, bpe.cpp), as made from GGUF's.
int64_t tokenizer_copy_bytes(const Metadata& metadata) {
  int64_t bytes = 0;
  if (const auto* tokens = metadata.strings("tokenizer.ggml.tokens")) {
    for (const std::string& text : *tokens) bytes += static_cast<int64_t>(text.size());
    bytes += 5 * static_cast<int64_t>(tokens->size()) + 4 * slots_for(tokens->size());
  }
  if (const auto* merges = metadata.strings("tokenizer.ggml.merges")) bytes += 16 * slots_for(merges->size());
  if (const auto* scores = metadata.numbers("tokenizer.ggml.scores")) bytes += 4 * std::ssize(*scores);
  return bytes;
}

// Vocabulary and merges: in GGUF they lie in the metadata, which stay, in a folder in tokenizer.json.
int64_t tokenizer_bytes(const ModelSource& source, bool loaded) {
  int64_t bytes = loaded ? tokenizer_copy_bytes(source.metadata()) : 0;
  for (const auto& [key, value] : source.metadata().all()) {
    const auto* array = std::get_if<MetaArray>(&value);
    if (array && key.starts_with("tokenizer.")) bytes += array_bytes(*array);
  }
  if (loaded && source.container() == Container::safetensors) {
    for (std::string_view file : {"tokenizer.json", "tokenizer.model"}) {
      if (const auto text = source.file(file)) bytes += 4 * static_cast<int64_t>(text->size());
    }
  }
  return bytes;
}

int64_t logit_rows(const LoadOptions& options) {
  return options.logit_rows > 0 ? options.logit_rows : options.batch_sequences;
}

// Everything but KV and what depends on the context.
struct Fixed {
  WeightBytes weights;
  int64_t tokenizer = 0;
};

void fill(const PlanInputs& in, const Fixed& fixed, KvType type, int64_t context, MemoryPlan& plan) {
  const Backend& backend = *in.runtime.backend;
  const auto layers = kv_layers(in.spec, type);
  const int64_t block = backend.kv_block_bytes(layers);
  plan.context = context;
  plan.weights_bytes = fixed.weights.used;
  plan.source_bytes = fixed.weights.source;
  plan.tokenizer_bytes = fixed.tokenizer;
  plan.process_bytes = kProcessBytes;
  plan.kv_per_token_bytes = block / kKvBlock;
  plan.kv_blocks = kv_blocks(context, in.options.batch_sequences);
  if (in.options.kv_shared && in.options.kv_max_bytes == 0) {
    plan.kv_blocks =
        kv_blocks(context, 1) + kv_blocks(std::min(context, kSharedTokens), in.options.batch_sequences - 1);
  }
  if (in.options.kv_max_bytes > 0) plan.kv_blocks = std::min(plan.kv_blocks, in.options.kv_max_bytes / block);
  plan.kv_bytes = block * plan.kv_blocks;
  plan.activations_bytes = 4 * activation_values(in.spec, in.options.batch_rows, logit_rows(in.options)) +
                           backend.scratch_bytes(step_limits(in.spec, in.options.batch_rows, context));
  if (in.options.logits_bytes) plan.activations_bytes += in.options.logits_bytes(in.spec.vocabulary);
  if (in.options.sequence_bytes) {
    plan.activations_bytes += in.options.batch_sequences * in.options.sequence_bytes(context);
  }
  if (in.options.cache_bytes) plan.cache_bytes = in.options.cache_bytes(block);
  plan.total_bytes = plan.weights_bytes + plan.source_bytes + plan.kv_bytes + plan.activations_bytes +
                     plan.cache_bytes + plan.tokenizer_bytes + plan.process_bytes;
}

// The largest context up to `most`, in whole blocks, that fits; 0 if none does. More context never needs less memory.
int64_t largest_context(const PlanInputs& in, const Fixed& fixed, KvType type, int64_t most, MemoryPlan plan) {
  int64_t low = 0;
  int64_t high = most / kKvBlock;
  while (low < high) {
    const int64_t middle = (low + high + 1) / 2;
    fill(in, fixed, type, middle * kKvBlock, plan);
    if (plan.fits()) {
      low = middle;
    } else {
      high = middle - 1;
    }
  }
  return low * kKvBlock;
}

int64_t shared_kv_tokens(const PlanInputs& in, KvType type) {
  return max_kv_tokens(in.spec, *in.runtime.backend, type, in.options.kv_max_bytes);
}

bool smaller(const PlanInputs& in, KvType type, KvType than) {
  const Backend& backend = *in.runtime.backend;
  return backend.kv_block_bytes(kv_layers(in.spec, type)) < backend.kv_block_bytes(kv_layers(in.spec, than));
}

void add_hint(std::string& hint, const std::string& more) { hint += (hint.empty() ? "" : "; ") + more; }

// A KV cache of kv_max_bytes that does not hold one request.
[[noreturn]] void refuse_small_cache(const PlanInputs& in, int64_t shared) {
  const int64_t wanted = std::max<int64_t>(in.options.context, kKvBlock);
  constexpr int64_t kMiB = 1 << 20;
  const int64_t bytes =
      kv_blocks(wanted, 1) * in.runtime.backend->kv_block_bytes(kv_layers(in.spec, in.options.kv_type));
  std::string hint = "--kv-max-bytes " + std::to_string((bytes + kMiB - 1) / kMiB) + "MiB holds them";
  if (shared >= kKvBlock) add_hint(hint, "--ctx " + std::to_string(shared) + " fits");
  for (const KvType type : {KvType::q8, KvType::q4}) {
    if (!smaller(in, type, in.options.kv_type)) continue;
    const int64_t held = std::min(wanted, shared_kv_tokens(in, type));
    if (held < kKvBlock) continue;
    const std::string ctx = held < wanted ? " --ctx " + std::to_string(held) : "";
    add_hint(hint, "--kv-type " + std::string(name(type)) + ctx + " fits");
    if (held == wanted) break;
  }
  fail(Code::bad_flag,
       "a KV cache of " + format_bytes(in.options.kv_max_bytes) + " holds " + std::to_string(shared) +
           " tokens with --kv-type " + std::string(name(in.options.kv_type)) + ", fewer than one request may have",
       hint);
}

// What would make it fit: a shorter context, smaller keys and values, or both.
std::string fitting_hint(const PlanInputs& in, const Fixed& fixed, const MemoryPlan& plan) {
  std::string hint;
  int64_t longest = largest_context(in, fixed, in.options.kv_type, plan.context, plan);
  if (longest >= kKvBlock) add_hint(hint, "--ctx " + std::to_string(longest) + " fits");
  for (const KvType type : {KvType::q8, KvType::q4}) {
    if (!smaller(in, type, in.options.kv_type)) continue;
    MemoryPlan with = plan;
    fill(in, fixed, type, plan.context, with);
    if (with.fits()) {
      add_hint(hint, "--kv-type " + std::string(name(type)) + " fits, saving " +
                         format_bytes(plan.total_bytes - with.total_bytes));
      break;
    }
    const int64_t context = largest_context(in, fixed, type, plan.context, plan);
    if (context <= longest) continue;
    longest = context;
    add_hint(hint, "--kv-type " + std::string(name(type)) + " --ctx " + std::to_string(context) + " fits");
  }
  return hint;
}

Fixed fixed_parts(const PlanInputs& in) {
  return {.weights = weight_bytes(in.source, in.tensors, in.spec.tied_head, *in.runtime.backend, in.options.precision,
                                  in.options.batch_rows),
          .tokenizer = tokenizer_bytes(in.source, in.options.tokenizer)};
}

}  // namespace

std::string_view name(KvType type) {
  switch (type) {
    case KvType::f32:
      return "f32";
    case KvType::f16:
      return "f16";
    case KvType::bf16:
      return "bf16";
    case KvType::q8:
      return "q8";
    case KvType::q4:
      return "q4";
  }
  return "";
}

KvType kv_type(std::string_view name) {
  const auto* type = std::ranges::find_if(kKvTypes, [&](KvType t) { return autoglm::name(t) == name; });
  AUTOGLM_CHECK(type != std::end(kKvTypes), "the settings table names a KV type that there is not");
  return *type;
}

std::vector<KvLayerSpec> kv_layers(const ArchSpec& spec, KvType type) {
  std::vector<KvLayerSpec> out;
  for (int layer = 0; layer < spec.layers; ++layer) {
    const auto l = static_cast<size_t>(layer);
    if (spec.latent()) {
      out.push_back({.kind = KvLayerSpec::Kind::latent,
                     .heads = 1,
                     .key_dim = spec.kv_rank + spec.rope_dim,
                     .value_dim = spec.kv_rank,
                     .type = type});
    } else {
      out.push_back({.kind = KvLayerSpec::Kind::kv,
                     .heads = spec.kv_heads[l],
                     .key_dim = spec.head_dim[l],
                     .value_dim = spec.head_dim[l],
                     .type = type});
    }
  }
  return out;
}

int64_t kv_blocks(int64_t context, int64_t sequences) { return (context + kKvBlock - 1) / kKvBlock * sequences; }

int64_t max_kv_tokens(const ArchSpec& spec, const Backend& backend, KvType type, int64_t bytes) {
  if (bytes == 0) return std::numeric_limits<int64_t>::max();
  return bytes / backend.kv_block_bytes(kv_layers(spec, type)) * kKvBlock;
}

MemoryPlan make_plan(const PlanInputs& in) {
  const int64_t own = in.spec.train_context;
  if (in.options.context > own) {
    fail(Code::bad_flag,
         "a context of " + std::to_string(in.options.context) + " tokens is longer than this model's own " +
             std::to_string(own),
         "use --ctx " + std::to_string(own) + " or less");
  }
  const int64_t shared = shared_kv_tokens(in, in.options.kv_type);
  if (shared < std::max<int64_t>(in.options.context, kKvBlock)) refuse_small_cache(in, shared);
  MemoryPlan plan;
  const Ledger& ledger = *in.runtime.ledger;
  // At least one byte, so that a full ledger does not look like one without a limit.
  plan.limit_bytes = ledger.limit() == 0 ? 0 : std::max<int64_t>(1, ledger.limit() - ledger.total());
  const Fixed fixed = fixed_parts(in);
  if (in.options.context > 0) {
    fill(in, fixed, in.options.kv_type, in.options.context, plan);
    plan.context_reason = "as asked";
    return plan;
  }
  const int64_t wanted = std::min({own, in.options.most_context, shared});
  fill(in, fixed, in.options.kv_type, wanted, plan);
  plan.context_reason = wanted == own ? "the model's own"
                        : wanted == in.options.most_context
                            ? "the default; the model's own is " + std::to_string(own)
                            : "what a KV cache of " + format_bytes(in.options.kv_max_bytes) + " holds";
  if (plan.fits()) return plan;
  const int64_t fitting = largest_context(in, fixed, in.options.kv_type, wanted, plan);
  if (fitting >= std::min(wanted, kLeastContext)) {
    fill(in, fixed, in.options.kv_type, fitting, plan);
    plan.context_reason = "what the memory limit of " + format_bytes(plan.limit_bytes) + " allows";
  }
  return plan;
}

void refuse_what_does_not_fit(const PlanInputs& in, const MemoryPlan& plan) {
  if (plan.fits()) return;
  const Fixed fixed = fixed_parts(in);
  std::string hint = fitting_hint(in, fixed, plan);
  const int64_t others = in.options.batch_sequences - 1;
  if (hint.empty() && plan.total_bytes - plan.kv_bytes / (others + 1) * others <= plan.limit_bytes) {
    hint = "take fewer sequences at once (--batch)";
  }
  if (hint.empty()) {
    MemoryPlan least = plan;
    fill(in, fixed, KvType::q4, std::min({plan.context, in.spec.train_context, kLeastContext}), least);
    hint = "even a context of " + std::to_string(least.context) + " with --kv-type q4 needs " +
           format_bytes(least.total_bytes) +
           ": take a smaller model or a smaller quantized type, or raise --memory-limit";
  }
  fail(Code::out_of_memory,
       "this needs " + format_bytes(plan.total_bytes) + " (weights " + format_bytes(plan.weights_bytes) +
           ", KV cache " + format_bytes(plan.kv_bytes) + " for " + std::to_string(plan.context) + " tokens, the rest " +
           format_bytes(plan.total_bytes - plan.weights_bytes - plan.kv_bytes) + "), the limit leaves " +
           format_bytes(plan.limit_bytes),
       hint);
}

}  // namespace autoglm
