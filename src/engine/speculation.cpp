#include "engine/speculation.h"

#include <algorithm>

namespace autoglm {
namespace {

constexpr int64_t kMemory = 256;       // steps after which a cost that was not seen again is forgotten
constexpr int64_t kBaseMemory = 64;    // steps after which the cost without drafts is measured again
constexpr int64_t kLeastSeen = 3;      // measurements of the cost without drafts before the first draft
constexpr double kLeastWeight = 0.15;  // of a new measurement
constexpr double kOutlier = 3.0;       // one measurement moves the mean at most by this factor's share
constexpr double kMargin = 1.04;       // a smaller expected gain is noise
constexpr double kSlope = 0.02;        // of one step, for each row beyond what was seen

}  // namespace

bool StepCosts::known(int64_t rows) const {
  const Cost& cost = costs_[static_cast<size_t>(rows)];
  return cost.seen > 0 && step_ - cost.last <= kMemory;
}

bool StepCosts::measured(int64_t rows) const {
  if (rows < 1 || rows > kMostRows) return false;
  const Cost& cost = costs_[static_cast<size_t>(rows)];
  return cost.seen >= kLeastSeen && step_ - cost.last <= kBaseMemory;
}

void StepCosts::observe(int64_t rows, double seconds) {
  if (rows < 1 || rows > kMostRows || seconds <= 0) return;
  ++step_;
  Cost& cost = costs_[static_cast<size_t>(rows)];
  if (!known(rows)) cost = {};
  if (cost.seen >= 2) seconds = std::clamp(seconds, cost.seconds / kOutlier, cost.seconds * kOutlier);
  ++cost.seen;
  cost.seconds += (seconds - cost.seconds) * std::max(1.0 / static_cast<double>(cost.seen), kLeastWeight);
  cost.last = step_;
}

double StepCosts::predict(int64_t rows) const {
  if (rows < 1 || rows > kMostRows) return 0;
  if (known(rows)) return costs_[static_cast<size_t>(rows)].seconds;
  int64_t below = rows - 1;
  while (below > 0 && !known(below)) --below;
  int64_t above = rows + 1;
  while (above <= kMostRows && !known(above)) ++above;
  if (below == 0) return 0;
  const double low = costs_[static_cast<size_t>(below)].seconds;
  if (above > kMostRows) return low * (1 + kSlope * static_cast<double>(rows - below));
  const double high = costs_[static_cast<size_t>(above)].seconds;
  return low + (high - low) * static_cast<double>(rows - below) / static_cast<double>(above - below);
}

size_t Acceptance::class_of(int64_t match_length) {
  constexpr std::array<int64_t, kClasses - 1> kFrom = {3, 4, 6, 9, 17, 33};
  return static_cast<size_t>(std::ranges::upper_bound(kFrom, match_length) - kFrom.begin());
}

Acceptance::Acceptance() {
  // What is assumed until a sequence has shown its own: prose repeats pairs of tokens by chance, copies go on.
  constexpr double kWeight = 3;
  constexpr std::array<double, kClasses> kPrior = {0.2, 0.35, 0.5, 0.65, 0.8, 0.9, 0.95};
  for (size_t i = 0; i < kClasses; ++i) counts_[i] = {.right = kWeight * kPrior[i], .tried = kWeight};
}

double Acceptance::probability(int64_t match_length) const {
  const Count& count = counts_[class_of(match_length)];
  return count.right / count.tried;
}

void Acceptance::observe(int64_t match_length, bool right) {
  constexpr double kKeep = 0.96;  // about the last 25 count
  Count& count = counts_[class_of(match_length)];
  count.right = count.right * kKeep + (right ? 1.0 : 0.0);
  count.tried = count.tried * kKeep + 1.0;
}

void choose_drafts(std::span<DraftOption> options, int64_t rows, int64_t room, const StepCosts& costs) {
  for (DraftOption& option : options) option.chosen = 0;
  const double base = costs.predict(rows);
  if (!costs.measured(rows) || base <= 0) return;
  // Chance that the next drafted token of each option is reached and right; the likeliest is added first, so for each
  // number of rows these are the best drafts.
  const auto chance_after = [](const DraftOption& option, int64_t length, double reached) {
    return reached * option.acceptance->probability(option.match_length + length);
  };
  struct Best {
    double rate;
    int64_t added = 0;
  };
  const auto plain = static_cast<double>(rows);
  Best best{.rate = plain / base * kMargin};
  std::array<int32_t, StepCosts::kMostRows> order{};  // which option got the i-th row
  std::array<double, StepCosts::kMostRows> reached{};
  const size_t count = std::min<size_t>(options.size(), reached.size());
  std::fill_n(reached.begin(), count, 1.0);
  double expected = plain;
  const int64_t most = std::min(room, StepCosts::kMostRows - rows);
  for (int64_t added = 1; added <= most; ++added) {
    size_t likeliest = count;
    double chance = 0;
    for (size_t i = 0; i < count; ++i) {
      if (options[i].chosen >= options[i].most) continue;
      const double next = chance_after(options[i], options[i].chosen, reached[i]);
      if (next <= chance) continue;
      chance = next;
      likeliest = i;
    }
    if (likeliest == count) break;
    reached[likeliest] = chance;
    ++options[likeliest].chosen;
    order[static_cast<size_t>(added - 1)] = static_cast<int32_t>(likeliest);
    expected += chance;
    const double rate = expected / costs.predict(rows + added);
    if (rate > best.rate) best = {.rate = rate, .added = added};
  }
  for (DraftOption& option : options) option.chosen = 0;
  for (int64_t i = 0; i < best.added; ++i) ++options[static_cast<size_t>(order[static_cast<size_t>(i)])].chosen;
}

}  // namespace autoglm
