#include "format/types/q8_0.h"

#include <cstring>

namespace autoglm::types {

void BlockQ8_0::groups(int8_t* codes, float* scales, float* minima) const {
  std::memcpy(codes, values, sizeof(values));
  scales[0] = scale.value();
  minima[0] = 0.0f;
}

// Halves are rounded away from zero, as every other writer of this format does.
void BlockQ8_0::encode(const float* input) {
  const float step = std::fabs(signed_extreme(input, kColumns)) / 127.0f;
  const float inverse = reciprocal(step);
  scale.set(step);
  for (int c = 0; c < kColumns; ++c) {
    const float scaled = input[c] * inverse;
    const int magnitude = clamp_code(std::round(std::fabs(scaled)), 127);
    values[c] = static_cast<int8_t>(scaled < 0.0f ? -magnitude : magnitude);
  }
}

void BlockQ8_0::pack(const int8_t* codes) { std::memcpy(values, codes, sizeof(values)); }

}  // namespace autoglm::types
