#include "format/types/iq4_nl.h"

namespace autoglm::types {
namespace {

/// Index of the table's value nearest to x; the lower of two equally near. NaN gives 0.
int nearest_index(float x) {
  int index = 0;
  while (index < 15 && x > 0.5f * static_cast<float>(kIq4Table[index] + kIq4Table[index + 1])) ++index;
  return index;
}

}  // namespace

void BlockIQ4_NL::groups(int8_t* codes, float* scales, float* minima) const {
  for (int c = 0; c < 16; ++c) {
    codes[c] = kIq4Table[nibbles[c] & 15];
    codes[c + 16] = kIq4Table[nibbles[c] >> 4];
  }
  scales[0] = scale.value();
  minima[0] = 0.0f;
}

// The table is not symmetric, so each of its larger entries is tried as the place of the largest value, with the scale
// that fits best (least squares) for the indices which that gives. The smallest squared error wins.
void BlockIQ4_NL::encode(const float* values) {
  const float extreme = signed_extreme(values, kColumns);
  float best_step = 0.0f;
  float best_gain = 0.0f;  // of the squared error against storing zeros: (sum v t)^2 / sum t^2
  constexpr int kTries[] = {0, 1, 2, 13, 14, 15};
  for (const int entry : kTries) {
    const float inverse = reciprocal(extreme / static_cast<float>(kIq4Table[entry]));
    float product = 0.0f;
    float square = 0.0f;
    for (int c = 0; c < kColumns; ++c) {
      const auto code = static_cast<float>(kIq4Table[nearest_index(values[c] * inverse)]);
      product += values[c] * code;
      square += code * code;
    }
    if (const float gain = product * product / square; gain > best_gain) {
      best_gain = gain;
      best_step = product / square;
    }
  }
  scale.set(best_step);
  const float inverse = reciprocal(best_step);
  for (int c = 0; c < 16; ++c) {
    const int low = nearest_index(values[c] * inverse);
    const int high = nearest_index(values[c + 16] * inverse);
    nibbles[c] = static_cast<uint8_t>(low | high << 4);
  }
}

}  // namespace autoglm::types
