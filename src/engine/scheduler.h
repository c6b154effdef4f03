// Who computes what in the next step. Pure: no clock, thread, tensor or I/O. It is told the time, what steps took and
// which block is which, so that a test can drive it by hand. Times are seconds from any one origin.
//
// Policy
//  * Every stream advances in every step: whoever lacks only its newest token gets its row first.
//  * The rest of the step goes to prompts, in chunks. While streams run a step may take so long as the target gap
//    between their tokens says, by the fitted cost of steps (step_cost.h). Without a target the gap is kAutomaticGap
//    times what the streams' rows alone would take: streams slow down by that factor, and prompts get the other
//    1 - 1/kAutomaticGap of the machine. Whatever the target, a prompt gets kLeastChunk rows. Without streams chunks
//    are whole.
//  * Prompts, waiting or begun, go by urgency: (1 + waited / work left) / (requests of the same client). Short ones
//    pass long ones, long ones at last pass whoever came later, and many requests of one client count as one.
//  * A request is admitted when a sequence is free and blocks for all its tokens, and one for each that runs, are. The
//    most urgent one is never passed by one that would fit.
//  * A prompt whose beginning is on disk is fetched when its turn comes, and waits for that no longer than computing it
//    would take; others may pass it meanwhile. It holds no block until it is admitted.
//  * When blocks run out, those go that only the prefix cache holds; then the newest running request is preempted. Its
//    full blocks stay in the cache as long as they can, and it resumes with the same bits.
#pragma once

#include <cstdint>
#include <limits>
#include <span>
#include <unordered_map>
#include <vector>

#include "engine/prefix_cache.h"
#include "engine/request.h"
#include "engine/step_cost.h"
#include "format/kv_segment.h"

namespace autoglm {

constexpr double kAutomaticGap = 3;
constexpr int64_t kLeastChunk = kKvBlock;
constexpr double kLeastFetch = 0.05;  // seconds that a disk is waited for, however short a prompt is

enum class Batching : uint8_t {
  none,        // one request at a time
  fixed,       // "static": a batch gathers, runs to its last token, then the next one begins
  dynamic,     // requests gather and begin together, beside those that run
  continuous,  // a request begins as soon as there is room
};

struct SchedulerLimits {
  int64_t rows = 512;     // most tokens of a step
  int64_t sequences = 1;  // most requests that run at once
  int64_t blocks = 0;     // KV blocks in all
  int64_t block_tokens = kKvBlock;
  int64_t scored_rows = 0;  // of prompts whose every row needs logits, in a step
  int64_t row_tile = 1;     // rows that are computed together: a step with a few more costs as much as a whole one more
};

struct SchedulerPolicy {
  Batching batching = Batching::continuous;
  double window = 0;      // fixed, dynamic: how long the first of a batch waits for others
  double target_gap = 0;  // between a stream's tokens; 0: automatic
  bool prefix_cache = true;
};

/// A request as the scheduler sees it.
struct QueuedRequest {
  RequestId id = 0;
  /// Prompt and answer. The caller appends to it before grow(), and keeps it until remove().
  const std::vector<int32_t>* tokens = nullptr;
  double arrival = 0;
  uint64_t client = 0;  // 0: nobody in particular, and never counted together
  Deadlines deadlines{};
  PrefixKey root{};     // what its blocks' content depends on beside tokens
  bool scored = false;  // every row needs logits: chunks are short, and nothing is taken from the cache
  bool whole = false;   // every row must be computed: nothing is taken from the cache, or put there
};

/// Tokens [begin, begin + rows) of a request are computed; `sample`: they reach its end, so the last row gives a token.
struct Work {
  RequestId id = 0;
  int64_t begin = 0;
  int64_t rows = 0;
  bool sample = false;
};

/// The request goes on with this block's tokens instead of computing them.
struct Adoption {
  RequestId id = 0;
  int32_t block = 0;
  PrefixKey key{};
};

/// In the order to be carried out: fetch, preempt, admit, adopt, compute.
struct Plan {
  std::vector<RequestId> fetched;  // missing() of these is to be brought from disk, and done_fetching() told
  std::vector<RequestId> preempted;
  std::vector<RequestId> admitted;
  std::vector<Adoption> adopted;
  std::vector<Work> work;
  StepShape shape;
  double predicted = 0;                                    // seconds
  double limit = std::numeric_limits<double>::infinity();  // seconds it may take; infinite where no stream waits
};

/// A full block of a request was found computed, or is kept from now on.
struct Share {
  int64_t index = 0;  // in the request's blocks
  int32_t block = 0;  // the cache's
  bool kept = false;  // it is the request's own; otherwise a twin that takes its place
};

/// A deadline that passed, and which.
struct Expired {
  RequestId id = 0;
  std::string_view phase;  // "queue", "prefill", "decode"
};

struct CacheStats {
  int64_t looked_up_tokens = 0;  // of prompts when they were admitted
  int64_t hit_tokens = 0;        // of those, what was there
  int64_t blocks = 0;            // now kept
  int64_t evicted_blocks = 0;
  int64_t fetched_tokens = 0;  // that came from disk
};

class Scheduler {
 public:
  explicit Scheduler(const SchedulerLimits& limits, const SchedulerPolicy& policy = {});

  /// Whether a request that grows to this many tokens can ever run, alone if need be.
  bool fits(int64_t tokens) const { return blocks_for(tokens) <= limits_.blocks; }
  void add(const QueuedRequest& request);  // ids ascend
  void remove(RequestId id);               // finished, failed or cancelled; its blocks are free

  /// Requests past a deadline, to be removed. Valid until the next call.
  const std::vector<Expired>& expired(double now);
  /// The next step. Its rows count as computed from here on. Valid until the next call. No work: wait until wake().
  const Plan& plan(double now);
  /// When a plan could have work: `now` if one has. Infinite without requests.
  double wake(double now) const;

  /// Sets blocks aside for `more` tokens that may be computed beyond a planned decode (a draft), as far as blocks and
  /// the step's rows are left; returns for how many. Never at the cost of anyone's next token.
  int64_t reserve(RequestId id, int64_t more);
  /// Blocks that the cache gave up since the last call, to be let go before anything is computed. Valid until the next.
  const std::vector<int32_t>& take_evicted();
  /// Once the planned step is computed, for each of its requests: `blocks` are the request's, by number. Returns what
  /// the cache shares of them from now on, in order. Valid until the next call.
  const std::vector<Share>& share(RequestId id, std::span<const int32_t> blocks);
  /// Keys of a prompt's blocks that the cache has not, in order, and the index of the first.
  struct Missing {
    int64_t first = 0;
    std::vector<PrefixKey> keys;
  };
  Missing missing(RequestId id);
  /// Some of what a waiting request misses may be on disk: a plan will ask for it.
  void may_fetch(RequestId id);
  /// Nothing more comes for it.
  void done_fetching(RequestId id);
  /// Whether a fetched block is the one at `index` of a request's prompt and of use. take: a block is free for it
  /// (take_evicted() first), and imported() must follow; skip: it was computed meanwhile; stop: nor is what follows.
  enum class Import : uint8_t { take, skip, stop };
  Import accept(RequestId id, int64_t index, const PrefixKey& key, std::span<const int32_t> tokens);
  void imported(RequestId id, int64_t index, int32_t block);
  /// Key and tokens of a request's block, and the key in front of it.
  BlockRecord record(RequestId id, int64_t index);

  void grow(RequestId id, double now);  // a token was sampled for it
  /// Of what was reserved, so many tokens came true (each was grown): their keys and values are in the cache. The rest
  /// of the blocks is free again.
  void settle(RequestId id, int64_t verified);
  void completed(double seconds);  // what the planned step took in all

  int64_t spare_rows() const { return spare_rows_; }  // of the planned step
  bool fetching() const { return fetching_ > 0; }
  bool empty() const { return running_.empty() && waiting_.empty(); }
  int64_t running() const { return static_cast<int64_t>(running_.size()); }
  int64_t waiting() const { return static_cast<int64_t>(waiting_.size()); }
  int64_t queued() const;       // of the waiting, those that never ran
  int64_t free_places() const;  // requests that could begin at once, were there blocks
  /// Blocks that a request could have: free, or held by the cache alone.
  int64_t free_blocks() const { return free_ + cache_.unused(); }
  /// Predicted seconds of prompts still to be computed.
  double backlog() const;
  CacheStats cache_stats() const;
  void check_integrity() const;

 private:
  struct Entry {
    QueuedRequest request;
    int64_t tokens = 0;           // known: prompt and answer
    int64_t stored = 0;           // whose keys and values are in the cache
    int64_t blocks = 0;           // set aside for it, shared ones included
    std::vector<int32_t> shared;  // its first blocks, which the prefix cache holds
    std::vector<PrefixKey> keys;  // of its full blocks, as far as they were needed
    bool shares = true;
    bool started = false;  // was admitted once
    double first = -1;     // when it had its first token; < 0: not yet
    enum class Fetch : uint8_t { none, wanted, running } fetch = Fetch::none;
    double fetch_until = 0;  // running: it is waited for
  };
  int64_t blocks_for(int64_t tokens) const { return (tokens + limits_.block_tokens - 1) / limits_.block_tokens; }
  std::span<const int32_t> block_of(const Entry& entry, int64_t index) const;
  const PrefixKey& key_of(Entry& entry, int64_t index) const;
  Entry* find(RequestId id);
  Entry* find_any(RequestId id);
  double prefix_cost(int64_t blocks) const;
  int32_t front_of(Entry& entry, int64_t index);
  void end_fetch(Entry& entry);
  double urgency(const Entry& entry, double now) const;
  double prompt_cost(const Entry& entry) const;

  void take(int64_t blocks);
  void release(Entry& entry);
  int64_t adopt(Entry& entry);
  void make_room();
  void preempt_newest();
  void decode();
  bool gathered(double now) const;
  void admit(double now);
  bool place(Entry& entry);
  void prefill(double now);
  bool comes_anyway(Entry& entry);
  int64_t whole_tiles(int64_t rows, int64_t most) const;
  int64_t chunk(const Entry& entry, bool first);
  void compute(Entry& entry, int64_t rows);

  SchedulerLimits limits_;
  SchedulerPolicy policy_;
  StepCostModel costs_;
  PrefixCache cache_;
  CacheStats stats_;
  int64_t free_ = 0;  // blocks that nobody holds; of the others each belongs to one request or to the cache
  int64_t spare_rows_ = 0;
  int64_t fetching_ = 0;  // entries with a fetch that runs
  int64_t spare_scored_rows_ = 0;
  std::vector<Entry> running_;  // by id
  std::vector<Entry> waiting_;
  std::unordered_map<uint64_t, int64_t> clients_;  // requests of each
  Plan plan_;
  std::vector<int32_t> evicted_;
  std::vector<int32_t> taken_;  // what take_evicted() gave out
  std::vector<Share> shares_;
  std::vector<Expired> expired_;
  struct Candidate {
    double urgency;
    Entry* entry;
  };
  std::vector<Candidate> candidates_;
  std::vector<Entry*> computing_;  // prompts of the planned step
};

}  // namespace autoglm
