#include "format/types/q2_k.h"

#include <cstring>

#include "format/types/encode_256.h"

namespace autoglm::types {

void BlockQ2_K::integers(int8_t* codes, int8_t* scales, int8_t* minima) const {
  for (int run = 0; run < 8; ++run) {  // 32 columns that share a shift
    const uint8_t* bytes = low_bits + 32 * (run / 4);
    const int shift = 2 * (run % 4);
    for (int l = 0; l < 32; ++l) codes[32 * run + l] = static_cast<int8_t>(bytes[l] >> shift & 3);
  }
  for (int g = 0; g < 16; ++g) {
    scales[g] = static_cast<int8_t>(scales_minima[g] & 15);
    minima[g] = static_cast<int8_t>(scales_minima[g] >> 4);
  }
}

void BlockQ2_K::encode(const float* values) {
  int8_t scales[16];
  int8_t minima[16];
  int8_t codes[kColumns];
  encode_with_minima<BlockQ2_K>(values, 15, d, dmin, scales, minima, codes);
  pack(codes, scales, minima);
}

void BlockQ2_K::pack(const int8_t* codes, const int8_t* scales, const int8_t* minima) {
  for (int g = 0; g < 16; ++g) scales_minima[g] = static_cast<uint8_t>(scales[g] | minima[g] << 4);
  std::memset(low_bits, 0, sizeof(low_bits));
  for (int c = 0; c < kColumns; ++c) {
    uint8_t& byte = low_bits[32 * (c / 128) + c % 32];
    byte = static_cast<uint8_t>(byte | codes[c] << (2 * (c / 32 % 4)));
  }
}

}  // namespace autoglm::types
