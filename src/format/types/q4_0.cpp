#include "format/types/q4_0.h"

namespace autoglm::types {

void BlockQ4_0::groups(int8_t* codes, float* scales, float* minima) const {
  for (int c = 0; c < 16; ++c) {
    codes[c] = static_cast<int8_t>((nibbles[c] & 15) - 8);
    codes[c + 16] = static_cast<int8_t>((nibbles[c] >> 4) - 8);
  }
  scales[0] = scale.value();
  minima[0] = 0.0f;
}

// The value of largest magnitude becomes code -8, the one end that has no opposite: the finest step that holds it.
void BlockQ4_0::encode(const float* values) {
  const float step = signed_extreme(values, kColumns) / -8.0f;
  const float inverse = reciprocal(step);
  scale.set(step);
  int8_t codes[kColumns];
  for (int c = 0; c < kColumns; ++c) codes[c] = static_cast<int8_t>(clamp_code(values[c] * inverse + 8.5f, 15) - 8);
  pack(codes);
}

void BlockQ4_0::pack(const int8_t* codes) {
  for (int c = 0; c < 16; ++c) nibbles[c] = static_cast<uint8_t>((codes[c] + 8) | (codes[c + 16] + 8) << 4);
}

}  // namespace autoglm::types
