// A quantized panel times rows of int8 activations. One loop nest for every ISA, layout and number of rows; the ISA
// gives the vector width, the tile that fills its registers and the integer dot product.
//
// Needs from the ISA: W, kTokens, kExpands (takes expanded panels), row_vectors(tokens), Codes, codes_of, Quad,
// load_quad, Sum, ZeroShift, zero_shift, zero_term, start, dot, fold_quads, fold, finish, fma, fnma. Those that depend
// on the width of a code take it as a template argument: 4, 5, 6 or 8 bits.

constexpr int code_bits(QuantLayout l) {
  if (l.codes == CodeForm::byte || l.codes == CodeForm::book) return 8;
  return l.codes == CodeForm::five ? 5 : l.codes == CodeForm::six ? 6 : 4;
}

/// The order in which a half's quads are taken: with 32 columns a group, quads j and j + 4 lie in one vector of
/// nibbles.
constexpr int quad_at(QuantLayout l, int half, int i) { return l.group16 ? half * 4 + i : (i & 1) * 4 + (i >> 1); }

/// Groups of 32 columns that tokens meet together: some 5 KB of weights.
constexpr int kNearGroups = 8;

/// Blocks of a panel that all tokens meet together: [data, end), from group `group` on. Weights that come from memory
/// are asked for args.prefetch bytes ahead, by all passes together: each for its part of the bytes, a line at a time
/// between products. Lines asked for in one go hold up each other and the loads of what is already near.
struct Span {
  const uint8_t* data;
  const uint8_t* end;
  int64_t group;
  const uint8_t* ahead = nullptr;  // what the next pass asks for
  int64_t part = 0;                // bytes of a pass
  int64_t step = 0;                // bytes between two requests; 0: these weights are near
  const uint8_t* until = nullptr;  // near: a line is asked for with each group, up to here
};

/// What the zero point takes off the sums of a group, or of half a group.
template <QuantLayout L>
AUTOGLM_INLINE I zero_of(const ActGroup& x, int half, ZeroShift shift) {
  if constexpr (L.scales != ScaleForm::single) return zero_term(L.group16 ? x.neg_sum16[half] : x.neg_sum, shift);
  return L.group16 ? splat_int(kExpandedZero * x.neg_sum16[half]) : splat_int(x.neg_sum128);
}

/// RV vectors of rows x MT tokens over a span of groups, added to `out`. Integer sums are exact, so only the order over
/// groups matters, and that is the same for every tile shape and span.
template <QuantLayout L, int RV, int MT>
AUTOGLM_INLINE void quant_tile(const QuantPanelArgs& args, const ActGroup* const (&x)[MT], int rv0, Span& span,
                               float* out) {
  constexpr int kBits = code_bits(L), kHalves = L.halves(), kQuads = 8 / kHalves;
  constexpr int kFold = fold_quads(kBits) < kQuads ? fold_quads(kBits) : kQuads;
  constexpr bool kFar = L.scales != ScaleForm::single;  // decoded panels never come from memory
  const uint8_t* ahead = span.ahead;
  const auto request = [&](int i) __attribute__((always_inline)) {
    constexpr int n = kFar ? kRequests<L> : 0;
    for (int k = i * n / 9; k < (i + 1) * n / 9; ++k, ahead += span.step) __builtin_prefetch(ahead, 0, 2);
  };
  const ZeroShift shift = zero_shift(args.zero_shift);
  F total[RV][MT] = {};
  if (span.group > 0 || args.more) {
    AUTOGLM_UNROLL
    for (int r = 0; r < RV; ++r) {
      AUTOGLM_UNROLL
      for (int t = 0; t < MT; ++t) total[r][t] = load(out + t * kPanel + (rv0 + r) * W);
    }
  }
  int64_t g = span.group;
  for (const uint8_t* block = span.data; block != span.end; block += L.block_bytes()) {
    for (int j = 0; j < L.block_groups(); ++j, ++g) {
      if (!kFar && ahead < span.until) {
        __builtin_prefetch(ahead, 0, 2);
        ahead += 64;
      }
      const uint8_t* group = block + L.codes_at() + j * L.code_bytes();
      AUTOGLM_UNROLL
      for (int half = 0; half < kHalves; ++half) {
        Sum sum[RV][MT];
        I zero[MT];
        AUTOGLM_UNROLL
        for (int t = 0; t < MT; ++t) {
          zero[t] = zero_of<L>(x[t][g], half, shift);
          AUTOGLM_UNROLL
          for (int r = 0; r < RV; ++r) sum[r][t] = start<kBits>(zero[t]);
        }
        AUTOGLM_UNROLL
        for (int i = 0; i < kQuads; ++i) {
          const int q = quad_at(L, half, i);
          request(half * kQuads + i);
          Codes w[RV];
          AUTOGLM_UNROLL
          for (int r = 0; r < RV; ++r) w[r] = codes_of<kBits>(quad_codes<L>(group, q, (rv0 + r) * W * 4));
          AUTOGLM_UNROLL
          for (int t = 0; t < MT; ++t) {
            const Quad four = load_quad(x[t][g].codes + 4 * q);
            AUTOGLM_UNROLL
            for (int r = 0; r < RV; ++r) {
              sum[r][t] = dot<kBits>(sum[r][t], w[r], four);
              if ((i + 1) % kFold == 0) sum[r][t] = fold(sum[r][t]);
            }
          }
        }
        if (half + 1 == kHalves) request(8);
        AUTOGLM_UNROLL
        for (int r = 0; r < RV; ++r) {
          const F scale = group_scales<L>(block, L.scales_at(), j, half, (rv0 + r) * W);
          AUTOGLM_UNROLL
          for (int t = 0; t < MT; ++t) {
            const F both = scale * splat(x[t][g].scale);
            total[r][t] = fma(to_float(finish<kBits>(sum[r][t], zero[t])), both, total[r][t]);
          }
          if constexpr (L.minima) {
            const F minimum = group_scales<L>(block, L.minima_at(), j, half, (rv0 + r) * W);
            AUTOGLM_UNROLL
            for (int t = 0; t < MT; ++t) {
              const float fsum = L.group16 ? x[t][g].fsum16[half] : x[t][g].fsum;
              total[r][t] = fnma(minimum, splat(fsum), total[r][t]);
            }
          }
        }
      }
    }
  }
  AUTOGLM_UNROLL
  for (int r = 0; r < RV; ++r) {
    AUTOGLM_UNROLL
    for (int t = 0; t < MT; ++t) store(out + t * kPanel + (rv0 + r) * W, total[r][t]);
  }
  span.ahead = kFar ? span.ahead + span.part : ahead;
}

template <QuantLayout L, int MT>
__attribute__((noinline)) void quant_tokens(const QuantPanelArgs& args, int64_t first, Span& span) {
  const ActGroup* x[MT];
  for (int t = 0; t < MT; ++t) {
    const int64_t row = args.index != nullptr ? args.index[first + t] : first + t;
    x[t] = args.x + row * args.x_stride;
  }
  constexpr int RV = row_vectors(MT);
  for (int rv = 0; rv < kPanel / W; rv += RV) {
    quant_tile<L, RV, MT>(args, x, rv, span, args.out + first * kPanel);
  }
}

/// Tiles of nearly equal size: 7 tokens at 6 a tile are 4 + 3, not 6 + 1.
static inline int64_t next_tile(int64_t left) {
  const int64_t tiles = (left + kTokens - 1) / kTokens;
  return (left + tiles - 1) / tiles;
}

static inline int passes_of(int64_t m) {
  int passes = 0;
  for (int64_t take; m > 0; m -= take) {
    take = next_tile(m);
    passes += kPanel / W / row_vectors(static_cast<int>(take));
  }
  return passes;
}

template <QuantLayout L>
void quant_span(const QuantPanelArgs& args, Span span) {
  int64_t first = 0;
  while (first < args.m) {
    const int64_t take = next_tile(args.m - first);
    if (!args.far) span.until = args.ahead + args.ahead_bytes * (first + take) / args.m;
    switch (take) {
      case 1:
        quant_tokens<L, 1>(args, first, span);
        break;
      case 2:
        quant_tokens<L, 2>(args, first, span);
        break;
      case 3:
        quant_tokens<L, 3>(args, first, span);
        break;
      case 4:
        quant_tokens<L, 4>(args, first, span);
        break;
      case 5:
        if constexpr (kTokens >= 5) quant_tokens<L, 5>(args, first, span);
        break;
      default:
        if constexpr (kTokens >= 6) quant_tokens<L, 6>(args, first, span);
        break;
    }
    first += take;
  }
}

/// Weights that come from memory are met by all tokens piece by piece, while they are in the first-level cache.
template <QuantLayout L>
void quant_rows(const QuantPanelArgs& args) {
  constexpr int64_t kBlocks = L.block_groups() >= kNearGroups ? 1 : kNearGroups / L.block_groups();
  const uint8_t* const end = args.panel + L.panel_bytes(args.groups);
  const int64_t step = args.far ? kBlocks * L.block_bytes() : end - args.panel;
  const int passes = args.far ? passes_of(args.m) : 1;
  int64_t group = 0;
  for (const uint8_t* data = args.panel; data != end; group += kBlocks * L.block_groups()) {
    const uint8_t* const last = end - data > step ? data + step : end;
    Span span{data, last, group, args.ahead};
    if (args.far) {
      span.ahead = data;
      span.ahead += args.prefetch;
      span.part = (last - data) / passes;
      span.step = L.block_bytes() / L.block_groups() / kRequests<L> / passes;
    }
    quant_span<L>(args, span);
    data = last;
  }
}

template <int... i>
void file_layout_rows(const QuantPanelArgs& args, Lanes<i...>) {
  ((same_layout(args.layout, kFileLayouts[i]) ? quant_rows<kFileLayouts[i]>(args) : void()), ...);
}

template <bool group16, bool minima>
constexpr QuantLayout kExpanded{CodeForm::byte, ScaleForm::single, group16, minima};

void gemm_quant(const QuantPanelArgs& args) {
  if (args.layout.scales != ScaleForm::single) return file_layout_rows(args, FileLayouts());
  if constexpr (kExpands) {
    if (args.layout.group16) {
      args.layout.minima ? quant_rows<kExpanded<true, true>>(args) : quant_rows<kExpanded<true, false>>(args);
    } else {
      args.layout.minima ? quant_rows<kExpanded<false, true>>(args) : quant_rows<kExpanded<false, false>>(args);
    }
  }
}
