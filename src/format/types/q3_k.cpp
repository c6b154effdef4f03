#include "format/types/q3_k.h"

#include <cstring>

#include "format/types/encode_256.h"

namespace autoglm::types {

void BlockQ3_K::integers(int8_t* codes, int8_t* scales, int8_t* /*minima*/) const {
  for (int run = 0; run < 8; ++run) {
    const uint8_t* bytes = low_bits + 32 * (run / 4);
    const int shift = 2 * (run % 4);
    for (int l = 0; l < 32; ++l) {
      const int low = bytes[l] >> shift & 3;
      const int high = high_bits[l] >> run & 1;
      codes[32 * run + l] = static_cast<int8_t>(low + 4 * high - 4);
    }
  }
  for (int g = 0; g < 16; ++g) {
    const int low = packed[g % 8] >> (4 * (g / 8)) & 15;
    const int high = packed[8 + g % 4] >> (2 * (g / 4)) & 3;
    scales[g] = static_cast<int8_t>((low | high << 4) - 32);
  }
}

void BlockQ3_K::encode(const float* values) {
  int8_t scales[16];
  int8_t codes[kColumns];
  encode_signed<BlockQ3_K>(values, -32, d, scales, codes);
  pack(codes, scales, nullptr);
}

void BlockQ3_K::pack(const int8_t* codes, const int8_t* scales, const int8_t* /*minima*/) {
  std::memset(packed, 0, sizeof(packed));
  for (int g = 0; g < 16; ++g) {
    const int code = scales[g] + 32;
    packed[g % 8] = static_cast<uint8_t>(packed[g % 8] | (code & 15) << (4 * (g / 8)));
    packed[8 + g % 4] = static_cast<uint8_t>(packed[8 + g % 4] | code >> 4 << (2 * (g / 4)));
  }
  std::memset(low_bits, 0, sizeof(low_bits));
  std::memset(high_bits, 0, sizeof(high_bits));
  for (int c = 0; c < kColumns; ++c) {
    const int code = codes[c] + 4;
    uint8_t& low = low_bits[32 * (c / 128) + c % 32];
    low = static_cast<uint8_t>(low | (code & 3) << (2 * (c / 32 % 4)));
    high_bits[c % 32] = static_cast<uint8_t>(high_bits[c % 32] | code >> 2 << (c / 32));
  }
}

}  // namespace autoglm::types
