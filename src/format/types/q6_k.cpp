#include "format/types/q6_k.h"

namespace autoglm::types {

void BlockQ6_K::groups(int8_t* codes, float* scales, float* minima) const {
  for (int run = 0; run < 8; ++run) {
    const int half = run / 4;
    const int j = run % 4;
    const uint8_t* low = nibbles + 64 * half + 32 * (j % 2);
    const uint8_t* high = high_bits + 32 * half;
    for (int l = 0; l < 32; ++l) {
      const int code = (low[l] >> (4 * (j / 2)) & 15) | (high[l] >> (2 * j) & 3) << 4;
      codes[32 * run + l] = static_cast<int8_t>(code - 32);
    }
  }
  const float scale = d.value();
  for (int g = 0; g < 16; ++g) {
    scales[g] = scale * static_cast<float>(group_scales[g]);
    minima[g] = 0.0f;
  }
}

}  // namespace autoglm::types
