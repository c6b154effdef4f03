// What `bench` times: prompts and decode steps of random tokens on a loaded model.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/zone.h"
#include "model/model.h"

namespace autoglm {

struct BenchShape {
  int64_t prompt = 512;  // tokens of a prompt
  int64_t gen = 64;      // decode steps
  int64_t depth = 0;     // tokens in the cache before either
  int64_t batch = 1;     // sequences
  uint64_t seed = 1;
};

/// Load options under which the shape can run.
LoadOptions bench_options(LoadOptions options, const BenchShape& shape);

class BenchRun {
 public:
  /// Fills the cache to its depth. `check` is called between steps and may throw (Ctrl-C).
  BenchRun(Model& model, const BenchShape& shape, std::function<void()> check);

  /// Seconds for the prompts of all sequences, up to their last rows' logits. The cache is as before afterwards.
  double prefill();
  /// Seconds for every decode step.
  std::vector<double> decode();
  /// Seconds until the first sequence of the last prefill() had its logits.
  double first_token() const { return first_token_; }
  /// What worker 0's time went into, in all of prefill() and of decode() since forget_zones(). Exactly their wall time.
  const ZoneTotals& prefill_zones() const { return prefill_zones_; }
  const ZoneTotals& decode_zones() const { return decode_zones_; }
  void forget_zones() { prefill_zones_ = decode_zones_ = {}; }
  /// XXH3 (64 bits, hex) of the last sequence's last row of logits.
  std::string logits_hash() const;

 private:
  void feed(int64_t tokens, bool logits);
  int32_t token(int64_t sequence, int64_t position) const;
  void rewind();

  Model* model_;
  BenchShape shape_;
  std::function<void()> check_;
  std::unique_ptr<KvCache> kv_;
  std::vector<SequenceId> sequences_;
  std::vector<float> last_row_;
  double first_token_ = 0;
  ZoneClock zones_{"bench"};
  ZoneTotals prefill_zones_, decode_zones_;
  std::vector<int32_t> tokens_;
  std::vector<BatchSequence> parts_;
  std::vector<int32_t> logit_rows_;
};

}  // namespace autoglm
