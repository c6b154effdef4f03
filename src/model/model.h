// A loaded model: specification, weights, and one forward step.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "format/model_source.h"
#include "format/pack_cache.h"
#include "kernels/backend.h"
#include "model/arch_spec.h"
#include "model/batch.h"
#include "model/kv_cache.h"
#include "model/runtime.h"

namespace autoglm {

/// Called after each tensor with the file's bytes loaded so far. May throw, which ends the loading cleanly.
using LoadProgress = std::function<void(int64_t done, int64_t total)>;

/// Where packed weights lie that were found on disk. shared: the pack itself, mapped: one copy for all processes,
/// nothing to fill; own: in huge pages of this process, filled from it. docs/PERFORMANCE.md, "Weights in memory",
/// compares them.
enum class WeightsMemory : uint8_t { shared, own };

constexpr int64_t kSharedTokens = 1024;

struct LoadOptions {
  Precision precision = Precision::automatic;
  KvType kv_type = KvType::q8;
  int64_t context = 0;           // tokens that KV is planned for; 0: the default rule of CLI.md
  int64_t most_context = 32768;  // the default rule's: no more than these, unless asked for
  int64_t batch_sequences = 1;   // sequences at once
  int64_t kv_max_bytes = 0;      // for keys and values of all sequences together; 0: the context for each of them
  // Where kv_max_bytes is 0: sequences are requests of a server, of which few are as long as the context. One whole
  // context, and kSharedTokens for each other sequence.
  bool kv_shared = false;
  int64_t batch_rows = 512;  // most rows of a step
  int64_t logit_rows = 0;    // most rows of a step that need logits; 0: batch_sequences
  bool tokenizer = true;     // one is loaded beside the model, to be planned for
  // What takes the logits of such a vocabulary holds itself (an engine's sampler), to be planned for.
  std::function<int64_t(int64_t vocabulary)> logits_bytes{};
  // What a sequence of so many tokens takes beside the model, to be planned for (an engine's index for speculation).
  std::function<int64_t(int64_t tokens)> sequence_bytes{};
  // What keeping KV blocks of so many bytes outside the KV cache takes, to be planned for (booked by who does it).
  std::function<int64_t(int64_t block_bytes)> cache_bytes{};
  LoadProgress progress{};
  WeightsMemory weights_memory = WeightsMemory::shared;
  PackCache* cache = nullptr;  // where packed weights are kept between runs; null: nowhere. Used by load() only
};

/// What a run will hold, before anything is allocated. total = everything resident at the peak.
/// Resident means what VmHWM in /proc/self/status counts: anonymous memory and mapped files, shared libraries included.
struct MemoryPlan {
  int64_t weights_bytes = 0;  // mapped file parts that are read, plus packed copies
  int64_t source_bytes = 0;   // weights in memory that were packed and stay (bench --shape makes such)
  int64_t kv_per_token_bytes = 0;
  int64_t kv_blocks = 0;
  int64_t kv_bytes = 0;
  int64_t activations_bytes = 0;  // and what each sequence takes beside the model
  int64_t cache_bytes = 0;        // LoadOptions::cache_bytes
  int64_t tokenizer_bytes = 0;
  int64_t process_bytes = 0;
  int64_t total_bytes = 0;
  int64_t context = 0;         // the context chosen
  int64_t limit_bytes = 0;     // of the ledger, less what others in this process hold; 0: none
  std::string context_reason;  // why, for people
  /// What is neither weights, KV nor activations.
  int64_t rest_bytes() const { return source_bytes + cache_bytes + tokenizer_bytes + process_bytes; }
  bool fits() const { return limit_bytes == 0 || total_bytes <= limit_bytes; }
};

class Model {
 public:
  /// Plans, refuses what does not fit (Error out_of_memory with what would fit), then loads.
  static std::unique_ptr<Model> load(std::shared_ptr<const ModelSource> source, Runtime& runtime,
                                     const LoadOptions& options);
  /// The plan alone: reads headers, allocates nothing, and does not refuse: ask fits().
  static MemoryPlan plan(const ModelSource& source, const Runtime& runtime, const LoadOptions& options);

  ~Model();
  const ArchSpec& spec() const;
  const MemoryPlan& memory() const;
  int64_t context() const;
  int64_t max_rows() const;
  int64_t max_logit_rows() const;
  /// Backend::row_tile.
  int64_t row_tile() const;
  KvType kv_type() const;
  Precision precision() const;
  /// Milliseconds of load() that went into packing weights; none: nothing had to be packed.
  std::optional<double> packing_ms() const;
  std::unique_ptr<KvCache> make_kv_cache() const;
  /// Backend::settle(): after the first step; with `wait` before a measurement.
  void settle(bool wait = false);

  /// One step. Appends the batch's rows to their sequences in `kv` (room must have been made with append(), which is
  /// also what moves the length: past = length - rows) and computes logits of batch.logit_rows.
  /// Returns [logit_rows, vocabulary] floats, valid until the next call. Throws nothing for valid batches.
  std::span<const float> forward(const Batch& batch, KvCache& kv);
  /// Final normed hidden states of rows of the last forward, whose batch said `hidden`, at most max_logit_rows():
  /// [rows, hidden], valid until the next call.
  std::span<const float> hidden(std::span<const int32_t> rows);

 private:
  struct State;
  explicit Model(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace autoglm
