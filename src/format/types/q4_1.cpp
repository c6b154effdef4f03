#include "format/types/q4_1.h"

#include <algorithm>

namespace autoglm::types {

void BlockQ4_1::groups(int8_t* codes, float* scales, float* minima) const {
  for (int c = 0; c < 16; ++c) {
    codes[c] = static_cast<int8_t>(nibbles[c] & 15);
    codes[c + 16] = static_cast<int8_t>(nibbles[c] >> 4);
  }
  scales[0] = scale.value();
  minima[0] = -offset.value();
}

void BlockQ4_1::encode(const float* values) {
  const auto [low, high] = std::minmax_element(values, values + kColumns);
  const float step = (*high - *low) / 15.0f;
  const float inverse = reciprocal(step);
  scale.set(step);
  offset.set(*low);
  int8_t codes[kColumns];
  for (int c = 0; c < kColumns; ++c)
    codes[c] = static_cast<int8_t>(clamp_code((values[c] - *low) * inverse + 0.5f, 15));
  pack(codes);
}

void BlockQ4_1::pack(const int8_t* codes) {
  for (int c = 0; c < 16; ++c) nibbles[c] = static_cast<uint8_t>(codes[c] | codes[c + 16] << 4);
}

}  // namespace autoglm::types
