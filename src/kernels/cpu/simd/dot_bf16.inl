/// sum + two products; `row` holds pairs of bfloat16 by row, `pair` one pair of activations.
static inline F dot_bf16(F sum, I row, int32_t pair) {
  const F low = bits_to_float(splat_int(pair << 16));
  const F high = bits_to_float(splat_int(pair & static_cast<int32_t>(0xffff0000)));
  sum = fma(bits_to_float(row << 16), low, sum);
  return fma(bits_to_float(row & splat_int(static_cast<int32_t>(0xffff0000))), high, sum);
}
