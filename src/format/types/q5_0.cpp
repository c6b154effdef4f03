#include "format/types/q5_0.h"

namespace autoglm::types {

void BlockQ5_0::groups(int8_t* codes, float* scales, float* minima) const {
  for (int c = 0; c < 16; ++c) {
    const int low_bit = high_bits[c / 8] >> (c % 8) & 1;
    const int high_bit = high_bits[2 + c / 8] >> (c % 8) & 1;
    codes[c] = static_cast<int8_t>((nibbles[c] & 15) + 16 * low_bit - 16);
    codes[c + 16] = static_cast<int8_t>((nibbles[c] >> 4) + 16 * high_bit - 16);
  }
  scales[0] = scale.value();
  minima[0] = 0.0f;
}

void BlockQ5_0::encode(const float* values) {
  const float step = signed_extreme(values, kColumns) / -16.0f;
  const float inverse = reciprocal(step);
  scale.set(step);
  int8_t codes[kColumns];
  for (int c = 0; c < kColumns; ++c) codes[c] = static_cast<int8_t>(clamp_code(values[c] * inverse + 16.5f, 31) - 16);
  pack(codes);
}

void BlockQ5_0::pack(const int8_t* codes) {
  for (auto& bits : high_bits) bits = 0;
  for (int c = 0; c < 16; ++c) {
    const int low = codes[c] + 16;
    const int high = codes[c + 16] + 16;
    nibbles[c] = static_cast<uint8_t>((low & 15) | (high & 15) << 4);
    high_bits[c / 8] = static_cast<uint8_t>(high_bits[c / 8] | (low >> 4) << (c % 8));
    high_bits[2 + c / 8] = static_cast<uint8_t>(high_bits[2 + c / 8] | (high >> 4) << (c % 8));
  }
}

}  // namespace autoglm::types
