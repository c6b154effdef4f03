#include "format/types/iq4_xs.h"

#include <cstring>

#include "format/types/encode_256.h"

namespace autoglm::types {

void BlockIQ4_XS::integers(int8_t* codes, int8_t* scales, int8_t* /*minima*/) const {
  for (int g = 0; g < 8; ++g) {
    const int low = scales_low[g / 2] >> (4 * (g % 2)) & 15;
    const int high = scales_high[g / 4] >> (2 * (g % 4)) & 3;
    scales[g] = static_cast<int8_t>((low | high << 4) - 32);
    for (int l = 0; l < 16; ++l) {
      codes[32 * g + l] = kIq4Table[nibbles[16 * g + l] & 15];
      codes[32 * g + 16 + l] = kIq4Table[nibbles[16 * g + l] >> 4];
    }
  }
}

void BlockIQ4_XS::encode(const float* values) {
  float steps[8];
  for (int g = 0; g < 8; ++g) steps[g] = iq4_step(values + 32 * g);
  int8_t scales[8];
  encode_steps(steps, 8, -32, d, scales);
  int8_t codes[kColumns];
  for (int g = 0; g < 8; ++g) {
    const float inverse = reciprocal(d.value() * static_cast<float>(scales[g]));
    for (int c = 32 * g; c < 32 * g + 32; ++c) codes[c] = kIq4Table[iq4_index(values[c] * inverse)];
  }
  pack(codes, scales, nullptr);
}

void BlockIQ4_XS::pack(const int8_t* codes, const int8_t* scales, const int8_t* /*minima*/) {
  std::memset(scales_low, 0, sizeof(scales_low));
  std::memset(scales_high, 0, sizeof(scales_high));
  for (int g = 0; g < 8; ++g) {
    const int code = scales[g] + 32;
    scales_low[g / 2] = static_cast<uint8_t>(scales_low[g / 2] | (code & 15) << (4 * (g % 2)));
    scales_high[g / 4] = static_cast<uint8_t>(scales_high[g / 4] | code >> 4 << (2 * (g % 4)));
    for (int l = 0; l < 16; ++l) {
      const int low = iq4_index(codes[32 * g + l]);
      const int high = iq4_index(codes[32 * g + 16 + l]);
      nibbles[16 * g + l] = static_cast<uint8_t>(low | high << 4);
    }
  }
}

}  // namespace autoglm::types
