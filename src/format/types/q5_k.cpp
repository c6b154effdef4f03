#include "format/types/q5_k.h"

#include <cstring>

#include "format/types/encode_256.h"

namespace autoglm::types {

void BlockQ5_K::integers(int8_t* codes, int8_t* scales, int8_t* minima) const {
  for (int i = 0; i < 4; ++i) {
    const uint8_t* bytes = nibbles + 32 * i;
    for (int l = 0; l < 32; ++l) {
      const int first = high_bits[l] >> (2 * i) & 1;
      const int second = high_bits[l] >> (2 * i + 1) & 1;
      codes[64 * i + l] = static_cast<int8_t>((bytes[l] & 15) + 16 * first);
      codes[64 * i + 32 + l] = static_cast<int8_t>((bytes[l] >> 4) + 16 * second);
    }
  }
  packed.get(scales, minima);
}

void BlockQ5_K::encode(const float* values) {
  int8_t scales[8];
  int8_t minima[8];
  int8_t codes[kColumns];
  encode_with_minima<BlockQ5_K>(values, 63, d, dmin, scales, minima, codes);
  pack(codes, scales, minima);
}

void BlockQ5_K::pack(const int8_t* codes, const int8_t* scales, const int8_t* minima) {
  packed.set(scales, minima);
  pack_nibbles(*this, codes);
  std::memset(high_bits, 0, sizeof(high_bits));
  for (int c = 0; c < kColumns; ++c) {
    high_bits[c % 32] = static_cast<uint8_t>(high_bits[c % 32] | codes[c] >> 4 << (c / 32));
  }
}

}  // namespace autoglm::types
