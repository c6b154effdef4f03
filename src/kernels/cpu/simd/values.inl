// Part of attention.inl: weighted sums of values.

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
