#include "format/types/q8_a.h"

#include <algorithm>
#include <cstring>

namespace autoglm::types {

void BlockQ8_A::groups(int8_t* codes, float* scales, float* minima) const {
  std::memcpy(codes, values, sizeof(values));
  scales[0] = scale.value();
  minima[0] = -offset.value();
}

// Least and greatest value become codes -128 and 127. Halves round, so codes are found from what is stored.
void BlockQ8_A::encode(const float* input) {
  const auto [low, high] = std::minmax_element(input, input + kColumns);
  scale.set((*high - *low) / 255.0f);
  const float step = scale.value();
  offset.set(*low + 128.0f * step);
  const float middle = offset.value();
  const float inverse = reciprocal(step);
  for (int c = 0; c < kColumns; ++c) {
    values[c] = static_cast<int8_t>(clamp_code((input[c] - middle) * inverse + 128.5f, 255) - 128);
  }
}

void BlockQ8_A::pack(const int8_t* codes) { std::memcpy(values, codes, sizeof(values)); }

}  // namespace autoglm::types
