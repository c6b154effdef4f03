#include "tune/race.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <optional>
#include <set>
#include <utility>

#include "base/error.h"

namespace autoglm {
namespace {

constexpr double kInfinite = std::numeric_limits<double>::infinity();
constexpr int kBetweenAnchors = 3;  // choices between two measurements of the default
// Prior variances of logarithms of cost: of a value alone, of two together, of a choice.
constexpr double kAlone = 0.15 * 0.15, kTogether = 0.05 * 0.05, kOwn = 0.03 * 0.03;
constexpr double kSurely = 2;         // standard deviations
constexpr double kNotWorthIt = 0.01;  // of cost: the search ends where no more can be expected
constexpr int kFirstLook = 12;        // pairs: fewer cannot give an interval of kConfirmSigma
// Of the budget: the search may begin again so far, for so much at a time.
constexpr double kLastSearch = 0.8, kMoreSearch = 0.15;

double prior(size_t fields, size_t alike) {
  const auto n = static_cast<double>(alike);
  return kAlone * n + kTogether * n * (n - 1) / 2 + (alike == fields ? kOwn : 0.0);
}

/// The choices of a space, the default first.
class Space {
 public:
  explicit Space(const std::vector<int>& values) : values_(values) {
    // With at most so many fields away from the default that there are not too many.
    for (size_t changed = values.size(); changed > 0; --changed) {
      choices_.clear();
      if (list(RaceChoice(values.size(), 0), 0, changed)) break;
    }
    if (choices_.empty()) choices_.emplace_back(values.size(), 0);
    std::ranges::sort(choices_);
    out_.assign(choices_.size(), false);
  }

  size_t size() const { return choices_.size(); }
  const RaceChoice& operator[](size_t index) const { return choices_[index]; }
  bool out(size_t index) const { return out_[index]; }

  /// That cannot be measured; and if it is one value alone, whatever has it.
  void remove(size_t index) {
    out_[index] = true;
    const RaceChoice& gone = choices_[index];
    if (changed(gone) != 1) return;
    const auto field = static_cast<size_t>(std::ranges::find_if(gone, [](int v) { return v != 0; }) - gone.begin());
    for (size_t i = 0; i < choices_.size(); ++i) {
      if (choices_[i][field] == gone[field]) out_[i] = true;
    }
  }

  /// Those that differ from the default in one field.
  std::vector<size_t> alone() const {
    std::vector<size_t> found;
    for (size_t i = 0; i < choices_.size(); ++i) {
      if (changed(choices_[i]) == 1) found.push_back(i);
    }
    return found;
  }

  /// Those with one field more at its default.
  std::vector<size_t> simpler(size_t index) const {
    std::vector<size_t> found;
    RaceChoice choice = choices_[index];
    for (int& value : choice) {
      if (value == 0) continue;
      const int had = std::exchange(value, 0);
      const auto at = std::ranges::lower_bound(choices_, choice);
      if (at != choices_.end() && *at == choice) found.push_back(static_cast<size_t>(at - choices_.begin()));
      value = had;
    }
    return found;
  }

  /// Prior covariance of two choices' logarithms of cost by the default's.
  double covariance(size_t a, size_t b) const {
    const size_t n = values_.size();
    return prior(n, alike(a, b)) - prior(n, alike(a, 0)) - prior(n, alike(0, b)) + prior(n, n);
  }

 private:
  static int64_t changed(const RaceChoice& choice) {
    return std::ranges::count_if(choice, [](int value) { return value != 0; });
  }
  size_t alike(size_t a, size_t b) const {
    size_t count = 0;
    for (size_t i = 0; i < values_.size(); ++i) count += choices_[a][i] == choices_[b][i] ? 1 : 0;
    return count;
  }
  bool list(RaceChoice choice, size_t field, size_t left) {
    if (field == values_.size()) {
      choices_.push_back(std::move(choice));
      return std::ssize(choices_) <= kMostChoices;
    }
    for (int value = 0; value < values_[field]; ++value) {
      if (value > 0 && left == 0) break;
      choice[field] = value;
      if (!list(choice, field + 1, value > 0 ? left - 1 : left)) return false;
    }
    return true;
  }

  std::vector<int> values_;
  std::vector<RaceChoice> choices_;
  std::vector<bool> out_;
};

/// What is believed of a choice: the logarithm of its cost by the default's.
struct Belief {
  double mean = 0, deviation = 0;
};

/// The Gaussian process (Rasmussen, Williams: Gaussian processes for machine learning, algorithm 2.1).
class Beliefs {
 public:
  explicit Beliefs(const Space& space) : space_(&space), sums_(space.size(), 0.0), counts_(space.size(), 0) {}

  void observe(size_t choice, double log_ratio) {
    sums_[choice] += log_ratio;
    ++counts_[choice];
  }
  /// `squares`: of the difference of two measurements of the default that follow each other.
  void observe_default(double difference) {
    squares_ += difference * difference / 2;
    ++differences_;
  }
  int64_t count(size_t choice) const { return counts_[choice]; }

  std::vector<Belief> all() const {
    std::vector<size_t> seen;
    for (size_t i = 0; i < counts_.size(); ++i) {
      if (counts_[i] > 0) seen.push_back(i);
    }
    const size_t m = seen.size();
    std::vector<double> factor(m * m), weights(m);
    // A ratio has the noise of one measurement and of the mean of two.
    const double noise = 1.5 * noise_variance();
    for (size_t i = 0; i < m; ++i) {
      for (size_t j = 0; j <= i; ++j) factor[i * m + j] = space_->covariance(seen[i], seen[j]);
      factor[i * m + i] += noise / static_cast<double>(counts_[seen[i]]);
      weights[i] = sums_[seen[i]] / static_cast<double>(counts_[seen[i]]);
    }
    decompose(factor, m);
    solve(factor, m, weights);  // L^-1 y: its product with L^-1 k is the mean
    std::vector<Belief> out(space_->size());
    std::vector<double> row(m);
    for (size_t g = 0; g < out.size(); ++g) {
      for (size_t i = 0; i < m; ++i) row[i] = space_->covariance(g, seen[i]);
      solve(factor, m, row);
      double mean = 0, known = 0;
      for (size_t i = 0; i < m; ++i) {
        mean += row[i] * weights[i];
        known += row[i] * row[i];
      }
      out[g] = {mean, std::sqrt(std::max(0.0, space_->covariance(g, g) - known))};
    }
    return out;
  }

 private:
  double noise_variance() const {
    constexpr double kPrior = 0.1 * 0.1, kPriorWeight = 4;
    return (kPrior * kPriorWeight + squares_) / (kPriorWeight + static_cast<double>(differences_));
  }
  // Cholesky, in place: the lower triangle becomes L.
  static void decompose(std::vector<double>& a, size_t n) {
    for (size_t i = 0; i < n; ++i) {
      for (size_t j = 0; j <= i; ++j) {
        double sum = a[i * n + j];
        for (size_t k = 0; k < j; ++k) sum -= a[i * n + k] * a[j * n + k];
        a[i * n + j] = i == j ? std::sqrt(std::max(sum, 1e-12)) : sum / a[j * n + j];
      }
    }
  }
  static void solve(const std::vector<double>& l, size_t n, std::vector<double>& b) {
    for (size_t i = 0; i < n; ++i) {
      double sum = b[i];
      for (size_t k = 0; k < i; ++k) sum -= l[i * n + k] * b[k];
      b[i] = sum / l[i * n + i];
    }
  }

  const Space* space_;
  std::vector<double> sums_;
  std::vector<int64_t> counts_;
  double squares_ = 0;
  int64_t differences_ = 0;
};

class Race {
 public:
  explicit Race(const RaceOptions& options) : options_(options), space_(options.values), beliefs_(space_) {}

  RaceResult run() {
    result_.choice = result_.candidate = space_[0];
    if (space_.size() > 1 && measure_default()) {
      measure(space_.alone(), search_part());
      search(search_part());
      decide();
    }
    return result_;
  }

 private:
  // So much of the budget that the rest is enough for the first look at the winner, if that can be.
  double search_part() const {
    constexpr double kLeast = 0.3;
    const double one = options_.spent() / static_cast<double>(std::max<int64_t>(1, result_.measurements));
    return std::clamp(1 - 2.2 * kFirstLook * one, kLeast, kSearchPart);
  }

  bool measure_default() {
    const double cost = options_.cost(space_[0]);
    ++result_.measurements;
    if (!std::isfinite(cost)) return false;  // nothing can be compared with it
    const double now = std::log(cost);
    if (anchor_) beliefs_.observe_default(now - *anchor_);
    before_ = anchor_.value_or(now);
    anchor_ = now;
    return true;
  }

  // Between defaults, a few at a time.
  void measure(const std::vector<size_t>& choices, double until) {
    std::vector<std::pair<size_t, double>> waiting;
    const auto settle = [&] {
      if (waiting.empty() || !measure_default()) return waiting.clear();
      for (const auto& [choice, cost] : waiting) {
        const double ratio = cost - (before_ + *anchor_) / 2;
        beliefs_.observe(choice, ratio);
        if (options_.measured) options_.measured(space_[choice], std::exp(ratio));
      }
      waiting.clear();
    };
    for (const size_t choice : choices) {
      if (options_.spent() >= until) break;
      if (space_.out(choice)) continue;
      const double cost = options_.cost(space_[choice]);
      ++result_.measurements;
      if (std::isfinite(cost)) {
        waiting.emplace_back(choice, std::log(cost));
      } else {
        space_.remove(choice);
      }
      if (std::ssize(waiting) == kBetweenAnchors) settle();
    }
    settle();
  }

  // The choices to measure in the next round; none: there is nothing more to find out.
  std::vector<size_t> survivors() const {
    constexpr double kHope = 1.5;
    constexpr size_t kLeastRound = 2, kMostRound = 6;
    const std::vector<Belief> beliefs = beliefs_.all();
    double sure = kInfinite;  // the best is at most this
    for (size_t i = 0; i < beliefs.size(); ++i) {
      if (!space_.out(i)) sure = std::min(sure, beliefs[i].mean + kSurely * beliefs[i].deviation);
    }
    std::vector<size_t> left;
    for (size_t i = 1; i < beliefs.size(); ++i) {
      if (!space_.out(i) && beliefs[i].mean - kSurely * beliefs[i].deviation < sure - kNotWorthIt) left.push_back(i);
    }
    std::ranges::sort(left, {}, [&](size_t i) { return beliefs[i].mean - kHope * beliefs[i].deviation; });
    left.resize(std::min(left.size(), std::clamp(left.size() / 2, kLeastRound, kMostRound)));
    return left;
  }

  // What the search thinks best, without what seems to do nothing; the default if nothing seems better.
  size_t best() const {
    const std::vector<Belief> beliefs = beliefs_.all();
    size_t at = 0;
    double least = -kNotWorthIt / 2;
    for (size_t i = 1; i < beliefs.size(); ++i) {
      const double careful = beliefs[i].mean + beliefs[i].deviation / 2;
      if (!space_.out(i) && !refused_.contains(i) && careful < least) {
        least = careful;
        at = i;
      }
    }
    // Field by field back to the default, the least missed first, as long as each is worth so little.
    while (at != 0) {
      const double most = beliefs[at].mean + kNotWorthIt;
      size_t simpler = at;
      for (const size_t i : space_.simpler(at)) {
        if (space_.out(i) || refused_.contains(i) || beliefs[i].mean > most) continue;
        if (simpler == at || beliefs[i].mean < beliefs[simpler].mean) simpler = i;
      }
      if (simpler == at) break;
      at = simpler;
    }
    return at;
  }

  // Candidates against the champion, which is the default at first; between them what is left of the budget may find
  // better ones.
  void decide() {
    while (options_.spent() < 1) {
      const size_t choice = best();
      if (choice != champion_) {
        result_.candidate = space_[choice];
        if (confirm(choice)) {
          champion_ = choice;
          result_.choice = space_[choice];
        } else {
          refused_.insert(choice);
        }
      }
      if (!search(std::min(kLastSearch, options_.spent() + kMoreSearch)) && best() == champion_) return;
      if (options_.spent() >= kLastSearch && best() == champion_) return;
    }
  }

  // Rounds until so much of the budget is spent; false: there was nothing more to find out.
  bool search(double until) {
    bool any = false;
    while (options_.spent() < until) {
      const std::vector<size_t> next = survivors();
      if (next.empty()) return any;
      measure(next, until);
      any = true;
    }
    return any;
  }

  bool confirm(size_t choice) {
    std::vector<double> logs;
    for (int pair = 0, look = kFirstLook; options_.spent() < 1; ++pair) {
      double costs[2];
      for (const int turn : {0, 1}) {
        const int side = (pair + turn) % 2;
        costs[side] = options_.cost(space_[side == 0 ? champion_ : choice]);
        ++result_.measurements;
      }
      if (!std::isfinite(costs[0]) || !std::isfinite(costs[1])) {
        space_.remove(choice);
        return false;
      }
      logs.push_back(std::log(costs[1] / costs[0]));
      if (champion_ == 0) beliefs_.observe(choice, logs.back());
      if (options_.measured) options_.measured(space_[choice], std::exp(logs.back()));
      if (std::ssize(logs) < look) continue;
      look += look / 3;  // not at every pair: each look is a chance to be wrong
      const PairedRatio ratio = paired_ratio(logs, kConfirmSigma);
      if (ratio.high < 1) return keep(ratio);
      if (ratio.ratio >= 1 - kNotWorthIt / 2) return false;  // no better: another, if any
    }
    const PairedRatio ratio = paired_ratio(logs, kConfirmSigma);
    return ratio.high < 1 && keep(ratio);
  }

  // Ratios multiply from champion to champion, and so do their intervals' ends: wider than they need be.
  bool keep(const PairedRatio& ratio) {
    PairedRatio& all = result_.confirmed;
    all = champion_ == 0 ? ratio
                         : PairedRatio{all.ratio * ratio.ratio, all.low * ratio.low, all.high * ratio.high,
                                       std::min(all.pairs, ratio.pairs)};
    return true;
  }

  const RaceOptions& options_;
  Space space_;
  Beliefs beliefs_;
  std::optional<double> anchor_;  // the default's last measurement, as a logarithm
  double before_ = 0;             // the one before
  size_t champion_ = 0;           // what has beaten the default, or what has beaten it
  std::set<size_t> refused_;      // that have not
  RaceResult result_;
};

}  // namespace

RaceResult race(const RaceOptions& options) {
  for (const int values : options.values) AUTOGLM_CHECK(values >= 1, "a field has its default");
  return Race(options).run();
}

}  // namespace autoglm
