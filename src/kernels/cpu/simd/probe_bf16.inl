int64_t probe_bf16(int64_t rounds) {
  constexpr int kSums = float_row_vectors(kTokens) * kTokens;
  alignas(64) uint16_t w[32] = {};
  int32_t x[4] = {1, 2, 3, 4};
  F sum[kSums] = {};
  for (int64_t round = 0; round < rounds; ++round) {
    asm volatile("" ::: "memory");
    const I row = load_int(w);
    AUTOGLM_UNROLL
    for (int i = 0; i < kSums; ++i) sum[i] = dot_bf16(sum[i], row, x[round & 3]);
  }
  F total = {};
  AUTOGLM_UNROLL
  for (int i = 0; i < kSums; ++i) total = total + sum[i];
  volatile float sink = sum_lanes(total);
  (void)sink;
  return rounds * kSums * W * 2;
}
