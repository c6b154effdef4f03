// Float panels times rows of floats. Sums run over blocks of kFloatBlock columns in order; within a block one fused
// multiply-add a column (a pair, for bf16), in order.

AUTOGLM_INLINE F load_weight(const float* p) { return load(p); }
AUTOGLM_INLINE F load_weight(const uint16_t* p) { return load_f16(p); }
AUTOGLM_INLINE F splat_activation(float v) { return splat(v); }
AUTOGLM_INLINE F splat_activation(uint16_t bf16) { return bits_to_float(splat_int(static_cast<int32_t>(bf16) << 16)); }

/// Weights float32 with activations float32, or float16 with bfloat16.
template <int RV, int MT, typename Value>
AUTOGLM_INLINE void float_tile(const Value* panel, int64_t cols, const Value* const (&x)[MT], int rv0, bool add,
                               float* out) {
  F sum[RV][MT] = {};
  const Value* w = panel + rv0 * W;
  for (int64_t c = 0; c < cols; ++c, w += kPanel) {
    F row[RV];
    AUTOGLM_UNROLL
    for (int r = 0; r < RV; ++r) row[r] = load_weight(w + r * W);
    AUTOGLM_UNROLL
    for (int t = 0; t < MT; ++t) {
      const F value = splat_activation(x[t][c]);
      AUTOGLM_UNROLL
      for (int r = 0; r < RV; ++r) sum[r][t] = fma(row[r], value, sum[r][t]);
    }
  }
  AUTOGLM_UNROLL
  for (int r = 0; r < RV; ++r) {
    AUTOGLM_UNROLL
    for (int t = 0; t < MT; ++t) {
      float* to = out + t * kPanel + (rv0 + r) * W;
      store(to, add ? load(to) + sum[r][t] : sum[r][t]);
    }
  }
}

template <int RV, int MT>
AUTOGLM_INLINE void bf16_tile(const uint16_t* panel, int64_t pairs, const uint16_t* const (&x)[MT], int rv0, bool add,
                              float* out) {
  F sum[RV][MT] = {};
  const uint16_t* w = panel + rv0 * W * 2;
  for (int64_t c = 0; c < pairs; ++c, w += kPanel * 2) {
    I row[RV];
    AUTOGLM_UNROLL
    for (int r = 0; r < RV; ++r) row[r] = load_int(w + r * W * 2);
    AUTOGLM_UNROLL
    for (int t = 0; t < MT; ++t) {
      int32_t pair;
      __builtin_memcpy(&pair, x[t] + 2 * c, 4);
      AUTOGLM_UNROLL
      for (int r = 0; r < RV; ++r) sum[r][t] = dot_bf16(sum[r][t], row[r], pair);
    }
  }
  AUTOGLM_UNROLL
  for (int r = 0; r < RV; ++r) {
    AUTOGLM_UNROLL
    for (int t = 0; t < MT; ++t) {
      float* to = out + t * kPanel + (rv0 + r) * W;
      store(to, add ? load(to) + sum[r][t] : sum[r][t]);
    }
  }
}

template <int MT, typename Args>
__attribute__((noinline)) void float_tokens(const Args& args, int64_t first, int64_t col, int64_t cols) {
  decltype(args.x) x[MT];
  for (int t = 0; t < MT; ++t) {
    const int64_t row = args.index != nullptr ? args.index[first + t] : first + t;
    x[t] = args.x + row * args.x_stride + col;
  }
  constexpr int RV = float_row_vectors(MT);
  for (int rv = 0; rv < kPanel / W; rv += RV) {
    float_tile<RV, MT>(args.panel + col * kPanel, cols, x, rv, col > 0, args.out + first * kPanel);
  }
}

template <int MT>
__attribute__((noinline)) void bf16_tokens(const Bf16PanelArgs& args, int64_t first, int64_t pair, int64_t pairs) {
  const uint16_t* x[MT];
  for (int t = 0; t < MT; ++t) {
    const int64_t row = args.index != nullptr ? args.index[first + t] : first + t;
    x[t] = args.x + row * args.x_stride + 2 * pair;
  }
  constexpr int RV = float_row_vectors(MT);
  for (int rv = 0; rv < kPanel / W; rv += RV) {
    bf16_tile<RV, MT>(args.panel + pair * kPanel * 2, pairs, x, rv, pair > 0, args.out + first * kPanel);
  }
}

template <typename Args, typename Tokens>
AUTOGLM_INLINE void for_tiles(const Args& args, Tokens tokens) {
  int64_t first = 0;
  while (first < args.m) {
    const int64_t left = args.m - first;
    const int64_t tiles = (left + kTokens - 1) / kTokens;
    const int64_t take = (left + tiles - 1) / tiles;
    tokens(first, take);
    first += take;
  }
}

AUTOGLM_INLINE int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

template <typename Args>
void gemm_columns(const Args& args) {
  for (int64_t col = 0; col < args.cols; col += kFloatBlock) {
    const int64_t cols = smaller(kFloatBlock, args.cols - col);
    for_tiles(args, [&](int64_t first, int64_t take) {
      switch (take) {
        case 1:
          return float_tokens<1>(args, first, col, cols);
        case 2:
          return float_tokens<2>(args, first, col, cols);
        case 3:
          return float_tokens<3>(args, first, col, cols);
        case 4:
          return float_tokens<4>(args, first, col, cols);
        case 5:
          if constexpr (kTokens >= 5) float_tokens<5>(args, first, col, cols);
          return;
        default:
          if constexpr (kTokens >= 6) float_tokens<6>(args, first, col, cols);
          return;
      }
    });
  }
}

#if !defined(AUTOGLM_ONLY_BF16)
void gemm_f32(const F32PanelArgs& args) { gemm_columns(args); }
void gemm_f16(const F16PanelArgs& args) { gemm_columns(args); }
#endif

void gemm_bf16(const Bf16PanelArgs& args) {
  for (int64_t pair = 0; pair < args.pairs; pair += kFloatBlock / 2) {
    const int64_t pairs = smaller(kFloatBlock / 2, args.pairs - pair);
    for_tiles(args, [&](int64_t first, int64_t take) {
      switch (take) {
        case 1:
          return bf16_tokens<1>(args, first, pair, pairs);
        case 2:
          return bf16_tokens<2>(args, first, pair, pairs);
        case 3:
          return bf16_tokens<3>(args, first, pair, pairs);
        case 4:
          return bf16_tokens<4>(args, first, pair, pairs);
        case 5:
          if constexpr (kTokens >= 5) bf16_tokens<5>(args, first, pair, pairs);
          return;
        default:
          if constexpr (kTokens >= 6) bf16_tokens<6>(args, first, pair, pairs);
          return;
      }
    });
  }
}
