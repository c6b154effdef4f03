// Part of attention.inl: what scores weigh, and how the results of splits come together.

/// exp(x) for x <= 0, and 0 from 2^-126 down, minus infinity included: 2^n by place in the bits, and a polynomial in what
/// is left, within half, whose relative error is 7.5e-8 (minimax by the Remez algorithm). NaN stays NaN.
AUTOGLM_INLINE F weight_of(F x) {
  const F t = at_least(x * splat(1.44269504088896341f), -127.0f), rounded = t + splat(kMagic);
  const F f = t - (rounded - splat(kMagic));
  F p = splat(1.327647199e-3f);
  p = fma(p, f, splat(9.675541334e-3f));
  p = fma(p, f, splat(5.550713273e-2f));
  p = fma(p, f, splat(2.402211972e-1f));
  p = fma(p, f, splat(6.931469671e-1f));
  p = fma(p, f, splat(1.000000072e+0f));
  return p * bits_to_float((float_to_bits(rounded) << 23) + splat_int(127 << 23));
}

/// Lane r < n of the result is op over the lanes of v[r], in the order of reduce_all().
template <int n, typename Op>
AUTOGLM_INLINE F reduce_rows(const F (&v)[n], Op op) {
  if constexpr (n == 1) {
    return reduce_all(v[0], op);
  } else {
    I bits[n == 3 ? 4 : n];
    for (int r = 0; r < n; ++r) bits[r] = float_to_bits(v[r]);
    if constexpr (n == 3) bits[3] = bits[2];
    return bits_to_float(reduce_lanes<n == 3 ? 4 : n>(
        bits, [&](I a, I b) { return float_to_bits(op(bits_to_float(a), bits_to_float(b))); }));
  }
}

/// The rows of a softmax go together, so that none waits for the end of the one before it.
constexpr int kSoftmaxRows = 4;

/// NR rows. Scores that a row does not see become minus infinity first, whose weight adds nothing, so that the bits of a
/// row are the same beside any others.
template <int NR>
AUTOGLM_INLINE void softmax_rows(const SoftmaxArgs& args, int row) {
  const int *begin = args.begin + row, *end = args.end + row;
  float* s = args.scores + static_cast<int64_t>(row) * kSplitTokens;
  const int from = begin[0] / W * W, seen = (end[NR - 1] + W - 1) / W * W, to = seen > from ? seen : from;
  const F lowest = splat(-__builtin_inff());
  I lane;
  for (int i = 0; i < W; ++i) lane[i] = i;
  AUTOGLM_UNROLL
  for (int r = 0; r < NR; ++r) {
    float* at = s + r * kSplitTokens;
    if (args.softcap > 0.0f) {
      for (int i = from; i < to; i += W) store(at + i, soft_cap(load(at + i), args.softcap));
    }
    const auto hide = [&](int i) __attribute__((always_inline)) {
      const I position = lane + splat_int(i);
      const F late = position < splat_int(end[r]) ? load(at + i) : lowest;
      store(at + i, position < splat_int(begin[r]) ? lowest : late);
    };
    for (int i = from; i < begin[r] && i < to; i += W) hide(i);
    for (int i = end[r] / W * W < from ? from : end[r] / W * W; i < to; i += W) hide(i);
  }
  const auto larger = [](F a, F b) { return b > a ? b : a; };  // a NaN is passed over here and comes back in the sum
  F most[NR];
  for (F& m : most) m = lowest;
  for (int i = from; i < to; i += W) {
    AUTOGLM_UNROLL
    for (int r = 0; r < NR; ++r) most[r] = larger(most[r], load(s + r * kSplitTokens + i));
  }
  const F largest = reduce_rows(most, larger);
  F max[NR], sums[NR] = {};
  AUTOGLM_UNROLL
  for (int r = 0; r < NR; ++r) {
    args.max[row + r] = largest[r];
    max[r] = splat(begin[r] < end[r] ? largest[r] : 0.0f);
  }
  for (int i = from; i < to; i += W) {
    ask(*args.ahead, NR + 1);
    AUTOGLM_UNROLL
    for (int r = 0; r < NR; ++r) {
      float* at = s + r * kSplitTokens + i;
      const F weight = weight_of(load(at) - max[r]);
      store(at, weight);
      sums[r] = sums[r] + weight;
    }
  }
  const F sum = reduce_rows(sums, [](F a, F b) { return a + b; });
  AUTOGLM_UNROLL
  for (int r = 0; r < NR; ++r) {
    args.sum[row + r] = sum[r];
    for (int i = args.first; i < from; i += W) store(s + r * kSplitTokens + i, F{});
    for (int i = to > args.first ? to : args.first; i < args.last; i += W) store(s + r * kSplitTokens + i, F{});
  }
}

void softmax(const SoftmaxArgs& args) {
  for_query_tiles<kSoftmaxRows>(args.nq, [&](int row, auto count) { softmax_rows<count.value>(args, row); });
}

/// Merges up to W queries. A part without any weight, and what is merged before the first one with weight, count 0.
AUTOGLM_INLINE void merge_queries(const MergeArgs& args, int first, int n) {
  const F new_sum = load_part(args.part_sum + first, n), new_max = load_part(args.part_max + first, n);
  const F old_sum = args.first ? F{} : load_part(args.sum + first, n);
  const F old_max = args.first ? new_max : load_part(args.max + first, n);
  const F zero = {}, one = splat(1.0f);
  const F larger = old_max > new_max ? old_max : new_max;
  const F max = old_sum == zero ? new_max : new_sum == zero ? old_max : larger;
  const F old_factor = old_sum == zero ? zero : exp_lanes(old_max - max);
  const F new_factor = old_sum == zero ? one : new_sum == zero ? zero : exp_lanes(new_max - max);
  store_part(args.max + first, max, n);
  store_part(args.sum + first, fma(new_sum, new_factor, old_sum * old_factor), n);
  float old_factors[W], new_factors[W];
  store(old_factors, old_factor);
  store(new_factors, new_factor);
  for (int i = 0; i < n; ++i) {
    const float* part = args.part + static_cast<int64_t>(first + i) * args.dim;
    float* o = args.o + static_cast<int64_t>(first + i) * args.dim;
    const F old_weight = splat(old_factors[i]), new_weight = splat(new_factors[i]);
    for (int d = 0; d < args.dim; d += W) {
      store(o + d, args.first ? load(part + d) : fma(load(part + d), new_weight, load(o + d) * old_weight));
    }
  }
}

void merge(const MergeArgs& args) {
  for (int first = 0; first < args.n; first += W) merge_queries(args, first, args.n - first < W ? args.n - first : W);
}
