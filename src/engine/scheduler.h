// Who computes what in the next step. Pure: no clock, thread, tensor or I/O, so that a test can drive it by hand.
//
// Policy: first come, first served. Every running request that only lacks its newest token decodes; what is left of the
// step's token budget goes to prompts, oldest first, in chunks. A request is admitted when a sequence is free and the
// KV blocks for all its tokens (and one for each that runs, to grow into) are. When blocks run out the newest running
// request is preempted: its blocks are freed, its tokens are kept, and it is computed again later, with the same bits.
#pragma once

#include <cstdint>
#include <deque>
#include <vector>

#include "engine/request.h"

namespace autoglm {

struct SchedulerLimits {
  int64_t rows = 512;     // most tokens of a step
  int64_t sequences = 1;  // most requests that run at once
  int64_t blocks = 0;     // KV blocks in all
  int64_t block_tokens = 16;
};

/// Tokens [begin, begin + rows) of a request are computed; `sample`: they reach its end, so the last row gives a token.
struct Work {
  RequestId id = 0;
  int64_t begin = 0;
  int64_t rows = 0;
  bool sample = false;
};

/// In the order to be carried out: preempt, admit, compute.
struct Plan {
  std::vector<RequestId> preempted;
  std::vector<RequestId> admitted;
  std::vector<Work> work;
};

class Scheduler {
 public:
  explicit Scheduler(const SchedulerLimits& limits);

  /// Whether a request that grows to this many tokens can ever run, alone if need be.
  bool fits(int64_t tokens) const { return blocks_for(tokens) <= limits_.blocks; }
  void add(RequestId id, int64_t tokens);  // ids ascend
  void remove(RequestId id);               // finished, failed or cancelled; its blocks are free
  /// The next step. Its rows count as computed from here on. Valid until the next call.
  const Plan& plan();
  void grow(RequestId id);  // a token was sampled for it
  /// Sets blocks aside for `more` tokens that may be computed beyond a planned decode (a draft), as far as blocks and
  /// the step's rows are left; returns for how many. Never at the cost of anyone's next token.
  int64_t reserve(RequestId id, int64_t more);
  /// Of what was reserved, so many tokens came true (each was grown): their keys and values are in the cache. The rest
  /// of the blocks is free again.
  void settle(RequestId id, int64_t verified);
  int64_t spare_rows() const { return spare_rows_; }  // of the planned step
  bool empty() const { return running_.empty() && waiting_.empty(); }
  int64_t running() const { return static_cast<int64_t>(running_.size()); }
  int64_t waiting() const { return static_cast<int64_t>(waiting_.size()); }
  int64_t free_blocks() const { return free_; }

 private:
  struct Entry {
    RequestId id = 0;
    int64_t tokens = 0;  // known: prompt and answer
    int64_t stored = 0;  // whose keys and values are in the cache
    int64_t blocks = 0;  // set aside for it
  };
  int64_t blocks_for(int64_t tokens) const { return (tokens + limits_.block_tokens - 1) / limits_.block_tokens; }
  void make_room();
  void preempt_newest();
  void admit(int64_t budget);
  int64_t schedule(bool decodes, int64_t budget);
  Entry* find(RequestId id);

  SchedulerLimits limits_;
  int64_t free_ = 0;
  int64_t spare_rows_ = 0;
  std::vector<Entry> running_;  // by arrival
  std::deque<Entry> waiting_;   // by arrival
  Plan plan_;
};

}  // namespace autoglm
