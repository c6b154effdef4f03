// What a perfect prefix cache could have saved: how much of each prompt began as a recent one did, and how much of it
// stood in one anywhere. The difference to what was cached tells a cold cache; the difference between the two, prompts
// that change at their start. Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <span>
#include <unordered_map>
#include <vector>

namespace autoglm {

struct ReuseCounters {
  int64_t requests = 0;
  int64_t prompt_tokens = 0;      // of all requests
  int64_t same_start_tokens = 0;  // began as in a recent prompt: whole blocks
  int64_t repeated_tokens = 0;    // stood in a recent prompt somewhere: an estimate, from samples
};

class PrefixWatch {
 public:
  /// Prompts in the order of their arrival. Beyond kMostTokens a prompt is not looked at.
  void observe(std::span<const int32_t> prompt);
  const ReuseCounters& counters() const { return counters_; }

  static constexpr size_t kRecent = 16;  // prompts
  static constexpr size_t kMostTokens = 32768;

 private:
  using Marks = std::vector<uint64_t>;
  /// How many of the recent prompts have a mark.
  using Counts = std::unordered_map<uint64_t, int32_t>;
  struct Prompt {
    Marks starts;   // chained over all tokens up to a block's end
    Marks samples;  // of places chosen by their own content
  };
  static Prompt marks_of(std::span<const int32_t> prompt);
  static void count(Counts& counts, const Marks& marks, int32_t by);

  std::deque<Prompt> recent_;
  Counts starts_;
  Counts samples_;
  ReuseCounters counters_;
};

}  // namespace autoglm
