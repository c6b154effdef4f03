// A quantized panel times rows of int8 activations. One loop nest for every ISA, layout and number of rows; the ISA
// gives the vector width, the tile that fills its registers and the integer dot product.
//
// Needs from the ISA: W, kTokens, row_vectors(tokens), Codes, load_codes, low_codes, high_codes, Quad, load_quad, Sum,
// ZeroShift, zero_shift, zero_term, start, dot, finish, load_scales, fma, fnma.

template <bool nibble, bool group16, bool minima>
struct Layout {
  static constexpr bool is_nibble = nibble;
  static constexpr bool is_group16 = group16;
  static constexpr bool has_minima = minima;
  static constexpr QuantLayout value{nibble, group16, minima};
  static constexpr int halves = group16 ? 2 : 1;
  static constexpr int quads = group16 ? 4 : 8;  // in a half
};

/// Weights of quad `q` (0..7) for the W rows from byte offset `at` of each 128-byte line.
template <bool nibble>
AUTOGLM_INLINE Codes quad_codes(const uint8_t* codes, int q, int at) {
  if constexpr (!nibble) {
    return load_codes(codes + q * 128 + at);
  } else {
    return q < 4 ? low_codes(codes + q * 128 + at) : high_codes(codes + (q - 4) * 128 + at);
  }
}

/// RV vectors of rows x MT tokens over all groups. Integer sums are exact, so only the order over groups matters, and
/// that is the same for every tile shape.
template <typename L, int RV, int MT>
AUTOGLM_INLINE void quant_tile(const QuantPanelArgs& args, const ActGroup* const (&x)[MT], int rv0, float* out) {
  constexpr int kGroupBytes = L::value.group_bytes();
  const ZeroShift shift = zero_shift(args.zero_shift);
  F total[RV][MT] = {};
  const uint8_t* group = args.panel;
  for (int64_t g = 0; g < args.groups; ++g, group += kGroupBytes) {
    if constexpr (MT <= 2) {  // bound by memory: ask for what comes 8 KB later
      for (int line = 0; line < kGroupBytes; line += 64) __builtin_prefetch(group + 8192 + line, 0, 2);
    }
    AUTOGLM_UNROLL
    for (int half = 0; half < L::halves; ++half) {
      Sum sum[RV][MT];
      I zero[MT];
      AUTOGLM_UNROLL
      for (int t = 0; t < MT; ++t) {
        zero[t] = zero_term(L::is_group16 ? x[t][g].neg_sum16[half] : x[t][g].neg_sum, shift);
        AUTOGLM_UNROLL
        for (int r = 0; r < RV; ++r) sum[r][t] = start<L::is_nibble>(zero[t]);
      }
      AUTOGLM_UNROLL
      for (int i = 0; i < L::quads; ++i) {
        // With 32 columns a group, quads j and j + 4 lie in one byte vector: take them in turn.
        const int q = L::is_group16 ? half * 4 + i : (i & 1) * 4 + (i >> 1);
        Codes w[RV];
        AUTOGLM_UNROLL
        for (int r = 0; r < RV; ++r) w[r] = quad_codes<L::is_nibble>(group, q, (rv0 + r) * W * 4);
        AUTOGLM_UNROLL
        for (int t = 0; t < MT; ++t) {
          const Quad four = load_quad(x[t][g].codes + 4 * q);
          AUTOGLM_UNROLL
          for (int r = 0; r < RV; ++r) sum[r][t] = dot<L::is_nibble>(sum[r][t], w[r], four);
        }
      }
      const auto* scales = reinterpret_cast<const uint16_t*>(group + L::value.code_bytes()) + half * 32 + rv0 * W;
      AUTOGLM_UNROLL
      for (int r = 0; r < RV; ++r) {
        const F scale = load_scales(scales + r * W);
        AUTOGLM_UNROLL
        for (int t = 0; t < MT; ++t) {
          const F both = scale * splat(x[t][g].scale);
          total[r][t] = fma(to_float(finish<L::is_nibble>(sum[r][t], zero[t])), both, total[r][t]);
        }
        if constexpr (L::has_minima) {
          const F minimum = load_scales(scales + L::halves * 32 + r * W);
          AUTOGLM_UNROLL
          for (int t = 0; t < MT; ++t) {
            const float fsum = L::is_group16 ? x[t][g].fsum16[half] : x[t][g].fsum;
            total[r][t] = fnma(minimum, splat(fsum), total[r][t]);
          }
        }
      }
    }
  }
  AUTOGLM_UNROLL
  for (int r = 0; r < RV; ++r) {
    const F row_scale = load(args.row_scale + (rv0 + r) * W);
    AUTOGLM_UNROLL
    for (int t = 0; t < MT; ++t) store(out + t * kPanel + (rv0 + r) * W, total[r][t] * row_scale);
  }
}

template <typename L, int MT>
__attribute__((noinline)) void quant_tokens(const QuantPanelArgs& args, int64_t first) {
  const ActGroup* x[MT];
  for (int t = 0; t < MT; ++t) {
    const int64_t row = args.index != nullptr ? args.index[first + t] : first + t;
    x[t] = args.x + row * args.x_stride;
  }
  constexpr int RV = row_vectors(MT);
  for (int rv = 0; rv < kPanel / W; rv += RV) quant_tile<L, RV, MT>(args, x, rv, args.out + first * kPanel);
}

/// Tiles of nearly equal size: 7 tokens at 6 a tile are 4 + 3, not 6 + 1.
template <typename L>
void quant_rows(const QuantPanelArgs& args) {
  int64_t first = 0;
  while (first < args.m) {
    const int64_t left = args.m - first;
    const int64_t tiles = (left + kTokens - 1) / kTokens;
    const int64_t take = (left + tiles - 1) / tiles;
    switch (take) {
      case 1:
        quant_tokens<L, 1>(args, first);
        break;
      case 2:
        quant_tokens<L, 2>(args, first);
        break;
      case 3:
        quant_tokens<L, 3>(args, first);
        break;
      case 4:
        quant_tokens<L, 4>(args, first);
        break;
      case 5:
        if constexpr (kTokens >= 5) quant_tokens<L, 5>(args, first);
        break;
      default:
        if constexpr (kTokens >= 6) quant_tokens<L, 6>(args, first);
        break;
    }
    first += take;
  }
}

void gemm_quant(const QuantPanelArgs& args) {
  const QuantLayout l = args.layout;
  const int which = (l.nibble ? 4 : 0) + (l.group16 ? 2 : 0) + (l.minima ? 1 : 0);
  switch (which) {
    case 0:
      return quant_rows<Layout<false, false, false>>(args);
    case 1:
      return quant_rows<Layout<false, false, true>>(args);
    case 2:
      return quant_rows<Layout<false, true, false>>(args);
    case 3:
      return quant_rows<Layout<false, true, true>>(args);
    case 4:
      return quant_rows<Layout<true, false, false>>(args);
    case 5:
      return quant_rows<Layout<true, false, true>>(args);
    case 6:
      return quant_rows<Layout<true, true, false>>(args);
    default:
      return quant_rows<Layout<true, true, true>>(args);
  }
}
