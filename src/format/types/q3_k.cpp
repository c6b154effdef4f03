#include "format/types/q3_k.h"

namespace autoglm::types {

void BlockQ3_K::groups(int8_t* codes, float* scales, float* minima) const {
  for (int run = 0; run < 8; ++run) {
    const uint8_t* bytes = low_bits + 32 * (run / 4);
    const int shift = 2 * (run % 4);
    for (int l = 0; l < 32; ++l) {
      const int low = bytes[l] >> shift & 3;
      const int high = high_bits[l] >> run & 1;
      codes[32 * run + l] = static_cast<int8_t>(low + 4 * high - 4);
    }
  }
  const float scale = d.value();
  for (int g = 0; g < 16; ++g) {
    const int low = packed[g % 8] >> (4 * (g / 8)) & 15;
    const int high = packed[8 + g % 4] >> (2 * (g / 4)) & 3;
    scales[g] = scale * static_cast<float>((low | high << 4) - 32);
    minima[g] = 0.0f;
  }
}

}  // namespace autoglm::types
