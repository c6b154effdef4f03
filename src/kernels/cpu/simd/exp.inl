// Exponential functions of a vector.

/// exp with about one unit in the last place: x log2 e = n + f, |f| <= 1/2, and 2^f as a polynomial (minimax by the
/// Remez algorithm, relative error 1.9e-9); n by place in the bits. Clamped to [-87.3, 88.3]: no infinity and no
/// denormal; NaN stays NaN.
AUTOGLM_INLINE F exp_lanes(F x) {
  x = at_least(at_most(x, 88.3f), -87.3f);
  const F log2_e = splat(1.44269504088896341f), rounded = fma(x, log2_e, splat(kMagic));
  F f = fma(x, log2_e, splat(kMagic) - rounded);
  f = fma(x, splat(1.925963033e-8f), f);  // what log2 e is more than its float32
  F p = splat(1.534581216e-4f);
  p = fma(p, f, splat(1.339993121e-3f));
  p = fma(p, f, splat(9.618488957e-3f));
  p = fma(p, f, splat(5.550328777e-2f));
  p = fma(p, f, splat(2.402264689e-1f));
  p = fma(p, f, splat(6.931472057e-1f));
  p = fma(p, f, splat(1.0f));
  return p * bits_to_float((float_to_bits(rounded) << 23) + splat_int(127 << 23));
}

/// tanh(x) = 1 - 2 / (exp(2 x) + 1): an absolute error of 1e-7, which its users multiply by their scale.
AUTOGLM_INLINE F tanh_lanes(F x) { return splat(1.0f) - splat(2.0f) / (exp_lanes(x + x) + splat(1.0f)); }

AUTOGLM_INLINE F soft_cap(F x, float cap) { return splat(cap) * tanh_lanes(x * splat(1.0f / cap)); }
