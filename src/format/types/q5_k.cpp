#include "format/types/q5_k.h"

namespace autoglm::types {

void BlockQ5_K::groups(int8_t* codes, float* scales, float* minima) const {
  for (int i = 0; i < 4; ++i) {
    const uint8_t* bytes = nibbles + 32 * i;
    for (int l = 0; l < 32; ++l) {
      const int first = high_bits[l] >> (2 * i) & 1;
      const int second = high_bits[l] >> (2 * i + 1) & 1;
      codes[64 * i + l] = static_cast<int8_t>((bytes[l] & 15) + 16 * first);
      codes[64 * i + 32 + l] = static_cast<int8_t>((bytes[l] >> 4) + 16 * second);
    }
  }
  const float scale = d.value();
  const float minimum = dmin.value();
  for (int g = 0; g < 8; ++g) {
    scales[g] = scale * static_cast<float>(packed.scale(g));
    minima[g] = minimum * static_cast<float>(packed.minimum(g));
  }
}

}  // namespace autoglm::types
