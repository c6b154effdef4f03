#include "engine/prefix_watch.h"

#include <algorithm>
#include <array>
#include <utility>

#include "kernels/backend.h"

namespace autoglm {
namespace {

constexpr uint64_t kBase = 0x9e3779b97f4a7c15U;  // odd: the rolling hash is a polynomial in it, modulo 2^64
constexpr uint64_t kSampled = 16;                // one window in so many

// Spreads a polynomial's value, whose low bits depend on few tokens.
uint64_t mixed(uint64_t hash) {
  hash ^= hash >> 32;
  hash *= 0xd6e8feb86659fd93U;
  return hash ^ (hash >> 32);
}

}  // namespace

// Windows of 16 tokens; those are sampled whose hash says so, so that the same text is sampled at the same places
// wherever it stands (Manber 1994, "Finding similar files in a large file system").
PrefixWatch::Prompt PrefixWatch::marks_of(std::span<const int32_t> prompt) {
  Prompt marks;
  uint64_t leaving = 1;  // kBase ^ kKvBlock
  for (int i = 0; i < kKvBlock; ++i) leaving *= kBase;
  uint64_t chain = 0;
  uint64_t window = 0;
  for (size_t i = 0; i < std::min(prompt.size(), kMostTokens); ++i) {
    const uint64_t token = static_cast<uint32_t>(prompt[i]) + uint64_t{1};
    chain = mixed(chain * kBase + token);
    window = window * kBase + token;
    if (i >= kKvBlock) window -= leaving * (static_cast<uint32_t>(prompt[i - kKvBlock]) + uint64_t{1});
    if ((i + 1) % kKvBlock == 0) marks.starts.push_back(chain);
    const uint64_t mark = mixed(window);
    if (i + 1 >= kKvBlock && mark % kSampled == 0) marks.samples.push_back(mark);
  }
  // Text that repeats itself counts once.
  std::ranges::sort(marks.samples);
  const auto rest = std::ranges::unique(marks.samples);
  marks.samples.erase(rest.begin(), rest.end());
  return marks;
}

void PrefixWatch::count(Counts& counts, const Marks& marks, int32_t by) {
  for (const uint64_t mark : marks) {
    const auto it = counts.try_emplace(mark, 0).first;
    it->second += by;
    if (it->second == 0) counts.erase(it);
  }
}

void PrefixWatch::observe(std::span<const int32_t> prompt) {
  Prompt marks = marks_of(prompt);
  const auto known = [](const Counts& counts) { return [&counts](uint64_t mark) { return counts.contains(mark); }; };
  const auto same =
      std::distance(marks.starts.begin(), std::ranges::find_if_not(marks.starts, known(starts_))) * kKvBlock;
  const auto looked_at = static_cast<int64_t>(std::min(prompt.size(), kMostTokens));
  int64_t repeated = 0;
  if (!marks.samples.empty()) {
    repeated = std::ranges::count_if(marks.samples, known(samples_)) * looked_at / std::ssize(marks.samples);
  }
  ++counters_.requests;
  counters_.prompt_tokens += std::ssize(prompt);
  counters_.same_start_tokens += same;
  counters_.repeated_tokens += std::max<int64_t>(same, repeated);

  count(starts_, marks.starts, 1);
  count(samples_, marks.samples, 1);
  recent_.push_back(std::move(marks));
  if (recent_.size() <= kRecent) return;
  count(starts_, recent_.front().starts, -1);
  count(samples_, recent_.front().samples, -1);
  recent_.pop_front();
}

}  // namespace autoglm
