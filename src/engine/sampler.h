// From a row of logits to a token.
//
// Order of operations (Hugging Face's):
//   1. a NaN or infinite logit: no token (Error numeric for that request);
//   2. log-probabilities are taken from the model's own distribution: before penalties, bias and temperature;
//   3. logit bias; repetition penalty (over prompt and answer: l > 0 ? l / r : l * r); then presence and frequency
//      penalties (over the answer: l - p * [count > 0] - f * count);
//      then, with a grammar, tokens that it does not allow are out;
//   4. temperature 0: the largest logit, the lowest id among equals. Otherwise logits are divided by the temperature;
//   5. top-k: the k most probable, lower ids first among equals;
//   6. top-p: of those, the fewest most probable whose share of the mass is at least p (always one);
//   7. min-p: of those, whoever has at least p times the best one's probability;
//   8. one draw over what is left, in the order of ids.
//
// The draw is a function of (seed, how many tokens the request has sampled) alone: the stream never depends on batch
// mates, preemption or threads. The vocabulary is never sorted: with a small top-k only blocks of logits with a large
// maximum are looked at; otherwise a histogram over distance from the best logit finds the few candidates on the
// border, and only those are ordered.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "engine/request.h"

namespace autoglm {

/// Philox 4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"): a counter-based generator.
std::array<uint32_t, 4> philox(const std::array<uint32_t, 4>& counter, const std::array<uint32_t, 2>& key);

/// A seed from the system, never 0.
uint64_t system_seed();

/// What sampling remembers of one request.
class SamplerState {
 public:
  /// params must have been checked; a seed of 0 is replaced by one from the system.
  SamplerState(const SamplingParams& params, std::span<const int32_t> prompt, int64_t vocabulary);
  const SamplingParams& params() const { return params_; }
  /// The number in [0, 1) for the next token.
  double uniform() const;
  void accept(int32_t token);
  bool adjusts() const { return !params_.logit_bias.empty() || penalties_; }
  /// Applies bias and penalties in place.
  void adjust(std::span<float> logits) const;

 private:
  SamplingParams params_;
  uint64_t sampled_ = 0;
  bool penalties_ = false;
  std::vector<int32_t> seen_;    // distinct tokens of prompt and answer, if there are penalties
  std::vector<int32_t> counts_;  // by token: -1 never seen, 0 only in the prompt, else occurrences in the answer
};

/// Scratch for one row at a time. Not thread-safe; allocates only in its constructor.
class Sampler {
 public:
  explicit Sampler(int64_t vocabulary);
  /// Memory that one holds.
  static int64_t bytes_for(int64_t vocabulary);

  static constexpr int32_t kNotFinite = -1;
  static constexpr int32_t kNothingAllowed = -2;

  /// The next token; kNotFinite if a logit is NaN or infinite. Fills `logprobs` if the request wants them (see
  /// TokenLogprob's order in Event). Does not accept(): the caller does, once.
  /// `allowed`: a bit a token, from the least significant of each word; empty: all. kNothingAllowed if none is set.
  int32_t sample(std::span<const float> logits, const SamplerState& state, std::vector<TokenLogprob>& logprobs,
                 std::span<const uint64_t> allowed = {});
  /// Log-probabilities of a token that was not sampled and of the `best` likeliest. False for logits that are no
  /// numbers.
  bool score(std::span<const float> logits, int32_t token, int best, std::vector<TokenLogprob>& logprobs);

 private:
  struct Candidate {
    float x;  // (logit - best) / temperature, so <= 0
    int32_t id;
  };
  struct Cut {  // kept: x > cut.x, or equal and id <= cut.id
    float x;
    int32_t id;
  };
  static constexpr int kBuckets = 512;  // of 1/16 nat each; the last takes the rest

  static bool before(const Candidate& a, const Candidate& b) { return a.x > b.x || (a.x == b.x && a.id < b.id); }
  static constexpr size_t kBlock = 32;  // logits that share a maximum

  int32_t draw_of_few(std::span<const float> logits, float best, const SamplingParams& params, double uniform);
  int32_t draw_of_allowed(std::span<const float> logits, std::span<const uint64_t> allowed,
                          const SamplingParams& params, double uniform);
  int32_t draw_of_candidates(const SamplingParams& params, double uniform);
  void mask_out(std::span<const float> logits, std::span<const uint64_t> allowed);
  void weigh(std::span<const float> logits, float best, float temperature);
  Cut choose(const SamplingParams& params);
  void gather(int first_bucket, int last_bucket);
  size_t cut_mass(size_t kept, double mass);
  int32_t draw(const Cut& cut, double uniform);

  int64_t vocabulary_;
  std::vector<float> adjusted_;
  std::vector<float> x_;
  std::vector<float> weight_;  // exp(x)
  std::vector<Candidate> candidates_;
  std::vector<float> maxima_, order_;  // of blocks of logits
  std::array<int64_t, kBuckets> bucket_count_{};
  std::array<double, kBuckets> bucket_mass_{};
};

}  // namespace autoglm
