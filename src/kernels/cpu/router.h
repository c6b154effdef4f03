// Which experts a token goes to: scalar, the same on every ISA.
#pragma once

#include <cstdint>

#include "kernels/backend.h"

namespace autoglm::cpu {

struct Choice {
  int32_t expert;
  float weight;
};

/// Writes spec.top_k choices in ascending order of expert. Overwrites logits. A NaN counts as the lowest score.
void route(const RouterSpec& spec, float* logits, const float* correction, Choice* out);

}  // namespace autoglm::cpu
