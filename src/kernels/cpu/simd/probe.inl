// Loops that do nothing but what they measure.

int64_t probe_int8(int64_t rounds) {
  constexpr int kSums = row_vectors(kTokens) * kTokens;
  alignas(64) uint8_t codes[64 * 2];
  alignas(64) int8_t x[16];
  for (unsigned i = 0; i < sizeof codes; ++i) codes[i] = static_cast<uint8_t>(i & 15);
  for (unsigned i = 0; i < sizeof x; ++i) x[i] = static_cast<int8_t>(i);
  const ZeroShift none = zero_shift(-1);
  Sum sum[kSums];
  AUTOGLM_UNROLL
  for (int i = 0; i < kSums; ++i) sum[i] = start<4>(zero_term(0, none));
  for (int64_t round = 0; round < rounds; ++round) {
    asm volatile("" ::: "memory");  // reload, or an optimizer would turn the loop into one product
    const Codes w = codes_of<4>(load_int(codes));
    const Quad four = load_quad(x + (round & 3) * 4);
    AUTOGLM_UNROLL
    for (int i = 0; i < kSums; ++i) sum[i] = dot<4>(sum[i], w, four);
  }
  I total = {};
  AUTOGLM_UNROLL
  for (int i = 0; i < kSums; ++i) total += finish<4>(fold(sum[i]), zero_term(0, none));
  *reinterpret_cast<volatile int32_t*>(codes) = sum_lanes(total);
  return rounds * kSums * W * 4;
}

uint64_t probe_read(const void* data, int64_t bytes) {
  const auto* p = static_cast<const uint8_t*>(data);
  constexpr int kLine = 64 / (W * 4);
  I sum[4] = {};
  for (int64_t at = 0; at + 256 <= bytes; at += 256) {
    AUTOGLM_UNROLL
    for (int line = 0; line < 4; ++line) {
      // Requests in a burst hold up each other: with nothing to do between two of them a tenth of the speed is lost.
      __builtin_prefetch(p + at + 8192 + line * 64, 0, 2);
      asm volatile("nop\nnop\nnop\nnop\nnop\nnop\nnop\nnop\nnop\nnop\nnop\nnop\nnop\nnop\nnop\nnop");
      AUTOGLM_UNROLL
      for (int i = line * kLine; i < (line + 1) * kLine; ++i) sum[i % 4] ^= load_int(p + at + i * W * 4);
    }
  }
  return static_cast<uint64_t>(static_cast<uint32_t>(sum_lanes((sum[0] ^ sum[1]) ^ (sum[2] ^ sum[3]))));
}
