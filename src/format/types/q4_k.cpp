#include "format/types/q4_k.h"

namespace autoglm::types {

void BlockQ4_K::groups(int8_t* codes, float* scales, float* minima) const {
  for (int i = 0; i < 4; ++i) {
    const uint8_t* bytes = nibbles + 32 * i;
    for (int l = 0; l < 32; ++l) {
      codes[64 * i + l] = static_cast<int8_t>(bytes[l] & 15);
      codes[64 * i + 32 + l] = static_cast<int8_t>(bytes[l] >> 4);
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
