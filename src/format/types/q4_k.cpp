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
  packed.get(scales, minima);
}

void BlockQ4_K::encode(const float* values) {
  int8_t scales[8];
  int8_t minima[8];
  int8_t codes[kColumns];
  encode_with_minima<BlockQ4_K>(values, 63, d, dmin, scales, minima, codes);
  pack(codes, scales, minima);
}

void BlockQ4_K::pack(const int8_t* codes, const int8_t* scales, const int8_t* minima) {
  packed.set(scales, minima);
  pack_nibbles(*this, codes);
}

void ScaleMinimum6::get(int8_t* scales, int8_t* minima) const {
  for (int g = 0; g < 8; ++g) {
    scales[g] = static_cast<int8_t>(scale(g));
    minima[g] = static_cast<int8_t>(minimum(g));
  }
}

void ScaleMinimum6::set(const int8_t* scales, const int8_t* minima) {
  for (int g = 0; g < 4; ++g) {
    bytes[g] = static_cast<uint8_t>(scales[g] | scales[g + 4] >> 4 << 6);
    bytes[g + 4] = static_cast<uint8_t>(minima[g] | minima[g + 4] >> 4 << 6);
    bytes[g + 8] = static_cast<uint8_t>((scales[g + 4] & 15) | (minima[g + 4] & 15) << 4);
  }
}

}  // namespace autoglm::types
