// Exponential functions of a vector.

/// exp with about 1.5 units in the last place: x = n ln 2 + r, a polynomial of degree 7 in r (Cephes expf), exponent
/// added as bits. Clamped to [-87.3, 88.3]: no infinity and no denormal; NaN stays NaN.
AUTOGLM_INLINE F exp_lanes(F x) {
  x = at_least(at_most(x, 88.3f), -87.3f);
  const F n = round_even(x * splat(1.44269504088896341f));
  F r = fnma(n, splat(0.693359375f), x);
  r = fnma(n, splat(-2.12194440e-4f), r);
  F p = splat(1.9875691500e-4f);
  p = fma(p, r, splat(1.3981999507e-3f));
  p = fma(p, r, splat(8.3334519073e-3f));
  p = fma(p, r, splat(4.1665795894e-2f));
  p = fma(p, r, splat(1.6666665459e-1f));
  p = fma(p, r, splat(5.0000001201e-1f));
  p = fma(p * r, r, r) + splat(1.0f);
  const I exponent = (__builtin_convertvector(at_most(at_least(n, -126.0f), 127.0f), I) + splat_int(127)) << 23;
  return p * bits_to_float(exponent);
}

/// tanh(x) = 1 - 2 / (exp(2 x) + 1): an absolute error of 1e-7, which its users multiply by their scale.
AUTOGLM_INLINE F tanh_lanes(F x) { return splat(1.0f) - splat(2.0f) / (exp_lanes(x + x) + splat(1.0f)); }

AUTOGLM_INLINE F soft_cap(F x, float cap) { return splat(cap) * tanh_lanes(x * splat(1.0f / cap)); }
