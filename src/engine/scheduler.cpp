#include "engine/scheduler.h"

#include <algorithm>
#include <utility>

#include "base/error.h"

namespace autoglm {
namespace {

constexpr double kNever = std::numeric_limits<double>::infinity();

}  // namespace

Scheduler::Scheduler(const SchedulerLimits& limits, const SchedulerPolicy& policy)
    : limits_(limits), policy_(policy), free_(limits.blocks) {
  AUTOGLM_CHECK(limits.rows > 0 && limits.sequences > 0 && limits.blocks > 0, "empty scheduler limits");
  AUTOGLM_CHECK(limits.block_tokens > 0 && limits.block_tokens <= kKvBlock, "blocks larger than the cache knows");
  // Every running request decodes in every step.
  limits_.sequences = policy.batching == Batching::none ? 1 : std::min(limits_.sequences, limits_.rows);
}

void Scheduler::add(const QueuedRequest& request) {
  const auto tokens = std::ssize(*request.tokens);
  AUTOGLM_CHECK(tokens > 0 && fits(tokens), "the caller checks that a request fits");
  Entry entry;
  entry.request = request;
  entry.tokens = tokens;
  entry.shares = policy_.prefix_cache && !entry.request.whole;
  waiting_.push_back(std::move(entry));
  if (request.client != 0) ++clients_[request.client];
}

void Scheduler::remove(RequestId id) {
  const auto is_it = [id](const Entry& entry) { return entry.request.id == id; };
  for (std::vector<Entry>* list : {&running_, &waiting_}) {
    const auto it = std::ranges::find_if(*list, is_it);
    if (it == list->end()) continue;
    release(*it);
    end_fetch(*it);
    const auto client = clients_.find(it->request.client);
    if (client != clients_.end() && --client->second == 0) clients_.erase(client);
    list->erase(it);
    return;
  }
}

Scheduler::Entry* Scheduler::find(RequestId id) {
  const auto it = std::ranges::find_if(running_, [id](const Entry& entry) { return entry.request.id == id; });
  return it == running_.end() ? nullptr : &*it;
}

// --- the step ---

const Plan& Scheduler::plan(double now) {
  plan_.fetched.clear();
  plan_.preempted.clear();
  plan_.admitted.clear();
  plan_.adopted.clear();
  plan_.work.clear();
  plan_.shape = {};
  plan_.limit = kNever;
  computing_.clear();
  spare_rows_ = limits_.rows;
  spare_scored_rows_ = limits_.scored_rows;
  make_room();
  decode();
  // Who was preempted just now would be the first to be admitted again: let the others run a step first.
  if (plan_.preempted.empty()) admit(now);
  prefill(now);
  plan_.predicted = plan_.work.empty() ? 0 : costs_.predict(plan_.shape);
  return plan_;
}

void Scheduler::completed(double seconds) { costs_.observe(plan_.shape, seconds); }

void Scheduler::compute(Entry& entry, int64_t rows) {
  const bool ends = entry.stored + rows == entry.tokens;
  plan_.work.push_back({.id = entry.request.id, .begin = entry.stored, .rows = rows, .sample = ends});
  entry.stored += rows;
  spare_rows_ -= rows;
}

void Scheduler::decode() {
  bool streams = false;
  for (Entry& entry : running_) {
    if (entry.tokens - entry.stored != 1) continue;
    plan_.shape.add_decode(entry.stored);
    compute(entry, 1);
    streams = streams || entry.first >= 0;
  }
  if (!streams) return;
  const double alone = costs_.predict(plan_.shape);
  plan_.limit = policy_.target_gap > 0 ? std::max(policy_.target_gap, alone) : kAutomaticGap * alone;
}

void Scheduler::prefill(double now) {
  candidates_.clear();
  for (Entry& entry : running_) {
    if (entry.stored == entry.tokens) continue;  // planned
    const int64_t adopted = adopt(entry);        // what another request has computed since
    free_ += adopted;
    if (entry.first < 0) stats_.hit_tokens += adopted * limits_.block_tokens;
    candidates_.push_back({.urgency = urgency(entry, now), .entry = &entry});
  }
  std::ranges::sort(candidates_, [](const Candidate& a, const Candidate& b) {
    return a.urgency != b.urgency ? a.urgency > b.urgency : a.entry->request.id < b.entry->request.id;
  });
  for (const Candidate& candidate : candidates_) {
    Entry& entry = *candidate.entry;
    if (comes_anyway(entry)) continue;
    const int64_t rows = chunk(entry, computing_.empty());
    if (rows == 0 && entry.request.scored) continue;  // others may have room yet
    if (rows == 0) return;
    if (entry.request.scored) spare_scored_rows_ -= rows;
    plan_.shape.add_prefill(entry.stored, rows, entry.stored + rows == entry.tokens);
    compute(entry, rows);
    computing_.push_back(&entry);
  }
}

// Whether another prompt of this step computes the very block that this one needs next: it is adopted in the next step.
bool Scheduler::comes_anyway(Entry& entry) {
  const int64_t index = entry.stored / limits_.block_tokens;
  const int64_t end = (index + 1) * limits_.block_tokens;
  if (!entry.shares || entry.request.scored) return false;
  if (entry.stored % limits_.block_tokens != 0 || end >= entry.tokens) return false;
  return std::ranges::any_of(computing_, [&](Entry* other) {
    return other->shares && other->stored >= end && key_of(*other, index) == key_of(entry, index);
  });
}

// Rows of a prompt that this step has room and time for. The first one always gets some.
int64_t Scheduler::chunk(const Entry& entry, bool first) {
  const int64_t lacking = entry.tokens - entry.stored;
  const int64_t most = std::min({lacking, spare_rows_, entry.request.scored ? spare_scored_rows_ : lacking});
  if (most == 0 || plan_.limit == kNever) return most;
  const auto seconds = [&](int64_t rows) {
    StepShape shape = plan_.shape;
    shape.add_prefill(entry.stored, rows, rows == lacking);
    return costs_.predict(shape);
  };
  int64_t low = first ? std::min(most, kLeastChunk) : 0;
  if (first) plan_.limit = std::max(plan_.limit, seconds(low));
  for (int64_t high = most; low < high;) {
    const int64_t middle = (low + high + 1) / 2;
    if (seconds(middle) <= plan_.limit) {
      low = middle;
    } else {
      high = middle - 1;
    }
  }
  if (low < lacking) low = whole_tiles(low, most);
  plan_.limit = std::max(plan_.limit, seconds(low));  // a tile that is nearly full is filled
  return low;
}

// A prompt's rows such that those of the step fill its tiles. The costs know nothing of tiles, but where steps are made
// this way they are learned from full ones. Fewer than two tiles are computed row by row.
int64_t Scheduler::whole_tiles(int64_t rows, int64_t most) const {
  const int64_t tile = limits_.row_tile;
  const int64_t others = plan_.shape.prefill_rows + plan_.shape.decode_rows;
  const int64_t over = (others + rows) % tile;
  if (tile == 1 || over == 0) return rows;
  const bool nearly_full = 8 * (others + rows + tile - over) <= 9 * (others + rows);
  if (nearly_full && rows + tile - over <= most) return rows + tile - over;
  return !nearly_full && others + rows > 2 * tile && rows > over ? rows - over : rows;
}

void Scheduler::grow(RequestId id, double now) {
  Entry* entry = find(id);
  if (entry == nullptr) return;
  ++entry->tokens;
  AUTOGLM_CHECK(entry->tokens <= std::ssize(*entry->request.tokens), "grown by a token that nobody knows");
  if (entry->first < 0) entry->first = now;
}

int64_t Scheduler::reserve(RequestId id, int64_t more) {
  Entry* entry = find(id);
  if (entry == nullptr) return 0;
  // One block stays for each running request to grow into.
  const int64_t blocks = entry->blocks + std::max<int64_t>(0, free_blocks() - running());
  more = std::min({more, spare_rows_, blocks * limits_.block_tokens - entry->tokens});
  if (more <= 0) return 0;
  const int64_t missing = std::max<int64_t>(0, blocks_for(entry->tokens + more) - entry->blocks);
  take(missing);
  entry->blocks += missing;
  spare_rows_ -= more;
  plan_.shape.add_decode(entry->tokens, more);
  plan_.predicted = costs_.predict(plan_.shape);
  return more;
}

void Scheduler::settle(RequestId id, int64_t verified) {
  Entry* entry = find(id);
  if (entry == nullptr) return;  // it ended on the way
  entry->stored += verified;
  AUTOGLM_CHECK(entry->stored <= entry->tokens, "more was verified than is known");
  const int64_t surplus = std::max<int64_t>(0, entry->blocks - blocks_for(entry->tokens));
  entry->blocks -= surplus;
  free_ += surplus;
}

// --- who runs ---

// How long its prompt would take from here, alone.
double Scheduler::prompt_cost(const Entry& entry) const {
  StepShape shape;
  shape.add_prefill(entry.stored, entry.tokens - entry.stored, true);
  return costs_.predict(shape);
}

double Scheduler::urgency(const Entry& entry, double now) const {
  const auto client = clients_.find(entry.request.client);
  const double mates = client == clients_.end() ? 1 : static_cast<double>(client->second);
  return (1 + std::max(0.0, now - entry.request.arrival) / prompt_cost(entry)) / mates;
}

int64_t Scheduler::queued() const {
  return std::ranges::count_if(waiting_, [](const Entry& entry) { return !entry.started; });
}

int64_t Scheduler::free_places() const {
  return std::max<int64_t>(0, limits_.sequences - running() - (waiting() - queued()));
}

// Whether those who never ran may begin.
bool Scheduler::gathered(double now) const {
  if (policy_.batching == Batching::none || policy_.batching == Batching::continuous) return true;
  if (policy_.batching == Batching::fixed && (running() > 0 || queued() < waiting())) return false;
  if (queued() >= free_places()) return true;
  return std::ranges::any_of(
      waiting_, [&](const Entry& entry) { return !entry.started && now >= entry.request.arrival + policy_.window; });
}

void Scheduler::admit(double now) {
  if (waiting_.empty() || running() >= limits_.sequences) return;
  const bool open = gathered(now);
  const auto awaited = [now](const Entry& entry) {
    return entry.fetch == Entry::Fetch::running && now < entry.fetch_until;
  };
  // Who is waited for has its place.
  int64_t places = limits_.sequences - std::ranges::count_if(waiting_, awaited);
  while (running() < places) {
    auto best = waiting_.end();
    double most = -1;
    for (auto it = waiting_.begin(); it != waiting_.end(); ++it) {
      if ((!open && !it->started) || awaited(*it)) continue;
      const double wants = urgency(*it, now);
      if (wants < most || (wants == most && it->request.id > best->request.id)) continue;
      best = it;
      most = wants;
    }
    if (best != waiting_.end() && best->fetch == Entry::Fetch::wanted) {
      // Who was set back for lack of blocks waits for room first: what is read now would have to go again.
      if (best->started && blocks_for(best->tokens) + running() > free_blocks()) return;
      best->fetch = Entry::Fetch::running;
      best->fetch_until = now + std::max(kLeastFetch, prompt_cost(*best));
      plan_.fetched.push_back(best->request.id);
      ++fetching_;
      --places;
      continue;
    }
    if (best == waiting_.end() || !place(*best)) return;
    Entry entry = std::move(*best);
    waiting_.erase(best);
    entry.started = true;
    const auto after = std::ranges::find_if(running_, [&](const Entry& e) { return e.request.id > entry.request.id; });
    running_.insert(after, std::move(entry));
  }
}

// Gives a waiting request the blocks it needs, if they are there.
bool Scheduler::place(Entry& entry) {
  const size_t adoptions = plan_.adopted.size();
  adopt(entry);
  const int64_t needed = blocks_for(entry.tokens) - std::ssize(entry.shared);
  if (needed + running() > free_blocks()) {
    release(entry);
    plan_.adopted.resize(adoptions);
    return false;
  }
  take(needed);
  entry.blocks = blocks_for(entry.tokens);
  plan_.admitted.push_back(entry.request.id);
  if (!entry.started && entry.shares) {
    stats_.looked_up_tokens += entry.tokens;
    stats_.hit_tokens += entry.stored;
  }
  return true;
}

// Sets blocks aside for every running request's tokens, oldest first.
void Scheduler::make_room() {
  for (size_t i = 0; i < running_.size(); ++i) {
    while (i < running_.size() && blocks_for(running_[i].tokens) - running_[i].blocks > free_blocks()) preempt_newest();
    if (i == running_.size()) return;  // it was the newest itself
    const int64_t missing = std::max<int64_t>(0, blocks_for(running_[i].tokens) - running_[i].blocks);
    take(missing);
    running_[i].blocks += missing;
  }
}

void Scheduler::preempt_newest() {
  Entry entry = std::move(running_.back());
  running_.pop_back();
  release(entry);
  plan_.preempted.push_back(entry.request.id);
  waiting_.push_back(std::move(entry));
}

// --- blocks ---

std::span<const int32_t> Scheduler::block_of(const Entry& entry, int64_t index) const {
  return std::span(*entry.request.tokens)
      .subspan(static_cast<size_t>(index * limits_.block_tokens), static_cast<size_t>(limits_.block_tokens));
}

const PrefixKey& Scheduler::key_of(Entry& entry, int64_t index) const {
  while (std::ssize(entry.keys) <= index) {
    const PrefixKey& before = entry.keys.empty() ? entry.request.root : entry.keys.back();
    entry.keys.push_back(chain_key(before, block_of(entry, std::ssize(entry.keys))));
  }
  return entry.keys[static_cast<size_t>(index)];
}

// Takes so many blocks from the free ones, which the cache adds to where needed.
void Scheduler::take(int64_t blocks) {
  while (free_ < blocks) {
    const int32_t block = cache_.evict();
    AUTOGLM_CHECK(block >= 0, "more blocks were taken than are free");
    evicted_.push_back(block);
    ++stats_.evicted_blocks;
    ++free_;
  }
  free_ -= blocks;
}

void Scheduler::release(Entry& entry) {
  free_ += std::max<int64_t>(0, entry.blocks - std::ssize(entry.shared));
  while (!entry.shared.empty()) {
    cache_.leave(entry.shared.back());
    entry.shared.pop_back();
  }
  entry.blocks = entry.stored = 0;
}

// Goes on with blocks that are computed already; returns how many. The last token is always computed: its logits are
// wanted.
int64_t Scheduler::adopt(Entry& entry) {
  if (!entry.shares || entry.request.scored) return 0;
  if (entry.stored != std::ssize(entry.shared) * limits_.block_tokens) return 0;
  int64_t adopted = 0;
  while (entry.stored + limits_.block_tokens < entry.tokens) {
    const int64_t index = std::ssize(entry.shared);
    const int32_t before = index == 0 ? -1 : entry.shared.back();
    const int32_t block = cache_.find(key_of(entry, index), before, block_of(entry, index));
    if (block < 0) break;
    cache_.use(block);
    entry.shared.push_back(block);
    entry.stored += limits_.block_tokens;
    plan_.adopted.push_back({.id = entry.request.id, .block = block, .key = key_of(entry, index)});
    ++adopted;
  }
  return adopted;
}

const std::vector<Share>& Scheduler::share(RequestId id, std::span<const int32_t> blocks) {
  shares_.clear();
  Entry* entry = find(id);
  if (entry == nullptr) return shares_;
  while (entry->shares && (std::ssize(entry->shared) + 1) * limits_.block_tokens <= entry->stored) {
    const int64_t index = std::ssize(entry->shared);
    const int32_t before = index == 0 ? -1 : entry->shared.back();
    const int32_t own = blocks[static_cast<size_t>(index)];
    const PrefixKey key = key_of(*entry, index);
    const int32_t twin = cache_.find(key, before, block_of(*entry, index));
    if (twin >= 0) {
      cache_.use(twin);
      ++free_;
    } else {
      entry->shares = cache_.insert(key, before, block_of(*entry, index), own, prefix_cost(index + 1));
      if (!entry->shares) break;  // another prefix has this key: one in 2^64 prompts
    }
    entry->shared.push_back(twin >= 0 ? twin : own);
    shares_.push_back({.index = index, .block = entry->shared.back(), .kept = twin < 0});
  }
  return shares_;
}

// --- what is on disk ---

Scheduler::Entry* Scheduler::find_any(RequestId id) {
  const auto it = std::ranges::find_if(waiting_, [id](const Entry& entry) { return entry.request.id == id; });
  return it == waiting_.end() ? find(id) : &*it;
}

double Scheduler::prefix_cost(int64_t blocks) const {
  StepShape prefix;
  prefix.add_prefill(0, blocks * limits_.block_tokens, false);
  return costs_.predict(prefix);
}

Scheduler::Missing Scheduler::missing(RequestId id) {
  Missing missing;
  Entry* entry = find_any(id);
  if (entry == nullptr || !entry->shares) return missing;
  const int64_t most = (entry->tokens - 1) / limits_.block_tokens;  // the last token is computed in any case
  while (missing.first < most && cache_.find(key_of(*entry, missing.first), block_of(*entry, missing.first)) >= 0) {
    ++missing.first;
  }
  for (int64_t index = missing.first; index < most; ++index) missing.keys.push_back(key_of(*entry, index));
  return missing;
}

void Scheduler::may_fetch(RequestId id) {
  Entry* entry = find_any(id);
  if (entry == nullptr || !entry->shares || entry->request.scored || entry->fetch != Entry::Fetch::none) return;
  entry->fetch = Entry::Fetch::wanted;
}

void Scheduler::end_fetch(Entry& entry) {
  if (entry.fetch == Entry::Fetch::running) --fetching_;
  entry.fetch = Entry::Fetch::none;
}

void Scheduler::done_fetching(RequestId id) {
  Entry* entry = find_any(id);
  if (entry != nullptr) end_fetch(*entry);
}

// The block in front of one, which must be in the cache; -1: none is needed, -2: it is not there.
int32_t Scheduler::front_of(Entry& entry, int64_t index) {
  if (index == 0) return -1;
  const int32_t front = cache_.find(key_of(entry, index - 1), block_of(entry, index - 1));
  return front >= 0 ? front : -2;
}

Scheduler::Import Scheduler::accept(RequestId id, int64_t index, const PrefixKey& key,
                                    std::span<const int32_t> tokens) {
  Entry* entry = find_any(id);
  if (entry == nullptr || !entry->shares || (index + 1) * limits_.block_tokens >= entry->tokens) return Import::stop;
  const std::span<const int32_t> own = block_of(*entry, index);
  if (key_of(*entry, index) != key || !std::equal(own.begin(), own.end(), tokens.begin())) return Import::stop;
  const int32_t front = front_of(*entry, index);
  if (front < -1) return Import::stop;
  if (cache_.find(key, own) >= 0) return Import::skip;
  if (free_ > 0) return Import::take;
  const int32_t evicted = cache_.evict(front);
  if (evicted < 0) return Import::stop;
  evicted_.push_back(evicted);
  ++stats_.evicted_blocks;
  ++free_;
  return Import::take;
}

void Scheduler::imported(RequestId id, int64_t index, int32_t block) {
  Entry& entry = *find_any(id);
  const bool kept = cache_.insert_unused(key_of(entry, index), front_of(entry, index), block_of(entry, index), block,
                                         prefix_cost(index + 1));
  AUTOGLM_CHECK(kept, "imported without having been accepted");
  --free_;
  stats_.fetched_tokens += limits_.block_tokens;
}

BlockRecord Scheduler::record(RequestId id, int64_t index) {
  Entry& entry = *find_any(id);
  BlockRecord record{
      .key = key_of(entry, index), .before = index == 0 ? entry.request.root : key_of(entry, index - 1), .tokens = {}};
  std::ranges::copy(block_of(entry, index), record.tokens.begin());
  return record;
}

const std::vector<int32_t>& Scheduler::take_evicted() {
  taken_.clear();
  std::swap(taken_, evicted_);
  return taken_;
}

// --- time ---

const std::vector<Expired>& Scheduler::expired(double now) {
  expired_.clear();
  const auto check = [&](const Entry& entry) {
    const Deadlines& d = entry.request.deadlines;
    const double waited = now - entry.request.arrival;
    const bool begun = entry.first >= 0;
    if (d.queue > 0 && !entry.started && waited > d.queue) {
      expired_.push_back({.id = entry.request.id, .phase = "queue"});
    } else if (d.prefill > 0 && !begun && waited > d.prefill) {
      expired_.push_back({.id = entry.request.id, .phase = "prefill"});
    } else if (d.decode > 0 && begun && now - entry.first > d.decode) {
      expired_.push_back({.id = entry.request.id, .phase = "decode"});
    }
  };
  for (const Entry& entry : running_) check(entry);
  for (const Entry& entry : waiting_) check(entry);
  return expired_;
}

double Scheduler::wake(double now) const {
  if (running() > 0 || queued() < waiting() || (waiting() > 0 && gathered(now))) return now;
  double next = kNever;
  for (const Entry& entry : waiting_) {
    const Deadlines& d = entry.request.deadlines;
    next = std::min(next, entry.request.arrival + policy_.window);
    for (const double deadline : {d.queue, d.prefill}) {
      if (deadline > 0) next = std::min(next, entry.request.arrival + deadline);
    }
  }
  return std::max(now, next);
}

double Scheduler::backlog() const {
  double seconds = 0;
  for (const std::vector<Entry>* list : {&running_, &waiting_}) {
    for (const Entry& entry : *list) {
      if (entry.tokens - entry.stored > 1) seconds += prompt_cost(entry);
    }
  }
  return seconds;
}

CacheStats Scheduler::cache_stats() const {
  CacheStats stats = stats_;
  stats.blocks = cache_.size();
  return stats;
}

void Scheduler::check_integrity() const {
  cache_.check_integrity();
  int64_t own = 0;
  std::unordered_map<int32_t, int64_t> users;
  for (const Entry& entry : running_) {
    AUTOGLM_CHECK(entry.blocks >= blocks_for(entry.stored), "tokens without blocks");
    AUTOGLM_CHECK(entry.blocks >= std::ssize(entry.shared), "more blocks shared than held");
    own += entry.blocks - std::ssize(entry.shared);
    for (const int32_t block : entry.shared) ++users[block];
  }
  int64_t fetching = 0;
  for (const std::vector<Entry>* list : {&running_, &waiting_}) {
    for (const Entry& entry : *list) fetching += entry.fetch == Entry::Fetch::running ? 1 : 0;
  }
  AUTOGLM_CHECK(fetching == fetching_, "a fetch is lost, or counted twice");
  for (const Entry& entry : waiting_) {
    AUTOGLM_CHECK(entry.blocks == 0 && entry.stored == 0 && entry.shared.empty(), "who waits holds nothing");
  }
  AUTOGLM_CHECK(own + cache_.size() + free_ == limits_.blocks && free_ >= 0, "a block is lost, or counted twice");
  int64_t used = 0;
  for (const auto& [block, count] : users) {
    AUTOGLM_CHECK(cache_.users(block) == count, "a shared block has other users than those who say so");
    ++used;
  }
  AUTOGLM_CHECK(used + cache_.unused() == cache_.size(), "a block in use that nobody has");
}

}  // namespace autoglm
