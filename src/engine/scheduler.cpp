#include "engine/scheduler.h"

#include <algorithm>

namespace autoglm {

Scheduler::Scheduler(const SchedulerLimits& limits) : limits_(limits), free_(limits.blocks) {
  AUTOGLM_CHECK(limits.rows > 0 && limits.sequences > 0 && limits.blocks > 0, "empty scheduler limits");
  // Every running request decodes in every step.
  limits_.sequences = std::min(limits_.sequences, limits_.rows);
}

void Scheduler::add(RequestId id, int64_t tokens) {
  AUTOGLM_CHECK(tokens > 0 && fits(tokens), "the caller checks that a request fits");
  AUTOGLM_CHECK(waiting_.empty() || waiting_.back().id < id, "ids ascend");
  waiting_.push_back({.id = id, .tokens = tokens, .stored = 0, .blocks = 0});
}

void Scheduler::remove(RequestId id) {
  const auto is_it = [id](const Entry& entry) { return entry.id == id; };
  if (const auto it = std::find_if(running_.begin(), running_.end(), is_it); it != running_.end()) {
    free_ += it->blocks;
    running_.erase(it);
  } else if (const auto queued = std::find_if(waiting_.begin(), waiting_.end(), is_it); queued != waiting_.end()) {
    waiting_.erase(queued);
  }
}

const Plan& Scheduler::plan() {
  plan_.preempted.clear();
  plan_.admitted.clear();
  plan_.work.clear();
  make_room();
  const int64_t budget = schedule(true, limits_.rows);
  // Who was preempted just now would be the first to be admitted again: let the others run a step first.
  if (plan_.preempted.empty()) admit(budget);
  spare_rows_ = schedule(false, budget);
  return plan_;
}

void Scheduler::grow(RequestId id) {
  if (Entry* entry = find(id)) ++entry->tokens;
}

Scheduler::Entry* Scheduler::find(RequestId id) {
  const auto it = std::ranges::find_if(running_, [id](const Entry& entry) { return entry.id == id; });
  return it == running_.end() ? nullptr : &*it;
}

int64_t Scheduler::reserve(RequestId id, int64_t more) {
  Entry* entry = find(id);
  if (entry == nullptr) return 0;
  // One block stays for each running request to grow into.
  const int64_t blocks = entry->blocks + std::max<int64_t>(0, free_ - running());
  more = std::min({more, spare_rows_, blocks * limits_.block_tokens - entry->tokens});
  if (more <= 0) return 0;
  const int64_t missing = std::max<int64_t>(0, blocks_for(entry->tokens + more) - entry->blocks);
  entry->blocks += missing;
  free_ -= missing;
  spare_rows_ -= more;
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

// Sets blocks aside for every running request's tokens, oldest first.
void Scheduler::make_room() {
  for (size_t i = 0; i < running_.size(); ++i) {
    while (i < running_.size() && blocks_for(running_[i].tokens) - running_[i].blocks > free_) preempt_newest();
    if (i == running_.size()) return;  // it was the newest itself
    const int64_t missing = std::max<int64_t>(0, blocks_for(running_[i].tokens) - running_[i].blocks);
    running_[i].blocks += missing;
    free_ -= missing;
  }
}

void Scheduler::preempt_newest() {
  Entry entry = running_.back();
  running_.pop_back();
  free_ += entry.blocks;
  entry.blocks = entry.stored = 0;
  plan_.preempted.push_back(entry.id);
  waiting_.push_front(entry);  // it arrived before everyone who waits
}

void Scheduler::admit(int64_t budget) {
  for (const Entry& entry : running_) {
    if (entry.tokens - entry.stored > 1) budget -= entry.tokens - entry.stored;  // older prompts go first
  }
  while (budget > 0 && !waiting_.empty() && running() < limits_.sequences) {
    Entry entry = waiting_.front();
    const int64_t spare = running();
    entry.blocks = blocks_for(entry.tokens);
    if (entry.blocks + spare > free_) return;
    free_ -= entry.blocks;
    budget -= entry.tokens;
    waiting_.pop_front();
    plan_.admitted.push_back(entry.id);
    running_.push_back(entry);
  }
}

// Plans rows, oldest first: for those that decode (one token lacks) or for all; returns what is left of the budget.
int64_t Scheduler::schedule(bool decodes, int64_t budget) {
  for (Entry& entry : running_) {
    const int64_t lacking = entry.tokens - entry.stored;
    if (lacking == 0 || (decodes && lacking > 1) || budget == 0) continue;
    const int64_t rows = std::min(lacking, budget);
    plan_.work.push_back({.id = entry.id, .begin = entry.stored, .rows = rows, .sample = rows == lacking});
    entry.stored += rows;
    budget -= rows;
  }
  return budget;
}

}  // namespace autoglm
