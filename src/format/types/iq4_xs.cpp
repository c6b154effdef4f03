#include "format/types/iq4_xs.h"

namespace autoglm::types {

void BlockIQ4_XS::groups(int8_t* codes, float* scales, float* minima) const {
  const float scale = d.value();
  for (int g = 0; g < 8; ++g) {
    const int low = scales_low[g / 2] >> (4 * (g % 2)) & 15;
    const int high = scales_high[g / 4] >> (2 * (g % 4)) & 3;
    scales[g] = scale * static_cast<float>((low | high << 4) - 32);
    minima[g] = 0.0f;
    for (int l = 0; l < 16; ++l) {
      codes[32 * g + l] = kIq4Table[nibbles[16 * g + l] & 15];
      codes[32 * g + 16 + l] = kIq4Table[nibbles[16 * g + l] >> 4];
    }
  }
}

}  // namespace autoglm::types
