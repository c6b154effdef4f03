// Finds cheap settings by racing. Pure: told costs by a function, never asking for the time.
//
// A space has a few fields with a few values each; a choice is one value a field, and value 0 of each is the default.
// Measurements of choices stand between measurements of the default, and what counts is the logarithm of their cost by
// those two: a machine that drifts slows down all of them.
//
// What is known of all choices at once is a Gaussian process over these logarithms: what a value does on its own, what
// two values do together, and what is a choice's own, each with a prior size. One measurement so tells something of
// every choice that shares a value with it, and a few dozen are enough for hundreds of choices.
//
//  1. Every value is measured once, alone beside defaults.
//  2. Rounds: the choices that may still be the best are measured, the most promising first; whoever is surely worse
//     than the best is out. Fewer survive from round to round, so each gets more.
//  3. The best, without what seems to do nothing, is measured against the default, afresh, in alternating pairs, until
//     the interval of their ratio (3 standard deviations: one in a thousand) lies below 1, or the budget is spent.
//     Unless it does, the default stays: it wins ties, and what is bad luck of the search does not pass.
//  4. What is left of the budget goes on with the search; whoever then seems better must beat the winner likewise.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "tune/paired.h"

namespace autoglm {

/// An index a field; 0: the field's default.
using RaceChoice = std::vector<int>;

struct RaceOptions {
  std::vector<int> values;  // of each field, at least 1
  /// Costs above 0; infinite: it cannot be measured (refused, does not fit), and is out.
  std::function<double(const RaceChoice& choice)> cost;
  /// The part of the budget that is spent, 0 to 1 and more. The first search uses kSearchPart of it at most.
  std::function<double()> spent;
  /// Called after every measurement of a choice with its cost by the default's.
  std::function<void(const RaceChoice& choice, double ratio)> measured{};
};

constexpr double kSearchPart = 0.5;
constexpr double kConfirmSigma = 3;
constexpr int64_t kMostChoices = 4096;  // more are thinned out: fields far from the default on few at a time

struct RaceResult {
  RaceChoice choice;      // the default where nothing won
  PairedRatio confirmed;  // cost of the choice by the default's, from pairs; none: the default stayed
  RaceChoice candidate;   // what the search thought best in the end, kept or not
  int64_t measurements = 0;
};

RaceResult race(const RaceOptions& options);

}  // namespace autoglm
