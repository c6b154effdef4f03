// When a draft pays: what a step of several rows costs, how often a draft is right, and how long it should be.
//
// All of it only decides how many rows a step has, never what is answered: a drafted token is accepted exactly if the
// sampler, given that position's logits and random number, picks that very token, and a row's logits do not depend on
// the rows beside it (decision 5 of the architecture). So measured times may steer it freely.
#pragma once

#include <array>
#include <cstdint>
#include <span>

namespace autoglm {

enum class Speculation : uint8_t {
  off,
  automatic,  // drafts where that is expected to be faster
  always,     // the longest draft there is, whatever it costs: for tests
};

constexpr int64_t kMostDraft = 15;  // tokens drafted for a sequence in one step

/// Seconds of a decoding step by its rows, learned from the steps themselves.
///
/// An exponential mean for each count of rows; counts that were not seen lie on the line between their neighbours, and
/// beyond the last on a flat one: optimism, so that they are tried once. What was not seen for long is forgotten, so
/// that one bad moment of the machine does not switch anything off for good.
class StepCosts {
 public:
  static constexpr int64_t kMostRows = 64;

  void observe(int64_t rows, double seconds);
  /// 0 where nothing is known that could tell.
  double predict(int64_t rows) const;
  /// A step of exactly so many rows was seen often and lately enough to compare others with.
  bool measured(int64_t rows) const;

 private:
  struct Cost {
    double seconds = 0;
    int64_t seen = 0;
    int64_t last = 0;  // step
  };
  bool known(int64_t rows) const;
  std::array<Cost, kMostRows + 1> costs_{};
  int64_t step_ = 0;
};

/// How often the token after a match was the predicted one, by the length of the match. Also observed while nothing is
/// drafted: comparing what the index would have said with what came costs nothing, and switches drafting on again.
class Acceptance {
 public:
  Acceptance();
  double probability(int64_t match_length) const;
  void observe(int64_t match_length, bool right);

 private:
  static constexpr size_t kClasses = 7;
  static size_t class_of(int64_t match_length);
  struct Count {
    double right = 0;
    double tried = 0;
  };
  std::array<Count, kClasses> counts_;
};

/// A sequence that could be drafted for.
struct DraftOption {
  const Acceptance* acceptance = nullptr;
  int64_t match_length = 0;
  int64_t most = 0;    // tokens that may be drafted
  int64_t chosen = 0;  // out: tokens to draft
};

/// Chooses draft lengths for a step that has `rows` rows without drafts (one a sequence) and room for `room` more:
/// those with the most expected tokens a second, or none where the gain over no drafts is not worth the risk.
void choose_drafts(std::span<DraftOption> options, int64_t rows, int64_t room, const StepCosts& costs);

}  // namespace autoglm
