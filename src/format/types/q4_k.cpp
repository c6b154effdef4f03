#include "format/types/q4_k.h"

#include "format/types/encode_256.h"

namespace autoglm::types {

void BlockQ4_K::integers(int8_t* codes, int8_t* scales, int8_t* minima) const {
  for (int i = 0; i < 4; ++i) {
    const uint8_t* bytes = nibbles + 32 * i;
    for (int l = 0; l < 32; ++l) {
      codes[64 * i + l] = static_cast<int8_t>(bytes[l] & 15);
      codes[64 * i + 32 + l] = static_cast<int8_t>(bytes[l] >> 4);
    }
  }
  for (int g = 0; g < 8; ++g) {
    scales[g] = static_cast<int8_t>(packed.scale(g));
    minima[g] = static_cast<int8_t>(packed.minimum(g));
  }
}

void BlockQ4_K::encode(const float* values) {
  uint8_t scales[8];
  uint8_t minima[8];
  uint8_t codes[kColumns];
  encode_with_minima<BlockQ4_K>(values, 63, d, dmin, scales, minima, codes);
  packed.set(scales, minima);
  for (int b = 0; b < 128; ++b) {
    const int first = 64 * (b / 32) + b % 32;
    nibbles[b] = static_cast<uint8_t>(codes[first] | codes[first + 32] << 4);
  }
}

void ScaleMinimum6::set(const uint8_t* scales, const uint8_t* minima) {
  for (int g = 0; g < 4; ++g) {
    bytes[g] = static_cast<uint8_t>(scales[g] | scales[g + 4] >> 4 << 6);
    bytes[g + 4] = static_cast<uint8_t>(minima[g] | minima[g + 4] >> 4 << 6);
    bytes[g + 8] = static_cast<uint8_t>((scales[g + 4] & 15) | (minima[g + 4] & 15) << 4);
  }
}

}  // namespace autoglm::types
