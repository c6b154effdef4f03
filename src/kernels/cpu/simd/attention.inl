// Attention over KV blocks of 16 tokens. A vector of scores holds tokens, a vector of outputs holds columns.

template <int n>
struct Count {
  static constexpr int value = n;
};

/// Columns [4 d4, 4 d4 + 4) of the keys of W tokens from token `j` on.
template <KvCode code>
AUTOGLM_INLINE void load_keys(const void* keys, int d4, int j, F (&k)[4]) {
  if constexpr (code == KvCode::f32) {
    const float* p = static_cast<const float*>(keys) + d4 * 64 + j;
    AUTOGLM_UNROLL
    for (int i = 0; i < 4; ++i) k[i] = load(p + i * 16);
  } else {
    const uint16_t* p = static_cast<const uint16_t*>(keys) + d4 * 64 + 2 * j;
    AUTOGLM_UNROLL
    for (int i = 0; i < 2; ++i) {
      const I pair = load_int(p + i * 32);
      k[2 * i] = bits_to_float(pair << 16);
      k[2 * i + 1] = bits_to_float(pair & splat_int(static_cast<int32_t>(0xffff0000)));
    }
  }
}

/// NQ queries x W tokens; four partial sums by column modulo 4, added as (0 + 1) + (2 + 3).
template <KvCode code, int NQ>
AUTOGLM_INLINE void float_scores(const ScoreArgs& args, int first, int j, F (&total)[NQ]) {
  F sum[NQ][4] = {};
  const float* q = args.q + first * args.q_stride;
  for (int d4 = 0; d4 < args.dim / 4; ++d4) {
    F k[4];
    load_keys<code>(args.keys, d4, j, k);
    AUTOGLM_UNROLL
    for (int n = 0; n < NQ; ++n) {
      AUTOGLM_UNROLL
      for (int i = 0; i < 4; ++i) sum[n][i] = fma(k[i], splat(q[n * args.q_stride + 4 * d4 + i]), sum[n][i]);
    }
  }
  AUTOGLM_UNROLL
  for (int n = 0; n < NQ; ++n) total[n] = (sum[n][0] + sum[n][1]) + (sum[n][2] + sum[n][3]);
}

/// The same from codes: both roundings of a query times the keys' codes, exact sums a group of 32 columns.
template <int NQ>
AUTOGLM_INLINE void integer_scores(const ScoreArgs& args, int first, int j, F (&total)[NQ]) {
  const int groups = (args.dim + kScaleGroup - 1) / kScaleGroup;
  const ActGroup* q = args.q_codes + first * 2 * groups;
  const auto* keys = static_cast<const uint8_t*>(args.keys) + 4 * j;
  AUTOGLM_UNROLL
  for (int n = 0; n < NQ; ++n) total[n] = F{};
  for (int g = 0; g < groups; ++g) {
    Sum sum[NQ][2];
    AUTOGLM_UNROLL
    for (int n = 0; n < NQ; ++n) {
      AUTOGLM_UNROLL
      for (int term = 0; term < 2; ++term)
        sum[n][term] = start<8>(splat_int(q[(2 * n + term) * groups + g].neg_sum128));
    }
    const int quads = args.dim / 4 - g * 8 < 8 ? args.dim / 4 - g * 8 : 8;
    for (int i = 0; i < quads; ++i, keys += 64) {
      const Codes k = codes_of<8>(load_int(keys));
      AUTOGLM_UNROLL
      for (int n = 0; n < NQ; ++n) {
        AUTOGLM_UNROLL
        for (int term = 0; term < 2; ++term)
          sum[n][term] = fold(dot<8>(sum[n][term], k, load_quad(q[(2 * n + term) * groups + g].codes + 4 * i)));
      }
    }
    const F scale = load(args.key_scales + g * kBlockTokens + j);
    AUTOGLM_UNROLL
    for (int n = 0; n < NQ; ++n) {
      const ActGroup& high = q[2 * n * groups + g];
      const ActGroup& low = q[(2 * n + 1) * groups + g];
      F part = to_float(finish<8>(sum[n][0], splat_int(high.neg_sum128))) * splat(high.scale);
      part = fma(to_float(finish<8>(sum[n][1], splat_int(low.neg_sum128))), splat(low.scale), part);
      total[n] = fma(part, scale, total[n]);
    }
  }
}

template <KvCode code, int NQ>
AUTOGLM_INLINE void score_tile(const ScoreArgs& args, int first, int j) {
  F total[NQ];
  if constexpr (code == KvCode::q8) {
    integer_scores<NQ>(args, first, j, total);
  } else {
    float_scores<code, NQ>(args, first, j, total);
  }
  AUTOGLM_UNROLL
  for (int n = 0; n < NQ; ++n) {
    store(args.out + (first + n) * args.out_stride + j, total[n] * splat(args.scale));
  }
}

/// Calls f(first, constant) for tiles of at most `most` queries that cover nq, sizes as equal as they can be.
template <int most, typename F>
AUTOGLM_INLINE void for_query_tiles(int nq, F f) {
  int first = 0;
  while (first < nq) {
    const int left = nq - first, tiles = (left + most - 1) / most, take = (left + tiles - 1) / tiles;
    switch (take) {
      case 1:
        f(first, Count<1>{});
        break;
      case 2:
        f(first, Count<2>{});
        break;
      case 3:
        f(first, Count<most >= 3 ? 3 : 1>{});
        break;
      case 4:
        f(first, Count<most >= 4 ? 4 : 1>{});
        break;
      case 5:
        f(first, Count<most >= 5 ? 5 : 1>{});
        break;
      default:
        f(first, Count<most >= 6 ? 6 : 1>{});
        break;
    }
    first += take;
  }
}

template <KvCode code>
void scores_of(const ScoreArgs& args) {
  for_query_tiles<kScoreQueries>(args.nq, [&](int first, auto count) {
    for (int j = 0; j < kBlockTokens; j += W) score_tile<code, count.value>(args, first, j);
  });
}

void scores(const ScoreArgs& args) {
  switch (args.code) {
    case KvCode::f32:
      return scores_of<KvCode::f32>(args);
    case KvCode::bf16:
      return scores_of<KvCode::bf16>(args);
    case KvCode::q8:
      return scores_of<KvCode::q8>(args);
  }
}

void softmax(SoftmaxArgs& args) {
  float* s = args.scores;
  if (args.softcap > 0.0f) {
    for (int i = 0; i < args.count; i += W) store(s + i, soft_cap(load(s + i), args.softcap));
  }
  for (int i = 0; i < args.begin; ++i) s[i] = -__builtin_inff();
  for (int i = args.end; i < args.count; ++i) s[i] = -__builtin_inff();
  F largest = splat(-__builtin_inff());
  for (int i = 0; i < args.count; i += W) {
    const F v = load(s + i);
    largest = v > largest ? v : largest;  // a NaN is passed over here and comes back in the sum
  }
  float lanes[W];
  store(lanes, largest);
  float max = lanes[0];
  for (int i = 1; i < W; ++i) max = lanes[i] > max ? lanes[i] : max;
  for (int i = 0; i < args.count; i += W) store(s + i, exp_lanes(load(s + i) - splat(max)));
  for (int i = 0; i < args.begin; ++i) s[i] = 0.0f;
  for (int i = args.end; i < args.count; ++i) s[i] = 0.0f;
  F sum = {};
  for (int i = 0; i < args.count; i += W) sum = sum + load(s + i);
  args.max = max;
  args.sum = sum_lanes(sum);
}

template <KvCode code>
AUTOGLM_INLINE F load_values(const void* block, int64_t at) {
  if constexpr (code == KvCode::f32) {
    return load(static_cast<const float*>(block) + at);
  } else if constexpr (code == KvCode::bf16) {
    const Halves v = *reinterpret_cast<const HalvesUnaligned*>(static_cast<const uint16_t*>(block) + at);
    return bits_to_float(__builtin_convertvector(v, I) << 16);
  } else {
    const Bytes v = *reinterpret_cast<const BytesUnaligned*>(static_cast<const int8_t*>(block) + at);
    return to_float(__builtin_convertvector(v, I));
  }
}

/// NQ queries x NV vectors of columns from column `at` on; p[n] are a query's weights.
template <KvCode code, int NQ, int NV>
AUTOGLM_INLINE void value_tile(const WeightedSumArgs& args, const float* const (&p)[NQ], int first, int at) {
  F sum[NQ][NV] = {};
  for (int j = args.begin; j < args.end; ++j) {
    F v[NV];
    AUTOGLM_UNROLL
    for (int i = 0; i < NV; ++i) {
      v[i] = load_values<code>(args.blocks[j / kBlockTokens], (j % kBlockTokens) * args.row_stride + at + i * W);
    }
    AUTOGLM_UNROLL
    for (int n = 0; n < NQ; ++n) {
      const F weight = splat(p[n][j]);
      AUTOGLM_UNROLL
      for (int i = 0; i < NV; ++i) sum[n][i] = fma(weight, v[i], sum[n][i]);
    }
  }
  AUTOGLM_UNROLL
  for (int n = 0; n < NQ; ++n) {
    AUTOGLM_UNROLL
    for (int i = 0; i < NV; ++i) store(args.o + (first + n) * args.o_stride + at + i * W, sum[n][i]);
  }
}

/// Columns [begin, end), whose values share a scale a token where there are scales.
template <KvCode code, int NQ>
AUTOGLM_INLINE void value_columns(const WeightedSumArgs& args, const float* const (&p)[NQ], int first, int begin,
                                  int end) {
  constexpr int NV = 16 / W > 2 ? 16 / W : 2;
  int at = begin;
  for (; at + NV * W <= end; at += NV * W) value_tile<code, NQ, NV>(args, p, first, at);
  for (; at < end; at += W) value_tile<code, NQ, 1>(args, p, first, at);
}

template <KvCode code, int NQ>
AUTOGLM_INLINE void value_queries(const WeightedSumArgs& args, int first) {
  const float* p[NQ];
  for (int n = 0; n < NQ; ++n) p[n] = args.p + (first + n) * args.p_stride;
  if constexpr (code != KvCode::q8) {
    value_columns<code, NQ>(args, p, first, 0, args.dim);
  } else {
    // A token's scale goes into its weight: once for 32 columns.
    float scaled[NQ][kSplitTokens];
    const float* q[NQ];
    for (int n = 0; n < NQ; ++n) q[n] = scaled[n];
    for (int at = 0; at < args.dim; at += kScaleGroup) {
      for (int b = args.begin / kBlockTokens; b * kBlockTokens < args.end; ++b) {
        const float* scales = args.scales[b] + at / kScaleGroup * kBlockTokens;
        for (int j = 0; j < kBlockTokens; j += W) {
          const F scale = load(scales + j);
          for (int n = 0; n < NQ; ++n) {
            store(scaled[n] + b * kBlockTokens + j, load(p[n] + b * kBlockTokens + j) * scale);
          }
        }
      }
      const int end = at + kScaleGroup < args.dim ? at + kScaleGroup : args.dim;
      value_columns<code, NQ>(args, q, first, at, end);
    }
  }
}

template <KvCode code>
void weighted_sum_of(const WeightedSumArgs& args) {
  for_query_tiles<kValueQueries>(args.nq,
                                 [&](int first, auto count) { value_queries<code, count.value>(args, first); });
}

void weighted_sum(const WeightedSumArgs& args) {
  switch (args.code) {
    case KvCode::f32:
      return weighted_sum_of<KvCode::f32>(args);
    case KvCode::bf16:
      return weighted_sum_of<KvCode::bf16>(args);
    case KvCode::q8:
      return weighted_sum_of<KvCode::q8>(args);
  }
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
