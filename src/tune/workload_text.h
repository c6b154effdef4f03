// Made-up text for workloads: prose, passages and program code whose tokens are as long as real ones. What it says
// makes no sense, and need not: a model computes as much for it.
#pragma once

#include <cstdint>
#include <string>

#include "base/split_mix.h"

namespace autoglm {

class WorkloadRandom : public SplitMix64 {
 public:
  using SplitMix64::SplitMix64;
  double uniform();              // [0, 1)
  int64_t below(int64_t count);  // [0, count)
  double exponential();          // of mean 1
  double lognormal(double median, double sigma);
};

std::string made_sentence(WorkloadRandom& random);
std::string made_question(WorkloadRandom& random);
/// A function of a few lines.
std::string made_code(WorkloadRandom& random);

}  // namespace autoglm
