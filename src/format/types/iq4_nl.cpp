#include "format/types/iq4_nl.h"

namespace autoglm::types {
int iq4_index(float x) {
  int index = 0;
  while (index < 15 && x > 0.5f * static_cast<float>(kIq4Table[index] + kIq4Table[index + 1])) ++index;
  return index;
}

void BlockIQ4_NL::groups(int8_t* codes, float* scales, float* minima) const {
  for (int c = 0; c < 16; ++c) {
    codes[c] = kIq4Table[nibbles[c] & 15];
    codes[c + 16] = kIq4Table[nibbles[c] >> 4];
  }
  scales[0] = scale.value();
  minima[0] = 0.0f;
}

float iq4_step(const float* values) {
  const float extreme = signed_extreme(values, BlockIQ4_NL::kColumns);
  float best_step = 0.0f;
  float best_gain = 0.0f;  // of the squared error against storing zeros: (sum v t)^2 / sum t^2
  constexpr int kTries[] = {0, 1, 2, 13, 14, 15};
  for (const int entry : kTries) {
    const float inverse = reciprocal(extreme / static_cast<float>(kIq4Table[entry]));
    float product = 0.0f;
    float square = 0.0f;
    for (int c = 0; c < BlockIQ4_NL::kColumns; ++c) {
      const auto code = static_cast<float>(kIq4Table[iq4_index(values[c] * inverse)]);
      product += values[c] * code;
      square += code * code;
    }
    if (const float gain = product * product / square; gain > best_gain) {
      best_gain = gain;
      best_step = product / square;
    }
  }
  return best_step;
}

void BlockIQ4_NL::encode(const float* values) {
  scale.set(iq4_step(values));
  const float inverse = reciprocal(scale.value());
  int8_t codes[kColumns];
  for (int c = 0; c < kColumns; ++c) codes[c] = kIq4Table[iq4_index(values[c] * inverse)];
  pack(codes);
}

void BlockIQ4_NL::pack(const int8_t* codes) {
  for (int c = 0; c < 16; ++c) {
    nibbles[c] = static_cast<uint8_t>(iq4_index(codes[c]) | iq4_index(codes[c + 16]) << 4);
  }
}

}  // namespace autoglm::types
