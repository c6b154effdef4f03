// Part of attention.inl: products of queries and keys.

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
