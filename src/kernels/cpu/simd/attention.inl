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
  } else if constexpr (code == KvCode::f16) {
    const uint16_t* p = static_cast<const uint16_t*>(keys) + d4 * 64 + j;
    AUTOGLM_UNROLL
    for (int i = 0; i < 4; ++i) k[i] = load_f16(p + i * 16);
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
AUTOGLM_INLINE void float_scores(const ScoreArgs& args, int block, int first, int j) {
  F sum[NQ][4] = {};
  const float* q = args.q + first * args.q_stride;
  for (int d4 = 0; d4 < args.dim / 4; ++d4) {
    F k[4];
    load_keys<code>(args.keys[block], d4, j, k);
    AUTOGLM_UNROLL
    for (int n = 0; n < NQ; ++n) {
      AUTOGLM_UNROLL
      for (int i = 0; i < 4; ++i) sum[n][i] = fma(k[i], splat(q[n * args.q_stride + 4 * d4 + i]), sum[n][i]);
    }
  }
  float* out = args.out + first * args.out_stride + block * kBlockTokens + j;
  AUTOGLM_UNROLL
  for (int n = 0; n < NQ; ++n) {
    store(out + n * args.out_stride, ((sum[n][0] + sum[n][1]) + (sum[n][2] + sum[n][3])) * splat(args.scale));
  }
}

/// Scales [at, at + W) of a block's keys or values.
template <KvCode code>
AUTOGLM_INLINE F scale_lanes(const void* scales, int at) {
  if constexpr (code == KvCode::q4) {
    const Halves halves = *reinterpret_cast<const HalvesUnaligned*>(static_cast<const uint16_t*>(scales) + at);
    return bits_to_float(__builtin_convertvector(halves, I) << 16);
  } else {
    return load(static_cast<const float*>(scales) + at);
  }
}

/// Lines of a group of 32 columns of the keys of a block, of 16 tokens each.
template <KvCode code>
constexpr int kKeyLines = code == KvCode::q4 ? 5 : 8;
constexpr int kKeyLine = 64;  // bytes

/// Quad `line` (q4: + 4 half) of a group's columns for W tokens, each byte a code + 128.
template <KvCode code, int half>
AUTOGLM_INLINE I key_quad(const uint8_t* group, int line) {
  const I bits = load_int(group + line * kKeyLine);
  if constexpr (code == KvCode::q4) {
    const I low = half == 0 ? bits << 3 : bits >> 1, fifth = load_int(group + 4 * kKeyLine) << (7 - 4 * half - line);
    return (low & splat_int(0x78787878)) | (fifth & splat_int(static_cast<int32_t>(0x80808080))) |
           splat_int(0x04040404);
  } else {
    return bits;
  }
}

/// f(line, Count<half>, quad) for the first `quads` quads of a group.
template <KvCode code, typename Fn>
AUTOGLM_INLINE void for_quads(int quads, Fn f) {
  if constexpr (code == KvCode::q4) {
    AUTOGLM_NO_UNROLL
    for (int i = 0; i < 4; ++i) {
      f(i, Count<0>{}, i);
      f(i, Count<1>{}, i + 4);
    }
  } else {
    AUTOGLM_NO_UNROLL
    for (int i = 0; i < quads; ++i) f(i, Count<0>{}, i);
  }
}

/// Keys and their scales (of group 0) of NV vectors of tokens.
template <int NV>
struct KeyRows {
  const uint8_t* keys[NV];
  const void* scales[NV];
  int first[NV];  // of the vector in its block

  AUTOGLM_INLINE_MEMBER KeyRows(const ScoreArgs& args, int token) {
    AUTOGLM_UNROLL
    for (int v = 0; v < NV; ++v) {
      const int b = (token + v * W) / kBlockTokens, j = (token + v * W) % kBlockTokens;
      keys[v] = static_cast<const uint8_t*>(args.keys[b]) + 4 * j;
      scales[v] = args.key_scales[b];
      first[v] = j;
    }
  }
};

constexpr int kUnpackedKeys = 256;  // columns of the longest keys that are unpacked

/// Quads of the keys of W tokens from (block, j) on, side by side.
struct KeyQuads {
  alignas(64) int32_t quads[kUnpackedKeys / 4][kScoreVectors * W];
};

template <KvCode code, int NV>
AUTOGLM_INLINE void unpack_keys(const ScoreArgs& args, int token, KeyQuads& out) {
  const KeyRows<NV> rows(args, token);
  for (int g = 0; g * kScaleGroup < args.dim; ++g) {
    const int64_t at = static_cast<int64_t>(g) * kKeyLines<code> * kKeyLine;
    const int left = args.dim / 4 - g * 8;
    for_quads<code>(left < 8 ? left : 8, [&](int line, auto half, int i) __attribute__((always_inline)) {
      if (half.value == 0) ask(*args.ahead, 1);
      AUTOGLM_UNROLL
      for (int v = 0; v < NV; ++v) {
        *reinterpret_cast<IntUnaligned*>(out.quads[8 * g + i] + v * W) =
            key_quad<code, half.value>(rows.keys[v] + at, line);
      }
    });
  }
}

/// NQ queries x NV vectors of tokens from codes: exact sums a group of 32 columns. `unpacked`: null, or these keys.
template <KvCode code, int NQ, int NV, bool is_unpacked>
AUTOGLM_INLINE void integer_scores(const ScoreArgs& args, int token, int first, const KeyQuads* unpacked) {
  const int groups = (args.dim + kScaleGroup - 1) / kScaleGroup;
  const ActGroup* q = args.q_codes + first * groups;
  const KeyRows<NV> rows(args, token);
  F total[NQ][NV] = {};
  for (int g = 0; g < groups; ++g) {
    Sum sum[NQ][NV];
    I zero[NQ];
    AUTOGLM_UNROLL
    for (int n = 0; n < NQ; ++n) {
      zero[n] = splat_int(q[n * groups + g].neg_sum128);
      AUTOGLM_UNROLL
      for (int v = 0; v < NV; ++v) sum[n][v] = start<8>(zero[n]);
    }
    const int64_t at = static_cast<int64_t>(g) * kKeyLines<code> * kKeyLine;
    const int left = args.dim / 4 - g * 8;
    for_quads<code>(left < 8 ? left : 8,
                    [&]([[maybe_unused]] int line, auto half, int i) __attribute__((always_inline)) {
                      if (!is_unpacked && half.value == 0) ask(*args.ahead, 1);
                      Codes k[NV];
                      AUTOGLM_UNROLL
                      for (int v = 0; v < NV; ++v) {
                        k[v] = codes_of<8>(is_unpacked ? load_int(unpacked->quads[8 * g + i] + v * W)
                                                       : key_quad<code, half.value>(rows.keys[v] + at, line));
                      }
                      AUTOGLM_UNROLL
                      for (int n = 0; n < NQ; ++n) {
                        const Quad four = load_quad(q[n * groups + g].codes + 4 * i);
                        AUTOGLM_UNROLL
                        for (int v = 0; v < NV; ++v) {
                          sum[n][v] = dot<8>(sum[n][v], k[v], four);
                          if (fold_quads(8) == 1) sum[n][v] = fold(sum[n][v]);
                        }
                      }
                    });
    AUTOGLM_UNROLL
    for (int v = 0; v < NV; ++v) {
      const F scale = scale_lanes<code>(rows.scales[v], g * kBlockTokens + rows.first[v]);
      AUTOGLM_UNROLL
      for (int n = 0; n < NQ; ++n) {
        const F products = to_float(finish<8>(sum[n][v], zero[n]));
        total[n][v] = fma(products * splat(q[n * groups + g].scale), scale, total[n][v]);
      }
    }
  }
  float* out = args.out + first * args.out_stride + token;
  AUTOGLM_UNROLL
  for (int n = 0; n < NQ; ++n) {
    AUTOGLM_UNROLL
    for (int v = 0; v < NV; ++v) store(out + n * args.out_stride + v * W, total[n][v] * splat(args.scale));
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
  for_query_tiles<kFloatScoreQueries>(args.nq, [&](int first, auto count) {
    for (int b = 0; b < args.blocks; ++b) {
      for (int j = 0; j < kBlockTokens; j += W) float_scores<code, count.value>(args, b, first, j);
    }
  });
}

template <KvCode code, int NV>
AUTOGLM_INLINE void score_tokens(const ScoreArgs& args, int token) {
  KeyQuads quads;
  const bool unpack = code == KvCode::q4 && args.nq > 2 * kScoreQueries && args.dim <= kUnpackedKeys;
  if (unpack) unpack_keys<code, NV>(args, token, quads);
  for_query_tiles<kScoreQueries>(args.nq, [&](int first, auto count) {
    if (unpack) {
      integer_scores<code, count.value, NV, true>(args, token, first, &quads);
    } else {
      integer_scores<code, count.value, NV, false>(args, token, first, nullptr);
    }
  });
}

static_assert(fold_quads(8) == 1 || fold_quads(8) == 8, "a group's quads are folded one by one, or not at all");

template <KvCode code>
void integer_scores_of(const ScoreArgs& args) {
  constexpr int tokens = kScoreVectors * W;
  const int end = args.blocks * kBlockTokens;
  int token = 0;
  for (; token + tokens <= end; token += tokens) score_tokens<code, kScoreVectors>(args, token);
  for (; token < end; token += W) score_tokens<code, 1>(args, token);
}

void scores(const ScoreArgs& args) {
  switch (args.code) {
    case KvCode::f32:
      return scores_of<KvCode::f32>(args);
    case KvCode::f16:
      return scores_of<KvCode::f16>(args);
    case KvCode::bf16:
      return scores_of<KvCode::bf16>(args);
    case KvCode::q8:
      return integer_scores_of<KvCode::q8>(args);
    case KvCode::q4:
      return integer_scores_of<KvCode::q4>(args);
  }
}

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

template <KvCode code>
AUTOGLM_INLINE F load_values(const void* block, int64_t at) {
  if constexpr (code == KvCode::f32) {
    return load(static_cast<const float*>(block) + at);
  } else if constexpr (code == KvCode::f16) {
    return load_f16(static_cast<const uint16_t*>(block) + at);
  } else {
    const Halves v = *reinterpret_cast<const HalvesUnaligned*>(static_cast<const uint16_t*>(block) + at);
    return bits_to_float(__builtin_convertvector(v, I) << 16);
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

/// Columns [begin, end).
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
  value_columns<code, NQ>(args, p, first, 0, args.dim);
}

template <KvCode code>
void weighted_sum_of(const WeightedSumArgs& args) {
  for_query_tiles<kValueQueries>(args.nq,
                                 [&](int first, auto count) { value_queries<code, count.value>(args, first); });
}

// ---- Weighted sums of codes: exact sums of int16 weights times int8 codes. A query's weight of a token, times the
// token's scale, is rounded to a multiple of 1/32767 of the largest such product, in each group of 32 columns.

constexpr int kPairs = kSplitTokens / 2;

/// The codes of two tokens side by side as int16, for W columns from `column` on of a group that begins at `even` and
/// at `odd`.
template <KvCode code>
AUTOGLM_INLINE I code_pair(const uint8_t* even, const uint8_t* odd, int column) {
  if constexpr (code == KvCode::q4) {
    typedef int16_t Pairs __attribute__((vector_size(W * 4)));
    const auto bytes = [&](const uint8_t* p) __attribute__((always_inline)) {
      return __builtin_convertvector(*reinterpret_cast<const UnsignedBytes*>(p + column % 16), I);
    };
    const I both = ((bytes(odd) << 16) | bytes(even)) >> (column / 16 * 4);
    const I codes = look_up<kKvBook>(both & splat_int(0x000f000f)) & splat_int(0x00ff00ff);  // + 128
    return (I)((Pairs)codes - (Pairs)splat_int(0x00800080));
  } else {
    const auto codes = [&](const uint8_t* p) __attribute__((always_inline)) {
      return __builtin_convertvector(*reinterpret_cast<const BytesUnaligned*>(p + column), I);
    };
    return (codes(odd) << 16) | (codes(even) & splat_int(0xffff));
  }
}

/// A group of columns in one split.
template <KvCode code>
struct ValueGroup {
  const WeightedSumArgs& args;
  int at, columns;
  alignas(64) float scales[kSplitTokens];          // of tokens outside [begin, end): 0
  alignas(64) int32_t pairs[kPairs][kScaleGroup];  // code_pair() of all columns, where many queries use them

  ValueGroup(const WeightedSumArgs& all, int first, int count) : args(all), at(first), columns(count) {}
  /// Bytes of so many columns.
  static constexpr int64_t bytes(int64_t count) { return code == KvCode::q4 ? count / 2 : count; }
  AUTOGLM_INLINE_MEMBER I pair(int j, int column) const {
    const int64_t stride = bytes(args.row_stride);
    const auto* block = static_cast<const uint8_t*>(args.blocks[static_cast<unsigned>(j) / (kBlockTokens / 2)]);
    const uint8_t* row = block + static_cast<unsigned>(2 * j) % kBlockTokens * stride + bytes(at);
    return code_pair<code>(row, row + stride, column);
  }
  void load_scales() {
    const int begin = args.begin / kBlockTokens * kBlockTokens;
    for (int b = begin / kBlockTokens; b * kBlockTokens < args.end; ++b) {
      const int from = at / kScaleGroup * kBlockTokens;
      for (int j = 0; j < kBlockTokens; j += W)
        store(scales + b * kBlockTokens + j, scale_lanes<code>(args.scales[b], from + j));
    }
    for (int j = begin; j < args.begin; ++j) scales[j] = 0.0f;
    for (int j = args.end; j % kBlockTokens != 0; ++j) scales[j] = 0.0f;
  }
  void expand() {
    if (columns == kScaleGroup) {
      expand_columns<kScaleGroup>();
    } else {
      expand_columns<kScaleGroup / 2>();
    }
  }

 private:
  template <int count>
  AUTOGLM_INLINE_MEMBER void expand_columns() {
    const int64_t stride = bytes(args.row_stride);
    for (int b = args.begin / kBlockTokens; b * kBlockTokens < args.end; ++b) {
      const uint8_t* row = static_cast<const uint8_t*>(args.blocks[b]) + bytes(at);
      int32_t* out = pairs[b * kBlockTokens / 2];
      for (int i = 0; i < kBlockTokens / 2; ++i, row += 2 * stride, out += kScaleGroup) {
        ask(*args.ahead, 1);
        AUTOGLM_UNROLL
        for (int c = 0; c < count; c += W) {
          *reinterpret_cast<IntUnaligned*>(out + c) = code_pair<code>(row, row + stride, c);
        }
      }
    }
  }
};

/// Integer weights of NQ queries, and what one of them is worth: NaN where the values that it sees are not finite.
template <int NQ, typename Group>
AUTOGLM_INLINE void integer_weights(const Group& group, int first, int16_t (&out)[NQ][kSplitTokens],
                                    float (&steps)[NQ]) {
  const int begin = group.args.begin / W * W, end = group.args.end;
  const float *p = group.args.p + first * group.args.p_stride, *scales = group.scales;
  const int64_t stride = group.args.p_stride;
  // As unsigned numbers, the bits of NaN, infinity and everything positive are in this order.
  Bits largest[NQ];
  for (int n = 0; n < NQ; ++n) largest[n] = (Bits)splat(1e-30f);
  for (int j = begin; j < end; j += W) {
    ask(*group.args.ahead, 2);
    const F scale = load(scales + j);
    AUTOGLM_UNROLL
    for (int n = 0; n < NQ; ++n) {
      const auto bits = (Bits)(load(p + n * stride + j) * scale);
      largest[n] = bits > largest[n] ? bits : largest[n];
    }
  }
  F per_step[NQ];
  AUTOGLM_UNROLL
  for (int n = 0; n < NQ; ++n) {
    const I most = reduce_all((I)largest[n], [](I a, I b) { return (I)((Bits)a > (Bits)b ? (Bits)a : (Bits)b); });
    const float value = bits_to_float(most)[0];
    steps[n] = value * (1.0f / 32767.0f);
    per_step[n] = splat(32767.0f / value);
  }
  for (int j = begin; j < end; j += W) {
    ask(*group.args.ahead, 2);
    const F scale = load(scales + j);
    AUTOGLM_UNROLL
    for (int n = 0; n < NQ; ++n) {
      const F weight = load(p + n * stride + j) * scale;
      const I words = float_to_bits(fma(weight, per_step[n], splat(kMagic)));  // in their low halves
      *reinterpret_cast<WordsUnaligned*>(out[n] + j) = __builtin_convertvector(words, Words);
    }
  }
}

template <int NQ, int NV, bool expanded, typename Group>
AUTOGLM_INLINE void integer_tile(const Group& group, const int16_t (&weights)[NQ][kSplitTokens],
                                 const float (&steps)[NQ], int column, float* out) {
  const WeightedSumArgs& args = group.args;
  I sum[NQ][NV] = {};
  for (int j = args.begin / 2; j < (args.end + 1) / 2; ++j) {
    if (!expanded) ask(*args.ahead, 1);
    I v[NV];
    AUTOGLM_UNROLL
    for (int i = 0; i < NV; ++i) {
      v[i] = expanded ? load_int(group.pairs[j] + column + i * W) : group.pair(j, column + i * W);
    }
    AUTOGLM_UNROLL
    for (int n = 0; n < NQ; ++n) {
      int32_t two;
      __builtin_memcpy(&two, weights[n] + 2 * j, 4);
      AUTOGLM_UNROLL
      for (int i = 0; i < NV; ++i) sum[n][i] = dot_pairs(sum[n][i], v[i], splat_int(two));
    }
  }
  AUTOGLM_UNROLL
  for (int n = 0; n < NQ; ++n) {
    AUTOGLM_UNROLL
    for (int i = 0; i < NV; ++i) store(out + n * args.o_stride + i * W, to_float(sum[n][i]) * splat(steps[n]));
  }
}

template <int NQ, bool expanded, typename Group>
AUTOGLM_INLINE void integer_queries(const Group& group, int first) {
  constexpr int NV = 16 / W > 2 ? 16 / W : 2;
  alignas(64) int16_t weights[NQ][kSplitTokens];
  float steps[NQ];
  integer_weights(group, first, weights, steps);
  float* out = group.args.o + first * group.args.o_stride + group.at;
  int c = 0;
  for (; c + NV * W <= group.columns; c += NV * W) integer_tile<NQ, NV, expanded>(group, weights, steps, c, out + c);
  for (; c < group.columns; c += W) integer_tile<NQ, 1, expanded>(group, weights, steps, c, out + c);
}

template <KvCode code>
void integer_weighted_sum(const WeightedSumArgs& args) {
  for (int at = 0; at < args.dim; at += kScaleGroup) {
    ValueGroup<code> group(args, at, at + kScaleGroup < args.dim ? kScaleGroup : args.dim - at);
    group.load_scales();
    const bool expanded = args.nq > kValueQueries;
    if (expanded) group.expand();
    for_query_tiles<kValueQueries>(args.nq, [&](int first, auto count) {
      if (expanded) {
        integer_queries<count.value, true>(group, first);
      } else {
        integer_queries<count.value, false>(group, first);
      }
    });
  }
}

void weighted_sum(const WeightedSumArgs& args) {
  switch (args.code) {
    case KvCode::f32:
      return weighted_sum_of<KvCode::f32>(args);
    case KvCode::f16:
      return weighted_sum_of<KvCode::f16>(args);
    case KvCode::bf16:
      return weighted_sum_of<KvCode::bf16>(args);
    case KvCode::q8:
      return integer_weighted_sum<KvCode::q8>(args);
    case KvCode::q4:
      return integer_weighted_sum<KvCode::q4>(args);
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
