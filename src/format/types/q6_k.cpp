#include "format/types/q6_k.h"

#include <cstring>

#include "format/types/encode_256.h"

namespace autoglm::types {

void BlockQ6_K::integers(int8_t* codes, int8_t* scales, int8_t* /*minima*/) const {
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
  std::memcpy(scales, group_scales, sizeof(group_scales));
}

void BlockQ6_K::encode(const float* values) {
  int8_t scales[16];
  int8_t codes[kColumns];
  encode_signed<BlockQ6_K>(values, -128, d, scales, codes);
  pack(codes, scales, nullptr);
}

void BlockQ6_K::pack(const int8_t* codes, const int8_t* scales, const int8_t* /*minima*/) {
  std::memcpy(group_scales, scales, sizeof(group_scales));
  std::memset(nibbles, 0, sizeof(nibbles));
  std::memset(high_bits, 0, sizeof(high_bits));
  for (int c = 0; c < kColumns; ++c) {
    const int code = codes[c] + 32;
    const int half = c / 128;
    const int j = c / 32 % 4;
    const int l = c % 32;
    uint8_t& low = nibbles[64 * half + 32 * (j % 2) + l];
    low = static_cast<uint8_t>(low | (code & 15) << (4 * (j / 2)));
    uint8_t& high = high_bits[32 * half + l];
    high = static_cast<uint8_t>(high | code >> 4 << (2 * j));
  }
}

}  // namespace autoglm::types
