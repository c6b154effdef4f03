#include "format/types/q5_1.h"

#include <algorithm>

namespace autoglm::types {

void BlockQ5_1::groups(int8_t* codes, float* scales, float* minima) const {
  for (int c = 0; c < 16; ++c) {
    const int low_bit = high_bits[c / 8] >> (c % 8) & 1;
    const int high_bit = high_bits[2 + c / 8] >> (c % 8) & 1;
    codes[c] = static_cast<int8_t>((nibbles[c] & 15) + 16 * low_bit);
    codes[c + 16] = static_cast<int8_t>((nibbles[c] >> 4) + 16 * high_bit);
  }
  scales[0] = scale.value();
  minima[0] = -offset.value();
}

void BlockQ5_1::encode(const float* values) {
  const auto [low, high] = std::minmax_element(values, values + kColumns);
  const float step = (*high - *low) / 31.0f;
  const float inverse = reciprocal(step);
  scale.set(step);
  offset.set(*low);
  int8_t codes[kColumns];
  for (int c = 0; c < kColumns; ++c)
    codes[c] = static_cast<int8_t>(clamp_code((values[c] - *low) * inverse + 0.5f, 31));
  pack(codes);
}

void BlockQ5_1::pack(const int8_t* codes) {
  for (auto& bits : high_bits) bits = 0;
  for (int c = 0; c < 16; ++c) {
    const int low = static_cast<uint8_t>(codes[c]);
    const int high = static_cast<uint8_t>(codes[c + 16]);
    nibbles[c] = static_cast<uint8_t>((low & 15) | (high & 15) << 4);
    high_bits[c / 8] = static_cast<uint8_t>(high_bits[c / 8] | (low >> 4) << (c % 8));
    high_bits[2 + c / 8] = static_cast<uint8_t>(high_bits[2 + c / 8] | (high >> 4) << (c % 8));
  }
}

}  // namespace autoglm::types
